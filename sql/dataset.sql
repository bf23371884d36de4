/*
 * Data sets: labelled images to train on, imported completely or not at all.
 *
 * A data set has the splits train and test, each of which is imported once.  One in twelve of the training images goes
 * to the split validation, on which models are compared.  From an IDX file these are the last twelfth: the last 5,000
 * of MNIST's 60,000, as is customary.  From other sources a hash of the pixels selects them, so that equal images are
 * in the same split.
 */

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_dataset_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_dataset (
    id                 int PRIMARY KEY DEFAULT nextval('@extschema@.mnist_dataset_id_seq'),
    name               text NOT NULL UNIQUE CHECK (name <> ''),
    source             text NOT NULL CHECK (source IN ('idx', 'images', 'synthetic')),
    created_at         timestamptz NOT NULL DEFAULT now(),
    created_by         name NOT NULL DEFAULT session_user,
    train_sha256       bytea CHECK (octet_length(train_sha256) = 32),
    validation_sha256  bytea CHECK (octet_length(validation_sha256) = 32),
    test_sha256        bytea CHECK (octet_length(test_sha256) = 32),
    images             int CHECK (images >= 0)
);
ALTER SEQUENCE @extschema@.mnist_dataset_id_seq OWNED BY @extschema@.mnist_dataset.id;

COMMENT ON TABLE @extschema@.mnist_dataset IS 'labelled images to train on, by name';
COMMENT ON COLUMN @extschema@.mnist_dataset.id IS 'the data set';
COMMENT ON COLUMN @extschema@.mnist_dataset.name IS 'its name';
COMMENT ON COLUMN @extschema@.mnist_dataset.source IS 'how it was imported: idx, images or synthetic';
COMMENT ON COLUMN @extschema@.mnist_dataset.created_at IS 'when its first split was imported';
COMMENT ON COLUMN @extschema@.mnist_dataset.created_by IS 'the role that imported it';
COMMENT ON COLUMN @extschema@.mnist_dataset.train_sha256 IS
    'hash of the train split as it was imported: SHA-256 over each image''s label (a byte) and SHA-256, in order';
COMMENT ON COLUMN @extschema@.mnist_dataset.validation_sha256 IS
    'the same hash of the validation split; NULL where there is none';
COMMENT ON COLUMN @extschema@.mnist_dataset.test_sha256 IS 'the same hash of the test split; NULL where there is none';
COMMENT ON COLUMN @extschema@.mnist_dataset.images IS
    'how many images were imported, over all splits; NULL: not counted, as in a dump of 0.1.0';

SELECT pg_extension_config_dump('@extschema@.mnist_dataset', '');
SELECT pg_extension_config_dump('@extschema@.mnist_dataset_id_seq', '');

CREATE TABLE IF NOT EXISTS @extschema@.mnist_sample (
    dataset_id     int NOT NULL REFERENCES @extschema@.mnist_dataset ON DELETE CASCADE,
    split          text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
    ordinal        int NOT NULL CHECK (ordinal >= 0),
    label          smallint NOT NULL CHECK (label BETWEEN 0 AND 9),
    pixels         bytea NOT NULL CHECK (octet_length(pixels) = 784),
    pixels_sha256  bytea NOT NULL GENERATED ALWAYS AS (sha256(pixels)) STORED,
    PRIMARY KEY (dataset_id, split, ordinal)
);
CREATE INDEX IF NOT EXISTS mnist_sample_by_pixels ON @extschema@.mnist_sample (pixels_sha256, label);
ALTER TABLE @extschema@.mnist_sample ALTER COLUMN pixels SET STORAGE PLAIN;

COMMENT ON TABLE @extschema@.mnist_sample IS 'the images of the data sets';
COMMENT ON COLUMN @extschema@.mnist_sample.dataset_id IS 'the data set';
COMMENT ON COLUMN @extschema@.mnist_sample.split IS
    'train; validation, held out from the train split to compare models; or test, which is only reported';
COMMENT ON COLUMN @extschema@.mnist_sample.ordinal IS 'the position of the image in what was imported, from 0';
COMMENT ON COLUMN @extschema@.mnist_sample.label IS 'the digit that it shows';
COMMENT ON COLUMN @extschema@.mnist_sample.pixels IS '28 x 28 grey, row by row, 0 background, 255 full ink';
COMMENT ON COLUMN @extschema@.mnist_sample.pixels_sha256 IS 'SHA-256 of the pixels, to find equal images';

SELECT pg_extension_config_dump('@extschema@.mnist_sample', '');

---------------------------------------------------------------- importing

CREATE OR REPLACE FUNCTION mnist_internal.open_split(dataset_name text, split_name text, source_name text) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dataset @extschema@.mnist_dataset;
BEGIN
    PERFORM mnist_internal.refuse_null('{dataset,split}', dataset_name IS NULL, split_name IS NULL);
    IF dataset_name = '' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'name of a data set must not be empty';
    END IF;
    IF split_name NOT IN ('train', 'test') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('split "%s" is neither "train" nor "test"', split_name),
            HINT = 'One in twelve of the training images is held out for validation automatically.';
    END IF;

    -- Of two concurrent imports the second waits here for the first to end.
    INSERT INTO @extschema@.mnist_dataset (name, source, created_by)
    VALUES (dataset_name, source_name, mnist_internal.invoker())
    ON CONFLICT (name) DO NOTHING;
    SELECT d.* INTO dataset FROM @extschema@.mnist_dataset d WHERE d.name = dataset_name FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'serialization_failure',
            MESSAGE = format('data set "%s" was dropped meanwhile', dataset_name),
            HINT = 'Import it again.';
    END IF;

    IF dataset.source <> source_name THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_object',
            MESSAGE = format('data set "%s" already exists', dataset_name),
            DETAIL = format('Its source is "%s", not "%s".', dataset.source, source_name),
            HINT = 'Choose another name, or call mnist_drop_dataset first.';
    END IF;
    IF EXISTS (
        SELECT FROM @extschema@.mnist_sample s
        WHERE s.dataset_id = dataset.id
            AND s.split = ANY (CASE split_name WHEN 'test' THEN '{test}' ELSE '{train,validation}' END::text[]))
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_object',
            MESSAGE = format('data set "%s" already has split "%s"', dataset_name, split_name),
            HINT = 'Choose another name, or call mnist_drop_dataset first.';
    END IF;
    RETURN dataset.id;
END
$$;
COMMENT ON FUNCTION mnist_internal.open_split(text, text, text) IS
    'check that a split of a data set can be imported, and create and lock the data set; internal';

CREATE OR REPLACE FUNCTION mnist_internal.split_by_pixels(split_name text, pixels bytea) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- This is not the byte that selects held-out feedback, so the two selections are independent.
    SELECT CASE
        WHEN split_name = 'train' AND get_byte(sha256(pixels), 1) % 12 = 0 THEN 'validation'
        ELSE split_name END;
END;
COMMENT ON FUNCTION mnist_internal.split_by_pixels(text, bytea) IS
    'the split of an image: one in twelve of the training images goes to validation; internal';

---------------------------------------------------------------- the hash of a split

CREATE OR REPLACE FUNCTION mnist_internal.split_digest(dataset_id int, split text) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT sha256(string_agg(set_byte('\x00', 0, i.label) || i.pixels_sha256, ''::bytea))
    FROM (
        SELECT s.label, s.pixels_sha256
        FROM @extschema@.mnist_sample s
        WHERE s.dataset_id = split_digest.dataset_id AND s.split = split_digest.split
        ORDER BY s.ordinal) i;
END;
COMMENT ON FUNCTION mnist_internal.split_digest(int, text) IS
    'hash of a split as it is now: SHA-256 over each image''s label (a byte) and SHA-256, in order; NULL if it is '
    'empty; internal';

CREATE OR REPLACE FUNCTION mnist_internal.seal_dataset(dataset_id int) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    UPDATE @extschema@.mnist_dataset d
    SET train_sha256 = coalesce(d.train_sha256, mnist_internal.split_digest(d.id, 'train')),
        validation_sha256 = coalesce(d.validation_sha256, mnist_internal.split_digest(d.id, 'validation')),
        test_sha256 = coalesce(d.test_sha256, mnist_internal.split_digest(d.id, 'test')),
        images = (SELECT count(*) FROM @extschema@.mnist_sample s WHERE s.dataset_id = d.id)
    WHERE d.id = dataset_id;
END;
COMMENT ON FUNCTION mnist_internal.seal_dataset(int) IS
    'store the hashes of the splits just imported, and the number of images; internal';

CREATE OR REPLACE FUNCTION mnist_internal.read_idx(
    images bytea, labels bytea, OUT ordinal int, OUT total int, OUT label smallint, OUT pixels bytea)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'mnist_hil_read_idx' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE ROWS 60000;
COMMENT ON FUNCTION mnist_internal.read_idx(bytea, bytea) IS
    'the images and labels of a pair of IDX files, plain or gzip; total: how many there are; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_import_idx(dataset text, split text, images bytea, labels bytea)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    opened_dataset int := mnist_internal.open_split(dataset, split, 'idx');
    imported bigint;
BEGIN
    PERFORM mnist_internal.refuse_null('{images,labels}', images IS NULL, labels IS NULL);

    -- In the select list the function returns its rows one by one; in FROM all rows would be stored first.
    INSERT INTO @extschema@.mnist_sample (dataset_id, split, ordinal, label, pixels)
    SELECT opened_dataset,
        CASE WHEN mnist_import_idx.split = 'train' AND (r.item).ordinal >= (r.item).total - (r.item).total / 12
            THEN 'validation' ELSE mnist_import_idx.split END,
        (r.item).ordinal, (r.item).label, (r.item).pixels
    FROM (SELECT mnist_internal.read_idx(images, labels) AS item) r;
    GET DIAGNOSTICS imported = ROW_COUNT;
    PERFORM mnist_internal.seal_dataset(opened_dataset);
    RETURN imported;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_import_idx(text, text, bytea, bytea) IS
    'import a split (train or test) of a data set from a pair of IDX files, plain or gzip; returns how many images';

CREATE OR REPLACE FUNCTION @extschema@.mnist_import_images(dataset text, split text, images bytea[], labels int[])
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    opened_dataset int := mnist_internal.open_split(dataset, split, 'images');
    item record;
    imported bigint := 0;
    state text;
    message text;
    detail text;
    hint text;
BEGIN
    PERFORM mnist_internal.refuse_null('{images,labels}', images IS NULL, labels IS NULL);
    IF cardinality(images) <> cardinality(labels) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'images and labels differ in number',
            DETAIL = format('There are %s images and %s labels.', cardinality(images), cardinality(labels));
    END IF;
    IF cardinality(images) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'there are no images to import';
    END IF;

    FOR item IN SELECT u.* FROM unnest(images, labels) WITH ORDINALITY AS u (image, label, place) LOOP
        IF item.image IS NULL OR item.label IS NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'null_value_not_allowed',
                MESSAGE = format('%s %s is null', CASE WHEN item.image IS NULL THEN 'image' ELSE 'label' END,
                    item.place);
        END IF;
        IF item.label NOT BETWEEN 0 AND 9 THEN
            RAISE EXCEPTION USING
                ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('label %s is out of range', item.place),
                DETAIL = format('It is %s; labels are 0 to 9.', item.label);
        END IF;
        INSERT INTO @extschema@.mnist_sample (dataset_id, split, ordinal, label, pixels)
        SELECT opened_dataset, mnist_internal.split_by_pixels(mnist_import_images.split, p.pixels), imported,
            item.label, p.pixels
        FROM (SELECT @extschema@.mnist_preprocess(item.image) AS pixels OFFSET 0) p;
        imported := imported + 1;
    END LOOP;
    PERFORM mnist_internal.seal_dataset(opened_dataset);
    RETURN imported;
EXCEPTION
    -- Add the number of the image to the errors of mnist_preprocess.
    WHEN invalid_binary_representation OR program_limit_exceeded THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
            detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        RAISE EXCEPTION USING
            ERRCODE = state,
            MESSAGE = format('image %s: %s', item.place, message),
            DETAIL = ltrim(detail || ' Nothing was imported.'),
            HINT = coalesce(nullif(hint, ''), 'An image is a PNG, or 784 bytes in MNIST''s form.');
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_import_images(text, text, bytea[], int[]) IS
    'import a split (train or test) of a data set from labelled images; returns their number';

CREATE OR REPLACE FUNCTION @extschema@.mnist_import_synthetic(dataset text DEFAULT 'synthetic', n int DEFAULT 10000,
    seed int DEFAULT 1)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    opened_dataset int := mnist_internal.open_split(dataset, 'train', 'synthetic');
    imported bigint;
BEGIN
    PERFORM mnist_internal.refuse_null('{n,seed}', n IS NULL, seed IS NULL);
    IF n NOT BETWEEN 60 AND 1000000 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('cannot draw %s digits', n),
            HINT = 'Draw 60 to 1000000.';
    END IF;

    -- The last seventh is the test split, as in MNIST: the last 10,000 of 70,000.  No two images have the same key,
    -- even with different seeds.
    INSERT INTO @extschema@.mnist_sample (dataset_id, split, ordinal, label, pixels)
    SELECT opened_dataset,
        mnist_internal.split_by_pixels(CASE WHEN d.i < n - n / 7 THEN 'train' ELSE 'test' END, d.pixels),
        d.i, d.label, d.pixels
    FROM (
        SELECT i, i % 10 AS label, mnist_internal.synthetic(i % 10, (seed::bigint << 32) | i) AS pixels
        FROM generate_series(0, n - 1) AS i
        OFFSET 0) d;
    GET DIAGNOSTICS imported = ROW_COUNT;
    PERFORM mnist_internal.seal_dataset(opened_dataset);
    RETURN imported;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_import_synthetic(text, int, int) IS
    'import n digits that the extension draws, with all splits; the same seed gives the same digits; returns n';

CREATE OR REPLACE FUNCTION @extschema@.mnist_drop_dataset(dataset text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped_dataset int;
    dropped bigint;
BEGIN
    PERFORM mnist_internal.refuse_null('{dataset}', dataset IS NULL);
    SELECT d.id INTO dropped_dataset FROM @extschema@.mnist_dataset d WHERE d.name = dataset FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('data set "%s" does not exist', dataset),
            HINT = 'mnist_dataset lists those there are.';
    END IF;
    DELETE FROM @extschema@.mnist_sample s WHERE s.dataset_id = dropped_dataset;
    GET DIAGNOSTICS dropped = ROW_COUNT;
    DELETE FROM @extschema@.mnist_dataset d WHERE d.id = dropped_dataset;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_drop_dataset(text) IS
    'delete a data set with its images; models trained on it and records of runs stay; returns how many images';

CREATE OR REPLACE VIEW @extschema@.mnist_dataset_conflict AS
    SELECT s.pixels_sha256,
        array_agg(format('%s, %s %s: %s', d.name, s.split, s.ordinal, s.label)
            ORDER BY s.dataset_id, s.split, s.ordinal) AS images
    FROM @extschema@.mnist_sample s
    JOIN @extschema@.mnist_dataset d ON d.id = s.dataset_id
    WHERE s.pixels_sha256 = ANY (ARRAY(
        SELECT c.pixels_sha256
        FROM @extschema@.mnist_sample c
        GROUP BY c.pixels_sha256
        HAVING min(c.label) <> max(c.label)))
    GROUP BY s.pixels_sha256;
COMMENT ON VIEW @extschema@.mnist_dataset_conflict IS
    'equal images of the data sets with different labels: runs leave them out';
COMMENT ON COLUMN @extschema@.mnist_dataset_conflict.pixels_sha256 IS 'SHA-256 of the pixels';
COMMENT ON COLUMN @extschema@.mnist_dataset_conflict.images IS 'where they are, and their labels';
