-- also: not preloaded
-- Drift: features are what they are called, the verdict is what another computation says, and mnist_check heeds it.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
LOAD 'mnist_hil';

---------------------------------------------------------------- features

SELECT place, name, kind FROM mnist_feature;
-- What is stored is what mnist_features shows, one by one and in a batch.
SELECT mnist_predict(mnist_draw(7, 3, 200)) IS NOT NULL AS predicted;
SELECT count(*)
FROM mnist_predict_batch(ARRAY[mnist_draw(7, 3, 200), NULL, mnist_draw(2, 5, 100), decode(repeat('00', 784), 'hex')]);
SELECT p.id, bool_and(p.features[f.place] = v.value) AS same, cardinality(p.features) AS features
FROM mnist_prediction p, mnist_feature f, LATERAL mnist_features(p.image) AS v
WHERE v.feature = f.name GROUP BY p.id ORDER BY p.id;
SELECT count(DISTINCT pixels_sha256) AS pictures, count(*) AS predictions FROM mnist_prediction;
-- Some of them computed otherwise.
WITH pixel AS (
    SELECT p.id, x, y, get_byte(mnist_preprocess(p.image), y * 28 + x) AS level
    FROM mnist_prediction p, generate_series(0, 27) AS x, generate_series(0, 27) AS y
), other AS (
    SELECT id, 'ink_share' AS name, avg((level > 0)::int)::float8 AS value FROM pixel GROUP BY id
    UNION ALL SELECT id, 'intensity_mean', coalesce(avg(level) FILTER (WHERE level > 0) / 255, 0) FROM pixel GROUP BY id
    UNION ALL SELECT id, 'intensity_spread', coalesce(stddev_pop(level) FILTER (WHERE level > 0) / 255, 0) FROM pixel
    GROUP BY id
    UNION ALL SELECT id, 'box_width', coalesce(max(x) FILTER (WHERE level > 0) - min(x) FILTER (WHERE level > 0) + 1, 0)
    FROM pixel GROUP BY id
    UNION ALL SELECT id, 'offset_y', coalesce(sum(level * y)::float8 / nullif(sum(level), 0) - 13.5, 0) FROM pixel
    GROUP BY id
    UNION ALL SELECT id, 'slant', coalesce(-degrees(atan(regr_slope(x, y))), 0)
        FROM pixel, generate_series(1, level) GROUP BY id
    UNION ALL SELECT id, 'blank', (max(level) = 0)::int FROM pixel GROUP BY id
    UNION ALL SELECT id, 'original_side', CASE WHEN octet_length(image) = 784 THEN 28
        ELSE ('x' || encode(substr(image, 17, 4), 'hex'))::bit(32)::int END FROM mnist_prediction
    UNION ALL SELECT id, 'confidence', confidence FROM mnist_prediction
    UNION ALL SELECT id, 'label', label FROM mnist_prediction
    UNION ALL SELECT id, 'entropy', (SELECT -sum(x * ln(x)) FROM unnest(probabilities::float8[]) AS x WHERE x > 0)
    FROM mnist_prediction
)
SELECT o.name, bool_and(abs(p.features[f.place] - o.value) <= 1e-4 * (1 + abs(o.value))) AS agrees
FROM other o JOIN mnist_prediction p USING (id) JOIN mnist_feature f USING (name)
GROUP BY f.place, o.name ORDER BY f.place;
-- A light background is told apart from a dark one, in a PNG and in raw pixels.
SELECT (SELECT value FROM mnist_features(mnist_draw(3)) WHERE feature = 'light_background') AS drawn,
    (SELECT value FROM mnist_features(mnist_png(mnist_internal.synthetic(3, 1)))
        WHERE feature = 'light_background') AS png,
    (SELECT value FROM mnist_features(mnist_internal.synthetic(3, 1)) WHERE feature = 'light_background') AS raw,
    (SELECT value FROM mnist_features(decode(repeat('ff', 784), 'hex')) WHERE feature = 'light_background') AS bright;
SELECT count(*) FROM mnist_features(NULL);
-- Nothing but a prediction is stored.
SELECT count(*) FROM mnist_prediction;
DELETE FROM mnist_prediction;

---------------------------------------------------------------- the reference

-- The bundled model brings one, made with these very weights: see src/tools/drift_reference.sh if it does not.
SELECT r.id, r.model_version, r.source, r.readings, count(*) AS features,
    bool_and((SELECT sum(c) FROM unnest(h.counts) AS c) = r.readings) AS all_counted
FROM mnist_drift_reference r JOIN mnist_drift_histogram h ON h.reference_id = r.id GROUP BY r.id;
SELECT count(*) AS unknown_features FROM mnist_drift_histogram WHERE feature NOT IN (SELECT name FROM mnist_feature);
-- Without predictions nothing is known.
SELECT count(*), count(statistic) AS statistics, count(drifted) AS verdicts, min(window_size) AS window_size,
    min(reference_size) AS reference_size
FROM mnist_drift;
SELECT DISTINCT explanation FROM mnist_drift;
SELECT count(*) FROM mnist_drift_share;
SELECT mnist_internal.drift_update();
SELECT value, met, explanation FROM mnist_retrain_decision WHERE condition = 'drift';

SELECT mnist_drift_rebase();
SELECT mnist_drift_rebase('base data');
SELECT mnist_drift_rebase('elsewhere');
SELECT mnist_drift_rebase(NULL);

-- From here on synthetic digits are what is usual.
CREATE FUNCTION pg_temp.read(kind text, first int, n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    images bytea[];
BEGIN
    SELECT array_agg(CASE kind
        WHEN 'usual' THEN d.pixels
        WHEN 'inverted' THEN mnist_png((SELECT string_agg(set_byte('\x00', 0, 255 - get_byte(d.pixels, i)), ''::bytea
            ORDER BY i)
            FROM generate_series(0, 783) AS i))
        WHEN 'turned' THEN (SELECT string_agg(set_byte('\x00', 0, get_byte(d.pixels, i % 28 * 28 + 27 - i / 28)),
            ''::bytea ORDER BY i)
            FROM generate_series(0, 783) AS i)
        WHEN 'thick' THEN (SELECT string_agg(set_byte('\x00', 0,
            greatest(get_byte(d.pixels, i), get_byte(d.pixels, greatest(i - 1, 0)),
                get_byte(d.pixels, least(i + 1, 783)), get_byte(d.pixels, greatest(i - 28, 0)),
                get_byte(d.pixels, least(i + 28, 783)))),
                ''::bytea ORDER BY i)
            FROM generate_series(0, 783) AS i)
        WHEN 'noisy' THEN (SELECT string_agg(set_byte('\x00', 0,
            least(255, get_byte(d.pixels, i) + (i * 7919 + k) % 50)), ''::bytea ORDER BY i)
            FROM generate_series(0, 783) AS i)
        WHEN 'ones' THEN CASE WHEN k % 2 = 0 THEN mnist_internal.synthetic(1, k) ELSE d.pixels END
        END ORDER BY k) INTO images
    FROM generate_series(first, first + n - 1) AS k,
    LATERAL (SELECT mnist_internal.synthetic(k % 10, k) AS pixels OFFSET 0) AS d;
    RETURN (SELECT count(*) FROM mnist_predict_batch(images));
END
$$;
SELECT pg_temp.read('usual', 1, 1000);
SELECT mnist_drift_rebase();
SELECT id, model_version, source, readings FROM mnist_drift_reference ORDER BY id;
-- Counted otherwise; what is below the least and above the most has no count.
SELECT count(*) AS features, count(*) FILTER (WHERE h.counts = o.counts) AS same,
    count(*) FILTER (WHERE f.kind = 'continuous' AND h.counts[1] = 0 AND h.counts[cardinality(h.counts)]
        = 0) AS continuous_closed
FROM mnist_drift_histogram h JOIN mnist_feature f ON f.name = h.feature, LATERAL (
    SELECT array_agg((SELECT count(*) FROM mnist_prediction p
            WHERE (b = 0 OR p.features[f.place] >= h.edges[b])
                AND (b = cardinality(h.edges) OR p.features[f.place] < h.edges[b + 1]))
        ORDER BY b) AS counts
    FROM generate_series(0, cardinality(h.edges)) AS b) AS o
WHERE h.reference_id = 2;

---------------------------------------------------------------- the verdict

SET mnist_hil.drift_window = 200;
-- More of the same is not drift.
SELECT pg_temp.read('usual', 5001, 200);
SELECT count(*) AS features, count(*) FILTER (WHERE drifted) AS drifted, min(window_size) AS window_size,
    min(reference_size) AS reference_size,
    min(reference_id) AS reference_id, min(model_version) AS model_version
FROM mnist_drift;
-- Figures computed otherwise: counts, the statistics and the index, from the predictions themselves.
WITH win AS (
    SELECT d.*, f.kind, f.place, b, d.reference_counts[b + 1] AS a,
        (SELECT count(*) FROM (SELECT features FROM mnist_prediction ORDER BY id DESC LIMIT 200) p
         WHERE (b = 0 OR p.features[f.place] >= d.edges[b])
             AND (b = cardinality(d.edges) OR p.features[f.place] < d.edges[b + 1])) AS n
    FROM mnist_drift d JOIN mnist_feature f ON f.name = d.feature, generate_series(0, cardinality(d.edges)) AS b
), cumulated AS (
    SELECT *, sum(a) OVER below / 1000 - sum(n) OVER below / 200 AS difference
    FROM win WINDOW below AS (PARTITION BY feature ORDER BY b)
)
SELECT kind, count(DISTINCT feature) AS features, bool_and(window_counts[b + 1] = n) AS counts_ok,
    bool_and(CASE kind WHEN 'continuous' THEN abs(statistic - (SELECT max(abs(difference)) FROM cumulated o
        WHERE o.feature = c.feature)) < 1e-6
        WHEN 'category' THEN abs(statistic
            - (SELECT sum((n - (a + n) / 6.0) ^ 2 / ((a + n) / 6.0) + (a - (a + n) / 1.2) ^ 2 / ((a + n) / 1.2))
            FROM win o WHERE o.feature = c.feature)) < 1e-4
        ELSE abs(statistic - (SELECT n / 200.0 - a / 1000.0 FROM win o WHERE o.feature = c.feature AND b = 1))
            < 1e-6 END) AS statistic_ok,
    bool_and(kind = 'continuous'
        OR abs(effect - (SELECT sum(((n + 0.5) / (200 + g / 2.0) - (a + 0.5) / (1000 + g / 2.0))
            * ln((n + 0.5) / (200 + g / 2.0) * (1000 + g / 2.0) / (a + 0.5)))
        FROM win o, LATERAL (SELECT cardinality(edges) + 1 AS g) AS g WHERE o.feature = c.feature)) < 1e-5) AS effect_ok
FROM cumulated c GROUP BY kind ORDER BY kind;

-- Each kind of change is found in 100 predictions, and in what it changes.
SET mnist_hil.drift_window = 100;
CREATE TEMP VIEW found AS
SELECT count(*) FILTER (WHERE drifted) > 0.3 * count(*) AS alarm, array_agg(feature
    ORDER BY feature) FILTER (WHERE drifted) AS drifted FROM mnist_drift;
SELECT pg_temp.read('turned', 6001, 100);
SELECT alarm, drifted @> '{aspect,box_height,box_width,confidence}' AS as_expected,
    drifted && '{light_background,blank,original_side}' AS unexpected FROM found;
SELECT pg_temp.read('thick', 6001, 100);
SELECT alarm, drifted @> '{stroke_width,ink_share}' AS as_expected FROM found;
SELECT feature, shift > 0.5 AS more FROM mnist_drift WHERE feature = 'stroke_width';
SELECT pg_temp.read('noisy', 6001, 100);
SELECT alarm, drifted @> '{ink_share,intensity_mean,box_width}' AS as_expected FROM found;
SELECT DISTINCT drifted, explanation FROM mnist_drift ORDER BY 1, 2;
SELECT pg_temp.read('ones', 6001, 100);
SELECT drifted @> '{label}' AS as_expected FROM found;
-- Preprocessing undoes inversion, so that is all that changes.
SELECT pg_temp.read('inverted', 6001, 100);
SELECT * FROM found;
-- The minimum.
SET mnist_hil.drift_min_window = 101;
SELECT count(drifted) AS verdicts, count(p_value) AS p_values FROM mnist_drift;
RESET mnist_hil.drift_min_window;
-- By age: of 100 predictions 40 are of the last hour.
UPDATE mnist_prediction SET created_at = now() - interval '2 hours'
WHERE id <= (SELECT max(id) FROM mnist_prediction) - 40;
SET mnist_hil.drift_window_age = '1 h';
SELECT DISTINCT window_size FROM mnist_drift;
RESET mnist_hil.drift_window_age;
-- Another effect or significance asked for.
SET mnist_hil.drift_effect = 10;
SELECT count(*) FILTER (WHERE drifted) AS drifted FROM mnist_drift;
RESET mnist_hil.drift_effect;
SET mnist_hil.drift_significance = 1e-12;
SELECT pg_temp.read('ones', 6001, 100);
SELECT count(*) FILTER (WHERE drifted) < (SELECT count(*) FROM mnist_drift
    WHERE p_value < 0.005 / 20 AND effect >= 0.1) AS fewer FROM mnist_drift;
RESET mnist_hil.drift_significance;
-- Predictions by other models, and from before features were kept, are left out.
UPDATE mnist_prediction SET features = NULL WHERE id = (SELECT max(id) FROM mnist_prediction);
UPDATE mnist_prediction SET model_version = 7 WHERE id = (SELECT max(id) - 1 FROM mnist_prediction);
SELECT DISTINCT window_size FROM mnist_drift;

---------------------------------------------------------------- what mnist_check goes by

SELECT pg_temp.read('noisy', 7001, 100);
SELECT mnist_internal.drift_update() AS looked;
SELECT share > 0.3 AS above, features, drifted > 6 AS drifted, window_size, threshold, breaches, breaches_needed,
    cooling_until, alarm, model_version, reference_id
FROM mnist_drift_share;
SELECT met, threshold, value = (SELECT share FROM mnist_drift_share) AS value_ok,
    explanation ~ 'in 3 consecutive checks; this was one of 1$' AS explained
FROM mnist_retrain_decision WHERE condition = 'drift';
-- Within a minute, or without new predictions, there is no other look.
SELECT pg_temp.read('noisy', 7101, 10);
SELECT mnist_internal.drift_update() AS within_a_minute;
UPDATE mnist_drift_check SET checked_at = checked_at - interval '2 minutes';
SELECT mnist_internal.drift_update() AS looked;
UPDATE mnist_drift_check SET checked_at = checked_at - interval '2 minutes';
SELECT mnist_internal.drift_update() AS nothing_new;
SELECT breaches, alarm FROM mnist_drift_share;
SELECT pg_temp.read('noisy', 7111, 10);
-- The third look in a row: a reason to train, which mnist_check says, and which it looked for itself.
BEGIN;
SELECT retrain, reasons[1] ~ '% of the features have drifted' AS reason FROM mnist_check();
SELECT breaches, alarm FROM mnist_drift_share;
SELECT met FROM mnist_retrain_decision WHERE condition = 'drift';
ROLLBACK;
SELECT mnist_internal.drift_update() AS looked;
-- Not for an hour after a run began, unless it failed.
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at,
    started_at)
VALUES ('failed', 'fine_tune', 'default', 1, '{}', 'nobody', 0, now(), now()),
    ('succeeded', 'fine_tune', 'default', 1, '{}', 'nobody', 0, now(), now() - interval '61 minutes');
SELECT breaches, alarm, cooling_until < now() AS cooled FROM mnist_drift_share;
UPDATE mnist_run SET started_at = now() - interval '59 minutes' WHERE status = 'succeeded';
SELECT breaches, alarm, cooling_until > now() AS cooling FROM mnist_drift_share;
SELECT met, explanation ~ 'but not before .*, because a run began recently$' AS explained FROM mnist_retrain_decision
WHERE condition = 'drift';
DELETE FROM mnist_run;
-- A single look that finds none ends it.
UPDATE mnist_drift_check SET checked_at = checked_at - interval '2 minutes';
SELECT pg_temp.read('usual', 8001, 100);
SELECT mnist_internal.drift_update() AS looked;
SELECT share, drifted_features, breaches, alarm FROM mnist_drift_share;
-- So does another reference.
SELECT pg_temp.read('noisy', 7201, 100);
SELECT mnist_drift_rebase('readings');
SELECT mnist_internal.drift_update() AS looked_at_once;
SELECT reference_id, breaches FROM mnist_drift_share;

-- None of the views holds a lock that a prediction waits for.
BEGIN;
SELECT (SELECT count(*) FROM mnist_drift) + (SELECT count(*) FROM mnist_drift_share) + (SELECT count(*)
    FROM mnist_data_quality)
    + (SELECT count(*) FROM mnist_annotator_agreement) + (SELECT count(*) FROM mnist_model_performance)
    + (SELECT count(*) FROM mnist_class_performance) + (SELECT count(*) FROM mnist_accuracy_daily)
    + (SELECT count(*) FROM mnist_calibration) + (SELECT count(*) FROM mnist_model_confusion) > 0 AS looked;
SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid';
COMMIT;

---------------------------------------------------------------- other models

-- Version 2 is activated by hand, and there is no base data: the first 500 predictions by it are its reference.
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256)
SELECT 2, architecture, network, parameters, weights, weights_sha256 FROM mnist_model WHERE version = 1;
SELECT mnist_activate(2);
SELECT count(*), count(reference_size) AS references, min(model_version) AS model_version FROM mnist_drift;
SELECT DISTINCT explanation FROM mnist_drift;
SELECT pg_temp.read('usual', 9001, 499);
SELECT mnist_internal.drift_update(), count(*) FROM mnist_drift_reference WHERE model_version = 2;
SELECT pg_temp.read('usual', 9500, 1);
SELECT mnist_internal.drift_update();
SELECT source, readings FROM mnist_drift_reference WHERE model_version = 2;
-- Version 3 has base data.
SELECT mnist_import_synthetic(n => 4000);
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256)
SELECT 3, architecture, network, parameters, weights, weights_sha256 FROM mnist_model WHERE version = 1;
SELECT mnist_activate(3);
SELECT source, readings = (SELECT count(*) FROM mnist_sample WHERE split = 'validation') AS validation_images
FROM mnist_drift_reference WHERE model_version = 3;
-- Version 4 has learnt from feedback: it is compared with the predictions of before, as it predicts them.
INSERT INTO mnist_run (id, status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at,
    feedback_train_images)
VALUES (1, 'succeeded', 'fine_tune', 'default', 1, '{}', 'nobody', 0, now(), 50);
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256, run_id)
SELECT 4, architecture, network, parameters, weights, weights_sha256, 1 FROM mnist_model WHERE version = 1;
SELECT mnist_activate(4);
SELECT source, readings FROM mnist_drift_reference WHERE model_version = 4;
-- A rollback goes back to the reference, too, and none is made twice.
SELECT mnist_rollback();
SELECT DISTINCT model_version, reference_id = (SELECT id FROM mnist_drift_reference WHERE model_version = 3) AS its_own
FROM mnist_drift;
SELECT DISTINCT explanation FROM mnist_drift;
SELECT mnist_activate(4);
SELECT count(*) FROM mnist_drift_reference WHERE model_version = 4;
-- What is not a reason to refuse a switch: an image that cannot be read any more.
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256, run_id)
SELECT 5, architecture, network, parameters, weights, weights_sha256, 1 FROM mnist_model WHERE version = 1;
UPDATE mnist_prediction SET image = '\x00' WHERE id = (SELECT max(id) FROM mnist_prediction);
SELECT mnist_activate(5);
SELECT version FROM mnist_live;

DROP VIEW found;
DROP EXTENSION mnist_hil;
