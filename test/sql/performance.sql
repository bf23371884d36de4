-- also: not preloaded
-- Performance over labelled predictions: every figure against one worked out otherwise, or known.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
\i :srcdir/sql/include/label_as.sql
LOAD 'mnist_hil';
SET timezone = 'UTC';

-- Wilson's interval: values from the literature.
SELECT n, hits, round(low::numeric, 4) AS low, round(high::numeric, 4) AS high
FROM (VALUES (10, 8), (10, 0), (10, 10), (100, 50), (1, 1), (263, 81)) AS v (n, hits),
    LATERAL mnist_internal.wilson(hits, n);
SELECT * FROM mnist_internal.wilson(0, 0);

-- Nothing is known of nothing.
SELECT (SELECT count(*) FROM mnist_model_performance) AS models, (SELECT count(*)
    FROM mnist_class_performance) AS classes,
    (SELECT count(*) FROM mnist_accuracy_daily) AS days, (SELECT count(*) FROM mnist_calibration) AS bins,
    (SELECT count(*) FROM mnist_model_confusion) AS pairs;

-- 1,200 predictions of two models over five days, of all confidences; two in three are labelled, one in four of these
-- wrong,
-- and of 11 nobody knows, as two annotators disagree.
INSERT INTO mnist_prediction (image, created_at, label, confidence, probabilities, model_version)
SELECT mnist_internal.synthetic(i % 10, i), timestamptz '2026-01-01 12:00 UTC' + i % 5 * interval '1 day', i % 10,
    (0.3 + 0.7 * ((i * 7919) % 1000) / 1000)::real, array_fill(0.1::real, ARRAY[10]), 1 + i % 2
FROM generate_series(0, 1199) AS i;
SELECT count(pg_temp.label_as('ann', id, CASE WHEN id / 2 % 4 = 0 THEN (label + 1 + id % 5) % 10 ELSE label END))
FROM mnist_prediction WHERE id % 3 > 0;
SELECT count(pg_temp.label_as('bob', id, (label + 7) % 10)) FROM mnist_prediction WHERE id % 3 > 0 AND id % 73 = 0;

-- What the labels are of, by way of the feedback and the predictions.
CREATE TEMP VIEW truth AS
SELECT p.id, p.label AS predicted, f.label, p.confidence::float8, p.model_version, p.created_at,
    f.label = p.label AS correct
FROM mnist_prediction p JOIN mnist_feedback f ON f.prediction_id = p.id
WHERE NOT EXISTS (SELECT FROM mnist_feedback o WHERE o.prediction_id = p.id AND o.label <> f.label);
SELECT count(*) AS labelled, (SELECT count(*) FROM mnist_label WHERE label IS NULL) AS ties FROM truth;
SELECT count(*) AS wrong FROM mnist_label l JOIN mnist_prediction p ON p.id = l.prediction_id
WHERE (l.predicted_at, l.confidence) IS DISTINCT FROM (p.created_at, p.confidence);

-- By model.
SELECT m.model_version, m.labels, m.correct, m.accuracy, m.labels = t.labels AND m.correct = t.correct AS counts,
    abs(m.accuracy - t.accuracy) < 1e-6 AS accuracy_ok, abs(m.ece - t.ece) < 1e-6 AS ece_ok,
    abs(m.confidence_labelled - t.confidence) < 1e-6 AS confidence_ok, m.first_at = t.first_at
        AND m.last_at = t.last_at AS when_ok
FROM mnist_model_performance m JOIN (
    SELECT model_version, count(*) AS labels, sum(correct::int) AS correct, avg(correct::int) AS accuracy,
        avg(confidence) AS confidence, min(created_at) AS first_at, max(created_at) AS last_at,
        (SELECT sum(abs(acc - conf) * n) / sum(n)
         FROM (SELECT avg(b.correct::int) AS acc, avg(b.confidence) AS conf, count(*) AS n
               FROM truth b WHERE b.model_version = t.model_version
               GROUP BY CASE WHEN b.confidence >= 1 THEN 9 ELSE trunc((b.confidence * 10)::numeric) END) b) AS ece
    FROM truth t GROUP BY model_version) t USING (model_version)
ORDER BY 1;
SELECT m.model_version, abs(w.low - m.accuracy_low) < 1e-6 AND abs(w.high - m.accuracy_high) < 1e-6 AS interval_ok
FROM mnist_model_performance m, LATERAL mnist_internal.wilson(m.correct, m.labels) AS w;
-- Their means over digits are those of mnist_class_performance.
SELECT m.model_version, abs(m.precision - c.precision) < 1e-6 AS precision_ok,
    abs(m.recall - c.recall) < 1e-6 AS recall_ok,
    abs(m.f1 - c.f1) < 1e-6 AS f1_ok
FROM mnist_model_performance m JOIN (
    SELECT model_version, avg(precision) AS precision, avg(recall) AS recall, avg(f1) AS f1
    FROM mnist_class_performance GROUP BY model_version) c USING (model_version);

-- By digit: 20 rows, none of which differs.
SELECT count(*), count(*) FILTER (WHERE c.shown = t.shown AND c."read" = t."read" AND c.correct = t.hits
    AND coalesce(abs(c.precision - t.hits::float8 / nullif(t."read", 0)) < 1e-6, c.precision IS NULL AND t."read" = 0)
    AND coalesce(abs(c.recall - t.hits::float8 / nullif(t.shown, 0)) < 1e-6, c.recall IS NULL AND t.shown = 0)
    AND CASE WHEN t.hits > 0 THEN abs(c.f1 - 2 / (1 / c.precision + 1 / c.recall)) < 1e-6 ELSE coalesce(c.f1, 0) = 0 END
    AND coalesce(c.precision BETWEEN c.precision_low AND c.precision_high, true)
    AND coalesce(c.recall BETWEEN c.recall_low AND c.recall_high, true)) AS agree
FROM mnist_class_performance c, LATERAL (
    SELECT count(*) FILTER (WHERE t.label = c.label) AS shown, count(*) FILTER (WHERE t.predicted = c.label) AS "read",
        count(*) FILTER (WHERE t.label = c.label AND t.predicted = c.label) AS hits
    FROM truth t WHERE t.model_version = c.model_version) AS t;
SELECT * FROM mnist_class_performance WHERE model_version = 1 AND label = 4 \gx

-- Confusion by model adds up to confusion.
SELECT count(*) FILTER (WHERE c.count <> coalesce(m.count, 0)) AS differ, sum(c.count) AS labels
FROM mnist_confusion c
LEFT JOIN (SELECT label, predicted, sum(count) AS count FROM mnist_model_confusion
    GROUP BY 1, 2) m USING (label, predicted);

-- By day, in the session's time zone.
SELECT * FROM mnist_accuracy_daily;
SELECT d.day, d.labels = t.labels AND d.correct = t.correct AS agrees
FROM mnist_accuracy_daily d JOIN (
    SELECT created_at::date AS day, count(*) AS labels, sum(correct::int) AS correct FROM truth
    GROUP BY 1) t USING (day);
SET timezone = 'Pacific/Kiritimati';
SELECT day FROM mnist_accuracy_daily;
SET timezone = 'UTC';

-- Calibration: seven tenths that occur, of each model.
SELECT model_version, count(*), sum(labels) AS labels, min(confidence_from) AS least, max(confidence_to) AS most,
    bool_and(confidence BETWEEN confidence_from AND confidence_to) AS within,
    bool_and(abs(gap - (accuracy - confidence)) < 1e-6) AS gaps
FROM mnist_calibration GROUP BY 1 ORDER BY 1;

---------------------------------------------------------------- samples that people chose

-- Three in four are right, as their confidence lets expect, and the labelled ones are as confident as all: no warning.
SELECT model_version, warning FROM mnist_model_performance;

CREATE FUNCTION pg_temp.anew(confident boolean) RETURNS bigint LANGUAGE sql AS $$
    DELETE FROM mnist_feedback;
    DELETE FROM mnist_prediction;
    INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
    SELECT '\x00', i % 10, CASE WHEN i % 10 = 0 THEN 0.6 ELSE 0.99 END, array_fill(0.1::real, ARRAY[10]), 1
    FROM generate_series(1, 1000) AS i;
    SELECT min(id) FROM mnist_prediction
$$;
-- Nobody confirms anything.
SELECT pg_temp.anew(true) > 0 AS anew;
SELECT count(pg_temp.label_as('ann', id, (label + 1) % 10)) FROM mnist_prediction WHERE id % 20 = 0;
SELECT labels, accuracy, accuracy_low, warning FROM mnist_model_performance;
SELECT warning FROM mnist_accuracy_daily;
-- One in ten is confirmed, of confident predictions.
SELECT pg_temp.anew(true) > 0 AS anew;
SELECT count(pg_temp.label_as('ann', id, CASE WHEN id % 200 = 1 THEN label ELSE (label + 1) % 10 END))
FROM mnist_prediction WHERE id % 20 = 1;
SELECT labels, accuracy, warning FROM mnist_model_performance;
-- The doubtful ones are labelled, and four in ten are wrong, as they let expect; the others are nearly all right.
SELECT pg_temp.anew(true) > 0 AS anew;
SELECT count(pg_temp.label_as('ann', id, CASE WHEN confidence < 0.9 AND id / 10 % 5 < 2 THEN (label + 1) % 10
    ELSE label END))
FROM mnist_prediction WHERE confidence < 0.9 OR id % 30 = 1;
SELECT labels, accuracy, accuracy_adjusted, confidence_labelled, confidence_all, warning FROM mnist_model_performance;
-- The adjusted accuracy is that of each kind by its fraction of all predictions.
SELECT abs(accuracy_adjusted - (0.1 * (SELECT avg((l.label = l.predicted_label)::int) FROM mnist_label l
    WHERE l.confidence < 0.9) + 0.9)) < 1e-6
    AS adjusted_ok
FROM mnist_model_performance;
-- Few labels.
DELETE FROM mnist_feedback WHERE prediction_id > (SELECT min(id) + 100 FROM mnist_prediction);
SELECT labels, warning FROM mnist_model_performance;

DROP VIEW IF EXISTS truth;
DROP EXTENSION mnist_hil;
