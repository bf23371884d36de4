/*
 * Snapshots: the exact data of a training run.
 *
 * A run that begins takes a snapshot: which feedback there is, and how each label counts.  All processes of the run
 * read the feedback from there (mnist_run_feedback), so later labels have no part in the run.  When the samples are
 * loaded, their number and hash are written to mnist_run.data.  From the snapshot and this column, mnist_reproduce can
 * repeat the run, or say what has changed.
 *
 * A snapshot stores the changes since the snapshot before: the ids of added feedback, as ranges, because most ids are
 * consecutive, and the labels that count differently than before.  Most labels count in full, as their annotator gave
 * them, and need no row.  Any other label has one row for all consecutive snapshots in which it counts the same.  Only
 * a label that the label-noise filter excludes has a row for each run, because each run measures it anew.
 *
 * mnist_run_feedback reads the labels themselves from mnist_feedback, so erased feedback disappears from all snapshots.
 * The processes of a run load the feedback, and compute mnist_run.data, under one database snapshot.  So feedback that
 * is erased while a run begins is either in all of these or in none.
 *
 * How feedback counts.  Labels count per image: predictions of the same pixels are one image, and the newest label of
 * each annotator is one vote.  The majority labels the image; a tie leaves it out.
 *
 * Votes are not weighted by how often annotators agree with others.  Two annotators always have the same rate of
 * agreement.  Among several, an annotator can get a high rate cheaply, by labelling easy images.  A tie does no harm,
 * and a third annotator can decide it; mnist_annotator_agreement shows who causes ties.
 *
 * The images that one annotator alone labelled are limited to a fraction of the run (see mnist_internal.allowance).
 * Hashes of the pixels select which of them count, so that nobody can influence the selection and every run makes the
 * same one.  The label-noise filter excludes labels of a single annotator that are probably wrong (see
 * mnist_internal.filter_labels), from training and from comparing models.
 *
 * Table run_excluded, which only the filter writes, is here and not in label_noise.sql because the views below read it.
 */

/*
 * From these four tables view mnist_run_feedback derives which feedback a run used and how it counted.  A run adds rows
 * for its new feedback only, not for all feedback that it uses.  The tables have no foreign key to mnist_feedback,
 * because its checks would lock, and so write, every row of feedback.
 */
CREATE TABLE IF NOT EXISTS mnist_internal.snapshot (
    id      bigint PRIMARY KEY,
    newest  bigint NOT NULL,
    added   int8multirange NOT NULL CHECK (NOT lower_inf(added) AND NOT upper_inf(added))
);
COMMENT ON TABLE mnist_internal.snapshot IS
    'the feedback that existed when runs began: a snapshot contains its own additions and those of all earlier ones; '
    'internal';
COMMENT ON COLUMN mnist_internal.snapshot.id IS 'the snapshot: the id of the run that took it';
COMMENT ON COLUMN mnist_internal.snapshot.newest IS 'the highest id of feedback in it';
COMMENT ON COLUMN mnist_internal.snapshot.added IS 'ids of the feedback that no earlier snapshot has';

SELECT pg_extension_config_dump('mnist_internal.snapshot', '');

CREATE TABLE IF NOT EXISTS mnist_internal.run_snapshot (
    run_id       bigint PRIMARY KEY REFERENCES @extschema@.mnist_run ON DELETE CASCADE,
    snapshot_id  bigint NOT NULL REFERENCES mnist_internal.snapshot
);
COMMENT ON TABLE mnist_internal.run_snapshot IS 'the snapshot that a run used; internal';
COMMENT ON COLUMN mnist_internal.run_snapshot.snapshot_id IS 'its own snapshot, or that of the run which it reproduces';

SELECT pg_extension_config_dump('mnist_internal.run_snapshot', '');

CREATE TABLE IF NOT EXISTS mnist_internal.snapshot_exception (
    feedback_id     bigint NOT NULL,
    first_snapshot  bigint NOT NULL,
    next_snapshot   bigint CHECK (next_snapshot > first_snapshot),
    label           smallint CHECK (label BETWEEN 0 AND 9),
    weight          real NOT NULL CHECK (weight >= 0 AND weight < 1),
    reason          text NOT NULL CHECK (reason IN ('superseded', 'tie', 'outvoted', 'share', 'replaced')),
    PRIMARY KEY (feedback_id, first_snapshot)
);
CREATE INDEX IF NOT EXISTS snapshot_exception_open ON mnist_internal.snapshot_exception (feedback_id)
    WHERE next_snapshot IS NULL;
COMMENT ON TABLE mnist_internal.snapshot_exception IS
    'the feedback that snapshots did not count in full, and in which ones; all other feedback counted in full, with '
    'its own label; internal';
COMMENT ON COLUMN mnist_internal.snapshot_exception.first_snapshot IS 'the first snapshot in which this holds';
COMMENT ON COLUMN mnist_internal.snapshot_exception.next_snapshot IS
    'the first snapshot in which this no longer holds; NULL: it still holds';
COMMENT ON COLUMN mnist_internal.snapshot_exception.label IS 'the label that was used for the image; NULL in a tie';
COMMENT ON COLUMN mnist_internal.snapshot_exception.weight IS 'how much the label counted';
COMMENT ON COLUMN mnist_internal.snapshot_exception.reason IS
    'as in mnist_run_feedback; or replaced: its annotator had labelled the prediction again, so the snapshot does not '
    'contain it';

SELECT pg_extension_config_dump('mnist_internal.snapshot_exception', '');

CREATE TABLE IF NOT EXISTS mnist_internal.run_excluded (
    run_id       bigint NOT NULL REFERENCES @extschema@.mnist_run ON DELETE CASCADE,
    feedback_id  bigint NOT NULL,
    doubted_as   smallint NOT NULL CHECK (doubted_as BETWEEN 0 AND 9),
    doubt        real NOT NULL CHECK (doubt BETWEEN 0 AND 1),
    label_probability real CHECK (label_probability BETWEEN 0 AND 1),
    reference_share   real CHECK (reference_share BETWEEN 0 AND 1),
    annotator_share   real CHECK (annotator_share BETWEEN 0 AND 1),
    PRIMARY KEY (run_id, feedback_id)
);
CREATE INDEX IF NOT EXISTS run_excluded_by_feedback ON mnist_internal.run_excluded (feedback_id);
COMMENT ON TABLE mnist_internal.run_excluded IS 'the labels that a run''s label-noise filter excluded; internal';
COMMENT ON COLUMN mnist_internal.run_excluded.doubted_as IS
    'the most probable other label, according to a model that was trained without this label';
COMMENT ON COLUMN mnist_internal.run_excluded.doubt IS 'that model''s probability of doubted_as, 0 .. 1';
COMMENT ON COLUMN mnist_internal.run_excluded.label_probability IS 'that model''s probability of the label, 0 .. 1';
COMMENT ON COLUMN mnist_internal.run_excluded.reference_share IS
    'of base images that show the digit doubted_as, the fraction for which that model gives the label at least '
    'label_probability, 0 .. 1';
COMMENT ON COLUMN mnist_internal.run_excluded.annotator_share IS
    'of the annotator''s corrections in this run, the fraction that the filter found unsupported, 0 .. 1';

SELECT pg_extension_config_dump('mnist_internal.run_excluded', '');

---------------------------------------------------------------- how each label counts in a run

CREATE OR REPLACE FUNCTION mnist_internal.allowance(own bigint[], others bigint, annotator_share float8,
    annotator_labels int)
    RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Annotators are ordered by own, most first.  If the first (place - 1) are limited to x images each and the others
    -- count in full, x is the fraction share of all images for x = share * (x * (place - 1) + rest).  The answer is the
    -- first x that the annotator at place does not exceed.  share is at least 1 / (number of annotators).
    SELECT greatest(annotator_labels, (
        SELECT floor(x + 1e-6)::bigint
        FROM (
            SELECT o.n, o.place, s.share * o.rest / (1 - s.share * (o.place - 1)) AS x
            FROM (
                SELECT n, row_number() OVER (ORDER BY n DESC) AS place,
                    others + sum(n) OVER (ORDER BY n DESC ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS rest
                FROM unnest(own) AS n
                WHERE n > 0) o
            CROSS JOIN (SELECT greatest(annotator_share, 1.0 / nullif(count(*), 0)) AS share
                FROM unnest(own) AS n
                WHERE n > 0) s
            WHERE s.share * (o.place - 1) < 1) c
        WHERE x + 1e-6 >= n
        ORDER BY place
        LIMIT 1));
END;
COMMENT ON FUNCTION mnist_internal.allowance(bigint[], bigint, float8, int) IS
    'how many images that only one annotator labelled may count for each annotator; own: the numbers that each '
    'annotator labelled alone; others: the number that several agree on; internal';

CREATE OR REPLACE FUNCTION mnist_internal.label_weights(
    annotator_share float8, annotator_labels int,
    OUT feedback_id bigint, OUT split text, OUT label smallint, OUT weight real, OUT reason text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000
BEGIN ATOMIC
    WITH given AS (
        SELECT f.id, f.pixels_sha256, f.held_out, f.annotator, f.label,
            f.id = max(f.id) OVER (PARTITION BY f.pixels_sha256, f.annotator) AS newest
        FROM @extschema@.mnist_label l
        CROSS JOIN LATERAL unnest(l.feedback_ids) AS u (id)
        JOIN @extschema@.mnist_feedback f ON f.id = u.id
    ), image AS (
        SELECT d.pixels_sha256, m.label, m.votes
        FROM (
            SELECT g.pixels_sha256, array_agg(g.label) AS labels
            FROM given g
            WHERE g.newest
            GROUP BY g.pixels_sha256) d
        CROSS JOIN LATERAL mnist_internal.majority(d.labels) AS m
    ), counted AS (
        SELECT g.id, g.pixels_sha256, g.held_out, g.annotator, d.label, d.votes,
            CASE
                WHEN NOT g.newest THEN 'superseded'
                WHEN d.label IS NULL THEN 'tie'
                WHEN d.label <> g.label THEN 'outvoted'
            END AS reason
        FROM given g
        JOIN image d USING (pixels_sha256)
    ), allowance AS (
        SELECT a.held_out, mnist_internal.allowance(array_agg(a.own), (
                SELECT count(DISTINCT t.pixels_sha256)
                FROM counted t
                WHERE t.held_out = a.held_out AND t.reason IS NULL AND t.votes > 1),
            annotator_share, annotator_labels) AS images
        FROM (
            SELECT t.held_out, t.annotator, count(*) FILTER (WHERE t.reason IS NULL AND t.votes = 1) AS own
            FROM counted t
            GROUP BY t.held_out, t.annotator) a
        GROUP BY a.held_out
    )
    SELECT r.id, CASE WHEN r.held_out THEN 'held_out' ELSE 'train' END, r.label,
        CASE WHEN r.why IS NULL THEN 1 ELSE 0 END::real, r.why
    FROM (
        SELECT t.*,
            CASE WHEN t.reason IS NULL AND t.votes = 1 AND a.images < row_number() OVER (
                    PARTITION BY t.held_out, t.annotator, t.reason IS NULL AND t.votes = 1 ORDER BY t.pixels_sha256)
                THEN 'share' ELSE t.reason
            END AS why
        FROM counted t
        JOIN allowance a USING (held_out)) r;
END;
COMMENT ON FUNCTION mnist_internal.label_weights(float8, int) IS
    'how each label counts in a run that begins now; internal';

-- Ids of earlier snapshots are not added again: a snapshot contains the ids of all snapshots up to it.  JIT is off
-- because compiling such a long statement takes longer than running it.
CREATE OR REPLACE FUNCTION mnist_internal.open_snapshot(run_id bigint, annotator_share float8, annotator_labels int)
    RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET jit = off
BEGIN ATOMIC
    WITH given AS MATERIALIZED (
        SELECT w.feedback_id, w.label, w.weight, w.reason
        FROM mnist_internal.label_weights(annotator_share, annotator_labels) w
    ), had AS MATERIALIZED (
        SELECT coalesce(range_agg(s.added), '{}') AS ids, coalesce(max(s.newest), 0) AS newest
        FROM mnist_internal.snapshot s
    ), exception AS MATERIALIZED (
        SELECT w.feedback_id, w.label, w.weight, w.reason FROM given w WHERE w.reason IS NOT NULL
        UNION ALL
        SELECT f.id, NULL::smallint, 0::real, 'replaced'
        FROM @extschema@.mnist_feedback f
        WHERE f.id <@ (SELECT h.ids FROM had h) AND NOT EXISTS (SELECT FROM given w WHERE w.feedback_id = f.id)
    ), ended AS (
        UPDATE mnist_internal.snapshot_exception o
        SET next_snapshot = open_snapshot.run_id
        WHERE o.next_snapshot IS NULL
            AND NOT EXISTS (
                SELECT FROM exception e
                WHERE e.feedback_id = o.feedback_id AND e.reason = o.reason AND e.weight = o.weight
                    AND e.label IS NOT DISTINCT FROM o.label)
    ), begun AS (
        INSERT INTO mnist_internal.snapshot_exception (feedback_id, first_snapshot, label, weight, reason)
        SELECT e.feedback_id, open_snapshot.run_id, e.label, e.weight, e.reason
        FROM exception e
        WHERE NOT EXISTS (
            SELECT FROM mnist_internal.snapshot_exception o
            WHERE o.next_snapshot IS NULL AND e.feedback_id = o.feedback_id AND e.reason = o.reason
                AND e.weight = o.weight
                AND e.label IS NOT DISTINCT FROM o.label)
    ), taken AS (
        INSERT INTO mnist_internal.snapshot (id, newest, added)
        SELECT open_snapshot.run_id, greatest(h.newest, max(w.feedback_id)),
            coalesce(range_agg(int8range(w.feedback_id, w.feedback_id, '[]')) FILTER (WHERE w.feedback_id IS NOT NULL),
                '{}')
        FROM had h
        LEFT JOIN given w ON NOT w.feedback_id <@ h.ids
        GROUP BY h.newest
        RETURNING id
    )
    INSERT INTO mnist_internal.run_snapshot (run_id, snapshot_id) SELECT t.id, t.id FROM taken t;
END;
COMMENT ON FUNCTION mnist_internal.open_snapshot(bigint, float8, int) IS
    'store how all existing feedback counts in a run; internal';

CREATE OR REPLACE FUNCTION mnist_internal.copy_snapshot(run_id bigint, original bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    INSERT INTO mnist_internal.run_snapshot (run_id, snapshot_id)
    SELECT copy_snapshot.run_id, u.snapshot_id FROM mnist_internal.run_snapshot u WHERE u.run_id = original;
    INSERT INTO mnist_internal.run_excluded (run_id, feedback_id, doubted_as, doubt, label_probability,
        reference_share, annotator_share)
    SELECT copy_snapshot.run_id, d.feedback_id, d.doubted_as, d.doubt, d.label_probability, d.reference_share,
        d.annotator_share
    FROM mnist_internal.run_excluded d
    WHERE d.run_id = original;
END;
COMMENT ON FUNCTION mnist_internal.copy_snapshot(bigint, bigint) IS
    'have a run use the feedback of another run, each label as it counted there; internal';

CREATE OR REPLACE VIEW mnist_internal.run_exception AS
    SELECT u.run_id, e.feedback_id, e.label, e.weight, e.reason, NULL::smallint AS doubted_as, NULL::real AS doubt,
        NULL::real AS label_probability, NULL::real AS reference_share, NULL::real AS annotator_share
    FROM mnist_internal.run_snapshot u
    JOIN mnist_internal.snapshot_exception e ON e.first_snapshot <= u.snapshot_id
        AND (e.next_snapshot IS NULL OR e.next_snapshot > u.snapshot_id)
UNION ALL
    SELECT d.run_id, d.feedback_id, f.label, 0::real, 'doubted', d.doubted_as, d.doubt, d.label_probability,
        d.reference_share, d.annotator_share
    FROM mnist_internal.run_excluded d
    JOIN @extschema@.mnist_feedback f ON f.id = d.feedback_id;
COMMENT ON VIEW mnist_internal.run_exception IS
    'the feedback that a run did not count in full, as in mnist_run_feedback, and feedback that was replaced, which '
    'its snapshot does not contain; internal';
COMMENT ON COLUMN mnist_internal.run_exception.label IS 'the label that was used for the image';
COMMENT ON COLUMN mnist_internal.run_exception.weight IS 'how much the label counted';
COMMENT ON COLUMN mnist_internal.run_exception.reason IS 'why it counted less';

CREATE OR REPLACE VIEW @extschema@.mnist_run_feedback AS
    SELECT u.run_id, f.id AS feedback_id, CASE WHEN f.held_out THEN 'held_out' ELSE 'train' END AS split,
        CASE WHEN e.feedback_id IS NULL THEN f.label ELSE e.label END AS label,
        coalesce(e.weight, 1) AS weight, e.reason, e.doubted_as, e.doubt, e.label_probability,
        e.reference_share, e.annotator_share
    FROM mnist_internal.run_snapshot u
    CROSS JOIN LATERAL (
        SELECT range_agg(s.added) AS ids FROM mnist_internal.snapshot s WHERE s.id <= u.snapshot_id) h
    CROSS JOIN LATERAL unnest(h.ids) AS i (ids)
    JOIN @extschema@.mnist_feedback f ON f.id >= lower(i.ids) AND f.id < upper(i.ids)
    LEFT JOIN mnist_internal.run_exception e ON e.run_id = u.run_id AND e.feedback_id = f.id
    WHERE e.reason IS DISTINCT FROM 'replaced';
COMMENT ON VIEW @extschema@.mnist_run_feedback IS
    'the feedback in a run''s snapshot: each label, how much it counted and, if less than in full, why';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.feedback_id IS
    'the feedback; a prediction has a row for each of its annotators';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.split IS
    'train, or held_out: never trained on, used only to compare models';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.label IS
    'the label that was used for the image: the one that most annotators gave; NULL in a tie';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.weight IS 'how much the label counted: 1 in full, 0 not at all';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.reason IS
    'why it counted less: superseded (by the annotator''s later label of the same image), tie, outvoted, share (above '
    'the annotator''s limit) or doubted (excluded by the label-noise filter)';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.doubted_as IS
    'of an excluded label: the most probable other label, according to a model that was trained without it';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.doubt IS 'that model''s probability of doubted_as, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.label_probability IS 'that model''s probability of the label, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.reference_share IS
    'of base images that show the digit doubted_as, the fraction for which that model gives the label at least '
    'label_probability, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.annotator_share IS
    'of the annotator''s corrections in this run, the fraction that the filter found unsupported, 0 .. 1';

-- The images of a run, which its processes load in this order.
CREATE OR REPLACE FUNCTION mnist_internal.run_images(
    run_id bigint,
    OUT feedback_id bigint, OUT prediction_id bigint, OUT pixels_sha256 bytea, OUT held_out boolean,
    OUT label smallint, OUT weight real)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000
BEGIN ATOMIC
    SELECT DISTINCT ON (f.pixels_sha256)
        f.id, f.prediction_id, f.pixels_sha256, u.split = 'held_out', u.label, u.weight
    FROM @extschema@.mnist_run_feedback u
    JOIN @extschema@.mnist_feedback f ON f.id = u.feedback_id
    WHERE u.run_id = run_images.run_id AND u.weight > 0
    ORDER BY f.pixels_sha256, f.id DESC;
END;
COMMENT ON FUNCTION mnist_internal.run_images(bigint) IS
    'the images that a run trains on and that its gate uses, one row each; internal';

-- Every process of a run loads the pixels of the feedback, and so does the label-noise filter.  So the first run that
-- uses a PNG decodes it, and stores the pixels here.  They can be computed again, so the table is not dumped.
CREATE TABLE IF NOT EXISTS mnist_internal.feedback_image (
    pixels_sha256  bytea PRIMARY KEY,
    pixels         bytea NOT NULL CHECK (octet_length(pixels) = 784)
);
ALTER TABLE mnist_internal.feedback_image ALTER COLUMN pixels SET STATISTICS 0;
COMMENT ON TABLE mnist_internal.feedback_image IS
    'the images that runs have used as feedback and that were stored as PNGs, in MNIST''s form; internal';

CREATE OR REPLACE FUNCTION mnist_internal.keep_images(run_id bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    INSERT INTO mnist_internal.feedback_image (pixels_sha256, pixels)
    SELECT i.pixels_sha256, i.pixels
    FROM (
        SELECT d.pixels_sha256, mnist_internal.readable_pixels(p.image) AS pixels
        FROM mnist_internal.run_images(run_id) d
        JOIN @extschema@.mnist_prediction p ON p.id = d.prediction_id
        WHERE octet_length(p.image) <> 784
            AND NOT EXISTS (SELECT FROM mnist_internal.feedback_image f WHERE f.pixels_sha256 = d.pixels_sha256)) i
    WHERE i.pixels IS NOT NULL
    ON CONFLICT DO NOTHING;
END;
COMMENT ON FUNCTION mnist_internal.keep_images(bigint) IS
    'decode the images of a run''s feedback that no run has used before; internal';

-- Triggers fire in the order of their names: this one after mnist_feedback_erased, which updates mnist_label.
CREATE OR REPLACE FUNCTION mnist_internal.forget_images() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM mnist_internal.feedback_image i
    USING erased e
    WHERE i.pixels_sha256 = e.pixels_sha256
        AND NOT EXISTS (SELECT FROM @extschema@.mnist_label l WHERE l.pixels_sha256 = e.pixels_sha256);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.forget_images() IS
    'trigger that deletes an image from feedback_image with the last feedback on it; internal';
CREATE OR REPLACE TRIGGER mnist_feedback_forgotten AFTER DELETE ON @extschema@.mnist_feedback
    REFERENCING OLD TABLE AS erased
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.forget_images();

---------------------------------------------------------------- the data of a run

CREATE OR REPLACE FUNCTION mnist_internal.feedback_digest(run_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'train', count(*) FILTER (WHERE NOT d.held_out),
        'held_out', count(*) FILTER (WHERE d.held_out),
        'sha256', encode(sha256(coalesce(
            string_agg(d.pixels_sha256 || set_byte('\x00', 0, d.label) || float4send(d.weight), ''::bytea
                ORDER BY d.pixels_sha256), '')), 'hex'))
    FROM mnist_internal.run_images(run_id) d;
END;
COMMENT ON FUNCTION mnist_internal.feedback_digest(bigint) IS
    'number of images of a run''s feedback, and SHA-256 over their pixels'' hashes, labels and weights; internal';

CREATE OR REPLACE FUNCTION mnist_internal.data(run_id bigint, dataset_ids int[]) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'datasets', (
            SELECT jsonb_agg(
                jsonb_build_object('name', d.name, 'source', d.source) || (
                    SELECT jsonb_object_agg(s.split, encode(mnist_internal.split_digest(d.id, s.split), 'hex'))
                    FROM unnest(ARRAY['train', 'validation', 'test']) AS s (split))
                ORDER BY array_position(dataset_ids, d.id), d.id)
            FROM @extschema@.mnist_dataset d
            WHERE dataset_ids IS NULL OR d.id = ANY (dataset_ids)),
        'feedback', mnist_internal.feedback_digest(run_id),
        'rules', jsonb_build_object(
            'held_out', 'feedback whose pixels'' SHA-256 begins with a byte that 5 divides',
            'validation', 'of IDX files the last twelfth of split train, else images whose pixels'' SHA-256 has a '
                'second byte that 12 divides',
            'duplicates', 'equal pixels count once: feedback before base data, test before validation before train'));
END;
COMMENT ON FUNCTION mnist_internal.data(bigint, int[]) IS
    'the data of a run, for mnist_run.data; the data sets: NULL for all; internal';

CREATE OR REPLACE FUNCTION mnist_internal.data_sha256(data jsonb) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT sha256(convert_to(concat_ws(' ', string_agg(concat_ws(' ', coalesce(d.item->>'train', '-'),
        coalesce(d.item->>'validation', '-'), coalesce(d.item->>'test', '-')), ' ' ORDER BY d.place),
        data->'feedback'->>'sha256'), 'UTF8'))
    FROM jsonb_array_elements(data->'datasets') WITH ORDINALITY AS d (item, place);
END;
COMMENT ON FUNCTION mnist_internal.data_sha256(jsonb) IS 'one hash over the hashes in mnist_run.data; internal';

---------------------------------------------------------------- feedback that did not count in full

CREATE OR REPLACE VIEW @extschema@.mnist_set_aside AS
    SELECT f.prediction_id, f.id AS feedback_id, f.annotator, f.label, f.predicted_label, u.reason, u.weight,
        u.doubted_as, u.doubt, CASE WHEN f.held_out THEN 'held_out' ELSE 'train' END AS split, u.run_id
    FROM mnist_internal.run_exception u
    JOIN @extschema@.mnist_feedback f ON f.id = u.feedback_id
    JOIN @extschema@.mnist_label l ON l.prediction_id = f.prediction_id
    WHERE u.run_id = (
            SELECT max(r.id) FROM @extschema@.mnist_run r WHERE r.status = 'succeeded' AND r.reproduces IS NULL)
        AND u.reason NOT IN ('superseded', 'replaced') AND NOT l.new;
COMMENT ON VIEW @extschema@.mnist_set_aside IS
    'feedback that the newest completed run did not count in full, and why, until the prediction is labelled again';
COMMENT ON COLUMN @extschema@.mnist_set_aside.prediction_id IS
    'the prediction; the label of another annotator, by mnist_correct, decides';
COMMENT ON COLUMN @extschema@.mnist_set_aside.feedback_id IS 'the feedback';
COMMENT ON COLUMN @extschema@.mnist_set_aside.annotator IS 'the annotator';
COMMENT ON COLUMN @extschema@.mnist_set_aside.label IS 'the label that the annotator gave';
COMMENT ON COLUMN @extschema@.mnist_set_aside.predicted_label IS 'the predicted digit';
COMMENT ON COLUMN @extschema@.mnist_set_aside.reason IS
    'tie, outvoted, share (above the annotator''s limit) or doubted (excluded by the label-noise filter: see '
    'mnist_doubted)';
COMMENT ON COLUMN @extschema@.mnist_set_aside.weight IS 'how much it counted, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_set_aside.doubted_as IS
    'of an excluded label: the most probable other label, according to a model that was trained without it';
COMMENT ON COLUMN @extschema@.mnist_set_aside.doubt IS 'that model''s probability of doubted_as, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_set_aside.split IS 'train or held_out';
COMMENT ON COLUMN @extschema@.mnist_set_aside.run_id IS 'the run';

---------------------------------------------------------------- which labels are new

-- The snapshot of a run contains those of all earlier runs, so that of the newest completed run has all used feedback.
CREATE OR REPLACE FUNCTION mnist_internal.used_feedback() RETURNS int8multirange
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(range_agg(s.added), '{}')
    FROM mnist_internal.snapshot s
    WHERE s.id <= (
        SELECT max(u.snapshot_id)
        FROM mnist_internal.run_snapshot u
        JOIN @extschema@.mnist_run r ON r.id = u.run_id
        WHERE r.status = 'succeeded');
END;
COMMENT ON FUNCTION mnist_internal.used_feedback() IS 'ids of the feedback that completed runs have used; internal';

-- A run that ends must neither wait nor become the victim of a deadlock, so it skips the row of a prediction that an
-- annotator is labelling.  That row stays new; once the label commits, it is new anyway.  The condition on feedback_ids
-- is evaluated on the locked row, so a label that was given meanwhile stays new.
CREATE OR REPLACE FUNCTION mnist_internal.note_used(predictions bigint[]) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH free AS (
        SELECT l.prediction_id
        FROM @extschema@.mnist_label l
        WHERE l.new AND l.prediction_id = ANY (predictions)
        FOR UPDATE SKIP LOCKED
    )
    UPDATE @extschema@.mnist_label l
    SET new = false
    FROM free
    WHERE l.prediction_id = free.prediction_id
        AND NOT EXISTS (
            SELECT FROM unnest(l.feedback_ids) AS b (id)
            WHERE NOT b.id <@ (SELECT mnist_internal.used_feedback()));
END;
COMMENT ON FUNCTION mnist_internal.note_used(bigint[]) IS
    'mark these predictions in mnist_label as no longer new if completed runs have used all their feedback; internal';

CREATE OR REPLACE FUNCTION mnist_internal.note_all_used() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.note_used(array_agg(l.prediction_id)) FROM @extschema@.mnist_label l WHERE l.new;
END;
COMMENT ON FUNCTION mnist_internal.note_all_used() IS
    'mark all rows of mnist_label that are no longer new; its time depends on the number of new rows; internal';

-- src/train/store.c calls note_all_used when a run ends.  The trigger is for records that are restored from a dump.
CREATE OR REPLACE FUNCTION mnist_internal.snapshot_used() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM used u JOIN @extschema@.mnist_run r ON r.id = u.run_id WHERE r.status = 'succeeded') THEN
        PERFORM mnist_internal.note_all_used();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.snapshot_used() IS
    'trigger that marks the rows of mnist_label that are no longer new, if the run has succeeded; internal';

CREATE OR REPLACE TRIGGER mnist_run_snapshot_added AFTER INSERT ON mnist_internal.run_snapshot
    REFERENCING NEW TABLE AS used
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.snapshot_used();
