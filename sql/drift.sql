/*
 * Drift: do recent predictions differ from those that the live model was made for?
 *
 * The reference is a stored histogram of each feature, bound to a model version.  The newest reference of the live
 * version is in force.  It is created when the version first goes live (mnist_internal.drift_bind) or, where that was
 * not possible, by the first check that finds enough predictions:
 *
 * - The bundled model has a reference from MNIST's validation images (bundled/drift_reference.sql).
 * - A model that was trained on feedback has the predictions made before it went live: it was trained because of them,
 *   and similar images will follow.  The new model predicts them again, because confidence and hidden layer differ
 *   between models.
 * - Any other model has the validation images of the data sets that it was trained on, or of all data sets.
 * - Without these it has its own first predictions.
 *
 * The window is the newest predictions, limited by number and by age; predictions by other versions are left out.  A
 * feature has drifted if a two-sample test finds a difference between window and reference, at a level that allows for
 * the number of features (Bonferroni), and if the population stability index shows that the difference is large: with
 * many predictions any difference is significant, with few any difference can be large.
 *
 * View mnist_drift computes this on each query.  mnist_check uses the results that mnist_internal.drift_update stored
 * in mnist_drift_check, at most once a minute and only if there are new predictions.  A violation is a check that found
 * the fraction of drifted features above the threshold.  Drift is a reason to train after enough consecutive violations
 * if no run began recently (mnist_drift_share).
 */

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_drift_reference_id_seq START 2;         -- 1 is the bundled one
CREATE TABLE IF NOT EXISTS @extschema@.mnist_drift_reference (
    id             bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_drift_reference_id_seq'),
    model_version  int NOT NULL REFERENCES @extschema@.mnist_model,
    source         text NOT NULL CHECK (source IN ('bundled', 'base data', 'readings')),
    readings       bigint NOT NULL CHECK (readings > 0),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by     name NOT NULL DEFAULT session_user
);
ALTER SEQUENCE @extschema@.mnist_drift_reference_id_seq OWNED BY @extschema@.mnist_drift_reference.id;
CREATE INDEX IF NOT EXISTS mnist_drift_reference_newest ON @extschema@.mnist_drift_reference (model_version, id);

COMMENT ON TABLE @extschema@.mnist_drift_reference IS
    'the reference distributions that predictions are compared with; the newest of a model is in force';
COMMENT ON COLUMN @extschema@.mnist_drift_reference.id IS 'the reference';
COMMENT ON COLUMN @extschema@.mnist_drift_reference.model_version IS 'the model that made the predictions';
COMMENT ON COLUMN @extschema@.mnist_drift_reference.source IS
    'where the images came from: bundled (MNIST''s validation images), base data, or readings (stored predictions)';
COMMENT ON COLUMN @extschema@.mnist_drift_reference.readings IS 'the number of predictions';
COMMENT ON COLUMN @extschema@.mnist_drift_reference.created_at IS 'when it was made';
COMMENT ON COLUMN @extschema@.mnist_drift_reference.created_by IS 'the role that made it, or made the model live';

SELECT pg_extension_config_dump('@extschema@.mnist_drift_reference', '');
SELECT pg_extension_config_dump('@extschema@.mnist_drift_reference_id_seq', '');

CREATE TABLE IF NOT EXISTS @extschema@.mnist_drift_histogram (
    reference_id  bigint NOT NULL REFERENCES @extschema@.mnist_drift_reference ON DELETE CASCADE,
    feature       text NOT NULL,
    edges         real[] NOT NULL,
    counts        bigint[] NOT NULL CHECK (cardinality(counts) = cardinality(edges) + 1),
    PRIMARY KEY (reference_id, feature)
);
COMMENT ON TABLE @extschema@.mnist_drift_histogram IS 'the distribution of each feature in a reference';
COMMENT ON COLUMN @extschema@.mnist_drift_histogram.reference_id IS 'the reference';
COMMENT ON COLUMN @extschema@.mnist_drift_histogram.feature IS 'the feature, as mnist_feature calls it';
COMMENT ON COLUMN @extschema@.mnist_drift_histogram.edges IS
    'where one bin ends and the next begins, ascending; an edge belongs to the bin above it';
COMMENT ON COLUMN @extschema@.mnist_drift_histogram.counts IS
    'predictions in each bin: below the first edge, ..., from the last one on';

SELECT pg_extension_config_dump('@extschema@.mnist_drift_histogram', '');

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_drift_check_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_drift_check (
    id                bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_drift_check_id_seq'),
    checked_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    reference_id      bigint NOT NULL REFERENCES @extschema@.mnist_drift_reference ON DELETE CASCADE,
    last_reading      bigint NOT NULL,
    window_size       bigint NOT NULL,
    features          int NOT NULL,
    drifted           int NOT NULL CHECK (drifted BETWEEN 0 AND features),
    drifted_features  text[] NOT NULL,
    share             real NOT NULL,
    threshold         real NOT NULL,
    breaches          int NOT NULL CHECK (breaches >= 0)
);
ALTER SEQUENCE @extschema@.mnist_drift_check_id_seq OWNED BY @extschema@.mnist_drift_check.id;

COMMENT ON TABLE @extschema@.mnist_drift_check IS
    'the results of mnist_check''s drift checks, one row for each check of new predictions; the newest 10,000 are '
    'kept';
COMMENT ON COLUMN @extschema@.mnist_drift_check.id IS 'the check';
COMMENT ON COLUMN @extschema@.mnist_drift_check.checked_at IS 'when the check was made';
COMMENT ON COLUMN @extschema@.mnist_drift_check.reference_id IS 'the reference compared with';
COMMENT ON COLUMN @extschema@.mnist_drift_check.last_reading IS 'the newest prediction at that time';
COMMENT ON COLUMN @extschema@.mnist_drift_check.window_size IS 'the number of predictions compared';
COMMENT ON COLUMN @extschema@.mnist_drift_check.features IS 'features compared';
COMMENT ON COLUMN @extschema@.mnist_drift_check.drifted IS 'of these, those that had drifted';
COMMENT ON COLUMN @extschema@.mnist_drift_check.drifted_features IS 'the names of these';
COMMENT ON COLUMN @extschema@.mnist_drift_check.share IS 'the fraction of the features that had drifted, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_drift_check.threshold IS 'mnist_hil.drift_threshold at that time';
COMMENT ON COLUMN @extschema@.mnist_drift_check.breaches IS
    'consecutive violations up to this check: checks with the same reference that found the fraction above the '
    'threshold';

SELECT pg_extension_config_dump('@extschema@.mnist_drift_check', '');
SELECT pg_extension_config_dump('@extschema@.mnist_drift_check_id_seq', '');

---------------------------------------------------------------- histograms and tests

CREATE OR REPLACE FUNCTION mnist_internal.drift_settings(
    OUT window_size int, OUT window_age interval, OUT min_window int, OUT effect float8, OUT significance float8,
    OUT breaches int, OUT cooldown interval)
    AS 'MODULE_PATHNAME', 'mnist_hil_drift_settings' LANGUAGE C STRICT STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mnist_internal.drift_settings() IS
    'the settings mnist_hil.drift_*; internal, but open to readers of mnist_drift';

CREATE OR REPLACE FUNCTION mnist_internal.quantile_edges(sample real[], bins int) RETURNS real[]
    AS 'MODULE_PATHNAME', 'mnist_hil_quantile_edges' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mnist_internal.quantile_edges(real[], int) IS
    'edges that cut a sample into bins of about equal size; internal';

CREATE OR REPLACE FUNCTION mnist_internal.histogram_add(internal, real[], real[]) RETURNS internal
    AS 'MODULE_PATHNAME', 'mnist_hil_histogram_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mnist_internal.histogram_add(internal, real[], real[]) IS
    'transition function of mnist_internal.histogram; internal';
CREATE OR REPLACE FUNCTION mnist_internal.histogram_counts(internal) RETURNS bigint[]
    AS 'MODULE_PATHNAME', 'mnist_hil_histogram_counts' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mnist_internal.histogram_counts(internal) IS 'final function of mnist_internal.histogram; internal';
CREATE OR REPLACE AGGREGATE mnist_internal.histogram(features real[], edges real[]) (
    SFUNC = mnist_internal.histogram_add, STYPE = internal, FINALFUNC = mnist_internal.histogram_counts,
        PARALLEL = SAFE);
COMMENT ON AGGREGATE mnist_internal.histogram(real[], real[]) IS
    'counts of each feature between its edges, one row of the result a feature; internal, but open to readers of '
    'mnist_drift';

CREATE OR REPLACE FUNCTION mnist_internal.two_sample(
    kind text, reference bigint[], sample bigint[],
    OUT test text, OUT statistic float8, OUT p_value float8, OUT effect float8, OUT shift float8)
    AS 'MODULE_PATHNAME', 'mnist_hil_two_sample' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mnist_internal.two_sample(text, bigint[], bigint[]) IS
    'compare two histograms of a feature of this kind over the same bins; internal, but open to readers of '
    'mnist_drift';

CREATE OR REPLACE FUNCTION mnist_internal.pad_edges(edges real[], length int) RETURNS real[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT edges || array_fill('Infinity'::real, ARRAY[length - cardinality(edges)]);
END;
COMMENT ON FUNCTION mnist_internal.pad_edges(real[], int) IS
    'edges padded with infinity to a length, so that the edges of several features fit into one array; internal';

GRANT EXECUTE ON FUNCTION mnist_internal.drift_settings, mnist_internal.histogram, mnist_internal.two_sample,
    mnist_internal.pad_edges TO PUBLIC;

---------------------------------------------------------------- the reference

-- samples has the shape (n, features).  Histograms have 64 bins: the Kolmogorov-Smirnov statistic is computed at their
-- edges, so it misses at most a 64th of the reference.
CREATE OR REPLACE FUNCTION mnist_internal.drift_store(version int, source text, samples real[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored bigint;
BEGIN
    INSERT INTO @extschema@.mnist_drift_reference (model_version, source, readings, created_by)
    VALUES (version, source, array_length(samples, 1), mnist_internal.invoker())
    RETURNING id INTO stored;

    INSERT INTO @extschema@.mnist_drift_histogram (reference_id, feature, edges, counts)
    WITH value AS MATERIALIZED (
        SELECT (u.position - 1) % array_length(samples, 2) + 1 AS place, u.value
        FROM unnest(samples) WITH ORDINALITY AS u (value, position)
    ), feature AS MATERIALIZED (
        SELECT f.place, f.name,
            CASE f.kind
                WHEN 'category' THEN '{1,2,3,4,5,6,7,8,9}'
                WHEN 'flag' THEN '{1}'
                ELSE (SELECT mnist_internal.quantile_edges(array_agg(v.value), 64) FROM value v WHERE v.place = f.place)
            END::real[] AS edges
        FROM @extschema@.mnist_feature f
    ), counted AS (
        SELECT v.place, width_bucket(v.value, f.edges) AS bin, count(*) AS count
        FROM value v
        JOIN feature f ON f.place = v.place
        GROUP BY 1, 2
    )
    SELECT stored, f.name, f.edges, array_agg(coalesce(c.count, 0) ORDER BY b.bin)
    FROM feature f
    CROSS JOIN generate_series(0, cardinality(f.edges)) AS b (bin)
    LEFT JOIN counted c ON c.place = f.place AND c.bin = b.bin
    GROUP BY f.name, f.edges;
    RETURN stored;
END
$$;
COMMENT ON FUNCTION mnist_internal.drift_store(int, text, real[]) IS
    'store the features of predictions by a model as its reference; returns its id; internal';

-- A model is more confident on images that it was trained on than on new ones, so training images are used only if
-- there are too few validation images.  An image's position does not depend on its content, so a hash of the position
-- gives a random sample.
CREATE OR REPLACE FUNCTION mnist_internal.drift_base(version int) RETURNS real[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sets int[];
    splits text[] := '{validation}';
    samples real[];
BEGIN
    SELECT array_agg(d.id) INTO sets
    FROM @extschema@.mnist_model m
    JOIN @extschema@.mnist_run r ON r.id = m.run_id
    JOIN @extschema@.mnist_dataset d ON d.name = ANY (r.datasets)
    WHERE m.version = drift_base.version;
    IF sets IS NULL THEN
        SELECT array_agg(d.id) INTO sets FROM @extschema@.mnist_dataset d;
    END IF;
    IF (SELECT count(*)
        FROM (
            SELECT FROM @extschema@.mnist_sample s
            WHERE s.dataset_id = ANY (sets) AND s.split = 'validation'
            LIMIT 200) s) < 200
    THEN
        splits := '{validation,train}';
    END IF;

    SELECT array_agg(mnist_internal.features(s.pixels, version)) INTO samples
    FROM (
        SELECT s.pixels
        FROM @extschema@.mnist_sample s
        WHERE s.dataset_id = ANY (sets) AND s.split = ANY (splits)
        ORDER BY hashint4(s.ordinal), s.dataset_id
        LIMIT 3000) s;
    RETURN samples;
END
$$;
COMMENT ON FUNCTION mnist_internal.drift_base(int) IS
    'the features of a model''s predictions on base data, (n, features); NULL: there is no base data; internal';

CREATE OR REPLACE FUNCTION mnist_internal.drift_predictions(version int, only_by_it boolean, at_least int)
    RETURNS real[]
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT CASE WHEN count(*) >= at_least
        THEN array_agg(CASE WHEN p.model_version = drift_predictions.version AND p.features IS NOT NULL
            THEN p.features ELSE mnist_internal.features(p.image, version) END) END
    FROM (
        SELECT p.*
        FROM (SELECT p.* FROM @extschema@.mnist_prediction p ORDER BY p.id DESC LIMIT 2000) p
        WHERE p.model_version = drift_predictions.version OR NOT only_by_it
        OFFSET 0) p;
END;
COMMENT ON FUNCTION mnist_internal.drift_predictions(int, boolean, int) IS
    'the features of the newest predictions, as this model makes them, (n, features); NULL: there are not enough; '
    'internal';

CREATE OR REPLACE FUNCTION mnist_internal.drift_bind(version int) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    enough constant int := 500;                     -- predictions needed for a reference
    learnt constant int := 50;                      -- labelled predictions needed to change a model
    bound bigint;
    samples real[];
    source text;
BEGIN
    SELECT max(r.id) INTO bound FROM @extschema@.mnist_drift_reference r WHERE r.model_version = drift_bind.version;
    IF bound IS NOT NULL THEN
        RETURN bound;
    END IF;

    IF EXISTS (
        SELECT FROM @extschema@.mnist_model m JOIN @extschema@.mnist_run r ON r.id = m.run_id
        WHERE m.version = drift_bind.version AND r.feedback_train_images >= learnt)
    THEN
        samples := mnist_internal.drift_predictions(version, false, enough);
        source := 'readings';
    END IF;
    IF samples IS NULL THEN
        samples := mnist_internal.drift_base(version);
        source := 'base data';
    END IF;
    IF samples IS NULL THEN
        samples := mnist_internal.drift_predictions(version, true, enough);
        source := 'readings';
    END IF;
    RETURN CASE WHEN samples IS NOT NULL THEN mnist_internal.drift_store(version, source, samples) END;
EXCEPTION
    -- A model can go live without a reference.
    WHEN OTHERS THEN
        RAISE WARNING USING
            ERRCODE = SQLSTATE,
            MESSAGE = format('could not make the reference for drift of model version %s: %s', version, SQLERRM);
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.drift_bind(int) IS
    'create a model''s reference if it has none; returns the reference in force, or NULL if there are too few images '
    'to create one; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_drift_rebase(source text DEFAULT 'readings') RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live int := (SELECT l.version FROM @extschema@.mnist_live l);
    samples real[];
    bound bigint;
BEGIN
    PERFORM mnist_internal.refuse_null('{source}', source IS NULL);
    IF source = 'readings' THEN
        samples := mnist_internal.drift_predictions(live, false,
            (SELECT s.min_window FROM mnist_internal.drift_settings() s));
    ELSIF source = 'base data' THEN
        samples := mnist_internal.drift_base(live);
    ELSE
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('source "%s" is neither "readings" nor "base data"', source);
    END IF;
    IF samples IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = CASE source WHEN 'readings' THEN 'there are too few predictions to compare later ones with'
                ELSE 'there is no base data to compare predictions with' END,
            HINT = CASE source WHEN 'readings' THEN 'It takes mnist_hil.drift_min_window of them.'
                ELSE 'mnist_import_idx, mnist_import_images and mnist_import_synthetic bring it in.' END;
    END IF;
    bound := mnist_internal.drift_store(live, source, samples);
    RETURN (SELECT r.readings FROM @extschema@.mnist_drift_reference r WHERE r.id = bound);
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_drift_rebase(text) IS
    'compare predictions from now on with the newest ones ("readings"), accepting what has drifted, or again with '
    'the data that the live model was trained on ("base data"); returns how many images the new reference has';

---------------------------------------------------------------- window against reference

CREATE OR REPLACE VIEW @extschema@.mnist_drift AS
    WITH reference AS MATERIALIZED (
        SELECT r.id, r.model_version
        FROM @extschema@.mnist_drift_reference r
        WHERE r.model_version = (SELECT l.version FROM @extschema@.mnist_live l)
        ORDER BY r.id DESC
        LIMIT 1
    ), histogram AS MATERIALIZED (
        SELECT f.place, f.name, f.kind, coalesce(h.edges, '{}') AS edges, h.counts,
            count(h.feature) OVER () AS features, max(cardinality(h.edges)) OVER () AS most_edges
        FROM @extschema@.mnist_feature f
        LEFT JOIN (reference r JOIN @extschema@.mnist_drift_histogram h ON h.reference_id = r.id) ON h.feature = f.name
    ), counted AS MATERIALIZED (
        SELECT mnist_internal.histogram(w.features, (
                SELECT array_agg(mnist_internal.pad_edges(h.edges, h.most_edges) ORDER BY h.place) FROM histogram h))
                    AS counts,
            count(*) AS n
        FROM (
            SELECT p.features, p.model_version, p.created_at
            FROM @extschema@.mnist_prediction p
            ORDER BY p.id DESC
            LIMIT (SELECT s.window_size FROM mnist_internal.drift_settings() AS s)) w
        WHERE w.features IS NOT NULL
            AND w.model_version = (SELECT r.model_version FROM reference r)
            AND w.created_at > coalesce(now() - (SELECT s.window_age FROM mnist_internal.drift_settings() AS s),
                '-infinity')
    )
    SELECT h.name AS feature, t.test, t.statistic::real AS statistic, t.p_value, t.effect::real AS effect,
        t.shift::real AS shift,
        CASE WHEN c.n >= s.min_window
            THEN t.p_value < s.significance / h.features AND t.effect >= s.effect END AS drifted,
        c.n AS window_size,
        (SELECT sum(b) FROM unnest(h.counts) AS b)::bigint AS reference_size,
        r.model_version,
        r.id AS reference_id,
        h.edges,
        h.counts AS reference_counts,
        b.counts AS window_counts,
        CASE
            WHEN r.id IS NULL THEN format('version %s has no reference yet; mnist_check makes it of base data, or of '
                'its first 500 predictions', (SELECT l.version FROM @extschema@.mnist_live l))
            WHEN h.counts IS NULL THEN 'the reference does not have this feature'
            WHEN c.n < s.min_window THEN format('too few recent predictions by version %s: %s of %s', r.model_version,
                c.n, s.min_window)
            WHEN t.p_value >= s.significance / h.features THEN 'not drifted: no significant difference'
            WHEN t.effect < s.effect THEN 'not drifted: the difference is significant, but small'
            ELSE 'drifted: the difference is significant and large'
        END AS explanation
    FROM histogram h
    CROSS JOIN counted c
    CROSS JOIN mnist_internal.drift_settings() AS s
    LEFT JOIN reference r ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(c.counts[h.place][i] ORDER BY i) AS counts
        FROM generate_series(1, cardinality(h.edges) + 1) AS i) b ON h.counts IS NOT NULL AND c.counts IS NOT NULL
    LEFT JOIN LATERAL mnist_internal.two_sample(h.kind, h.counts, b.counts) AS t ON true
    ORDER BY h.place;
COMMENT ON VIEW @extschema@.mnist_drift IS
    'the newest predictions compared with the live model''s reference, a row a feature; NULL where either is missing, '
    'and explanation says so';
COMMENT ON COLUMN @extschema@.mnist_drift.feature IS 'the feature (see mnist_feature)';
COMMENT ON COLUMN @extschema@.mnist_drift.test IS
    'Kolmogorov-Smirnov, chi-square (for the predicted digits) or Fisher (for flags)';
COMMENT ON COLUMN @extschema@.mnist_drift.statistic IS
    'the test statistic: largest difference of the distribution functions, chi-square, or difference of the fractions';
COMMENT ON COLUMN @extschema@.mnist_drift.p_value IS
    'the probability of a difference at least as large if both came from the same distribution';
COMMENT ON COLUMN @extschema@.mnist_drift.effect IS
    'population stability index over tenths of the reference: below 0.1 little has changed, above 0.25 much';
COMMENT ON COLUMN @extschema@.mnist_drift.shift IS
    'the direction: the probability that a prediction of the window has a higher value than one of the reference, '
    'minus the probability of a lower value (Cliff''s delta)';
COMMENT ON COLUMN @extschema@.mnist_drift.drifted IS
    'whether p_value is below mnist_hil.drift_significance divided by the number of features, and effect is at least '
    'mnist_hil.drift_effect; NULL: the window is smaller than mnist_hil.drift_min_window';
COMMENT ON COLUMN @extschema@.mnist_drift.window_size IS 'the number of predictions in the window';
COMMENT ON COLUMN @extschema@.mnist_drift.reference_size IS 'the number of predictions in the reference';
COMMENT ON COLUMN @extschema@.mnist_drift.model_version IS 'the live model, which made both';
COMMENT ON COLUMN @extschema@.mnist_drift.reference_id IS 'the reference';
COMMENT ON COLUMN @extschema@.mnist_drift.edges IS 'edges of the bins of both histograms; see mnist_drift_histogram';
COMMENT ON COLUMN @extschema@.mnist_drift.reference_counts IS 'predictions of the reference in each bin';
COMMENT ON COLUMN @extschema@.mnist_drift.window_counts IS 'predictions of the window in each bin';
COMMENT ON COLUMN @extschema@.mnist_drift.explanation IS
    'why the feature has drifted, has not, or cannot be compared yet';

---------------------------------------------------------------- checks

CREATE OR REPLACE FUNCTION mnist_internal.drift_update() RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live int := (SELECT l.version FROM @extschema@.mnist_live l);
    newest bigint := (SELECT max(p.id) FROM @extschema@.mnist_prediction p);
    bound bigint;
    last @extschema@.mnist_drift_check;
    added bigint;
BEGIN
    FOR attempt IN 1 .. 2 LOOP
        SELECT max(r.id) INTO bound FROM @extschema@.mnist_drift_reference r WHERE r.model_version = live;
        SELECT c.* INTO last FROM @extschema@.mnist_drift_check c ORDER BY c.id DESC LIMIT 1;
        IF newest IS NULL OR last.reference_id = bound
            AND (last.last_reading >= newest OR last.checked_at > clock_timestamp() - interval '1 minute')
        THEN
            RETURN false;
        END IF;
        -- Check again under the lock: another session may have stored a check meanwhile.
        IF attempt = 1 AND NOT mnist_internal.try_lock() THEN
            RETURN false;
        END IF;
    END LOOP;

    IF mnist_internal.drift_bind(live) IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO @extschema@.mnist_drift_check (reference_id, last_reading, window_size, features, drifted,
        drifted_features, share, threshold, breaches)
    SELECT d.reference_id, newest, d.window_size, d.features, d.drifted, d.drifted_features,
        d.drifted::real / d.features, t.threshold,
        CASE WHEN d.drifted::real / d.features > t.threshold
            THEN CASE WHEN last.reference_id = d.reference_id THEN last.breaches ELSE 0 END + 1
            ELSE 0 END
    FROM (
        SELECT d.reference_id, max(d.window_size) AS window_size, count(d.drifted) AS features,
            count(*) FILTER (WHERE d.drifted) AS drifted,
            coalesce(array_agg(d.feature) FILTER (WHERE d.drifted), '{}') AS drifted_features
        FROM @extschema@.mnist_drift d
        GROUP BY d.reference_id) d
    CROSS JOIN (SELECT s.drift_threshold::real AS threshold FROM mnist_internal.settings() AS s) t
    WHERE d.features > 0
    RETURNING id INTO added;
    DELETE FROM @extschema@.mnist_drift_check c WHERE c.id <= added - 10000;
    RETURN added IS NOT NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.drift_update() IS
    'check for drift and store the result, if there are new predictions and the last check was at least a minute '
    'ago; returns whether it did; internal';

CREATE OR REPLACE VIEW mnist_internal.drift_last AS
    SELECT c.share, c.features, c.drifted, c.drifted_features, c.window_size, c.threshold, c.breaches, c.checked_at,
        r.model_version, r.id AS reference_id
    FROM (SELECT d.* FROM @extschema@.mnist_drift_check d ORDER BY d.id DESC LIMIT 1) c
    JOIN @extschema@.mnist_drift_reference r ON r.id = c.reference_id;
COMMENT ON VIEW mnist_internal.drift_last IS 'the last drift check, and the model that was live then; internal';

CREATE OR REPLACE VIEW @extschema@.mnist_drift_share AS
    SELECT c.share,
        c.features,
        c.drifted,
        c.drifted_features,
        c.window_size,
        c.threshold,
        c.breaches,
        s.breaches AS breaches_needed,
        run.started_at + s.cooldown AS cooling_until,
        c.breaches >= s.breaches AND coalesce(run.started_at + s.cooldown <= clock_timestamp(), true) AS alarm,
        c.checked_at,
        c.model_version,
        c.reference_id
    FROM mnist_internal.drift_settings() AS s
    CROSS JOIN mnist_internal.drift_last c
    LEFT JOIN (
        SELECT r.started_at
        FROM @extschema@.mnist_run r
        WHERE r.status IN ('running', 'succeeded')
        ORDER BY r.id DESC
        LIMIT 1) run
        ON true
    WHERE c.model_version = (SELECT l.version FROM @extschema@.mnist_live l);
COMMENT ON VIEW @extschema@.mnist_drift_share IS
    'the last drift check of mnist_check; one row, or none before the first check of predictions by the live model';
COMMENT ON COLUMN @extschema@.mnist_drift_share.share IS 'the fraction of the features that had drifted, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_drift_share.features IS 'features compared';
COMMENT ON COLUMN @extschema@.mnist_drift_share.drifted IS 'of these, those that had drifted';
COMMENT ON COLUMN @extschema@.mnist_drift_share.drifted_features IS 'the names of these';
COMMENT ON COLUMN @extschema@.mnist_drift_share.window_size IS 'the number of predictions compared';
COMMENT ON COLUMN @extschema@.mnist_drift_share.threshold IS 'mnist_hil.drift_threshold at that time';
COMMENT ON COLUMN @extschema@.mnist_drift_share.breaches IS 'consecutive violations of that threshold';
COMMENT ON COLUMN @extschema@.mnist_drift_share.breaches_needed IS
    'the number of consecutive violations that is a reason to train (mnist_hil.drift_breaches)';
COMMENT ON COLUMN @extschema@.mnist_drift_share.cooling_until IS
    'until then drift is no reason to train, because a run began recently (mnist_hil.drift_cooldown)';
COMMENT ON COLUMN @extschema@.mnist_drift_share.alarm IS 'whether drift is a reason to train';
COMMENT ON COLUMN @extschema@.mnist_drift_share.checked_at IS 'when the check was made';
COMMENT ON COLUMN @extschema@.mnist_drift_share.model_version IS 'the live model';
COMMENT ON COLUMN @extschema@.mnist_drift_share.reference_id IS 'the reference compared with';
