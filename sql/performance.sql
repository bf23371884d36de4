/*
 * Performance: how accurate are the predictions that annotators have labelled?
 *
 * Everything here is computed from mnist_label.  Each labelled prediction counts as it was made, for the model that
 * made it.  So training a later model on it improves no figure.  Intervals are Wilson's (1927), at 95 %.
 *
 * Labelled predictions are a sample that annotators chose, and two biases are checked.  First, annotators may correct
 * errors and not confirm correct predictions: then hardly any label confirms a prediction, or more predictions are
 * wrong than their confidence suggests.  Second, annotators may prefer doubtful images: then labelled predictions are
 * less confident than the newest 10,000 predictions.  accuracy_adjusted corrects for the second bias: it weights the
 * labelled predictions so that their confidences are distributed like those of all predictions (post-stratification).
 */

CREATE OR REPLACE VIEW @extschema@.mnist_model_confusion AS
    SELECT l.model_version, l.label, l.predicted_label AS predicted, count(*) AS count
    FROM @extschema@.mnist_label l
    WHERE l.label IS NOT NULL
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3;
COMMENT ON VIEW @extschema@.mnist_model_confusion IS
    'mnist_confusion by model version, without the pairs that did not occur';
COMMENT ON COLUMN @extschema@.mnist_model_confusion.model_version IS 'the model';
COMMENT ON COLUMN @extschema@.mnist_model_confusion.label IS 'the digit that the image shows';
COMMENT ON COLUMN @extschema@.mnist_model_confusion.predicted IS 'the predicted digit';
COMMENT ON COLUMN @extschema@.mnist_model_confusion.count IS
    'labelled predictions of the model with this label and predicted digit';

CREATE OR REPLACE VIEW @extschema@.mnist_class_performance AS
    WITH cell AS MATERIALIZED (
        SELECT c.model_version, c.label, c.predicted, c.count FROM @extschema@.mnist_model_confusion c
    ), shown AS (
        SELECT c.model_version, c.label, sum(c.count)::bigint AS n FROM cell c GROUP BY 1, 2
    ), predicted AS (
        SELECT c.model_version, c.predicted, sum(c.count)::bigint AS n FROM cell c GROUP BY 1, 2
    )
    SELECT v.model_version, d.label::smallint AS label, f.shown, f.predicted AS "read", f.hits AS correct,
        (f.hits::float8 / nullif(f.predicted, 0))::real AS precision,
        p.low::real AS precision_low, p.high::real AS precision_high,
        (f.hits::float8 / nullif(f.shown, 0))::real AS recall,
        r.low::real AS recall_low, r.high::real AS recall_high,
        (2.0 * f.hits / nullif(f.shown + f.predicted, 0))::real AS f1
    FROM (SELECT DISTINCT c.model_version FROM cell c) v
    CROSS JOIN generate_series(0, 9) AS d (label)
    LEFT JOIN shown s ON s.model_version = v.model_version AND s.label = d.label
    LEFT JOIN predicted e ON e.model_version = v.model_version AND e.predicted = d.label
    LEFT JOIN cell h ON h.model_version = v.model_version AND h.label = d.label AND h.predicted = d.label
    CROSS JOIN LATERAL (
        SELECT coalesce(s.n, 0) AS shown, coalesce(e.n, 0) AS predicted, coalesce(h.count, 0) AS hits) f
    LEFT JOIN LATERAL mnist_internal.wilson(f.hits, f.predicted) AS p ON true
    LEFT JOIN LATERAL mnist_internal.wilson(f.hits, f.shown) AS r ON true
    ORDER BY v.model_version, d.label;
COMMENT ON VIEW @extschema@.mnist_class_performance IS
    'precision and recall of each digit by model, over labelled predictions: ten rows for each model that has any';
COMMENT ON COLUMN @extschema@.mnist_class_performance.model_version IS 'the model';
COMMENT ON COLUMN @extschema@.mnist_class_performance.label IS 'the digit';
COMMENT ON COLUMN @extschema@.mnist_class_performance.shown IS 'labelled predictions whose image shows it';
COMMENT ON COLUMN @extschema@.mnist_class_performance."read" IS 'labelled predictions of it';
COMMENT ON COLUMN @extschema@.mnist_class_performance.correct IS 'correct predictions of it';
COMMENT ON COLUMN @extschema@.mnist_class_performance.precision IS
    'of the predictions of this digit, the fraction that was right, 0 .. 1; NULL: there are none';
COMMENT ON COLUMN @extschema@.mnist_class_performance.precision_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_class_performance.precision_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_class_performance.recall IS
    'of the images of this digit, the fraction that was predicted correctly, 0 .. 1; NULL: there are none';
COMMENT ON COLUMN @extschema@.mnist_class_performance.recall_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_class_performance.recall_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_class_performance.f1 IS
    'harmonic mean of precision and recall; NULL: neither shown nor predicted';

CREATE OR REPLACE VIEW @extschema@.mnist_calibration AS
    SELECT l.model_version, l.bin / 10.0::real AS confidence_from, (l.bin + 1) / 10.0::real AS confidence_to,
        l.labels, l.confidence::real AS confidence, (l.correct::float8 / l.labels)::real AS accuracy,
        w.low::real AS accuracy_low, w.high::real AS accuracy_high, (l.correct::float8 / l.labels - l.confidence)::real
            AS gap
    FROM (
        SELECT l.model_version, least(9, floor(l.confidence * 10))::int AS bin, count(*) AS labels,
            count(*) FILTER (WHERE l.label = l.predicted_label) AS correct, avg(l.confidence) AS confidence
        FROM @extschema@.mnist_label l
        WHERE l.label IS NOT NULL AND l.confidence IS NOT NULL
        GROUP BY 1, 2) l
    LEFT JOIN LATERAL mnist_internal.wilson(l.correct, l.labels) AS w ON true
    ORDER BY l.model_version, l.bin;
COMMENT ON VIEW @extschema@.mnist_calibration IS
    'how well confidence matches accuracy: labelled predictions by tenths of confidence and by model; empty tenths '
    'are left out';
COMMENT ON COLUMN @extschema@.mnist_calibration.model_version IS 'the model';
COMMENT ON COLUMN @extschema@.mnist_calibration.confidence_from IS 'where the tenth begins';
COMMENT ON COLUMN @extschema@.mnist_calibration.confidence_to IS
    'where it ends; this confidence itself belongs to the next tenth, except 1';
COMMENT ON COLUMN @extschema@.mnist_calibration.labels IS 'labelled predictions in it';
COMMENT ON COLUMN @extschema@.mnist_calibration.confidence IS 'their mean confidence';
COMMENT ON COLUMN @extschema@.mnist_calibration.accuracy IS 'the fraction of these that was correct, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_calibration.accuracy_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_calibration.accuracy_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_calibration.gap IS 'accuracy minus confidence: below 0 the model is overconfident';

CREATE OR REPLACE VIEW @extschema@.mnist_accuracy_daily AS
    SELECT d.day, d.labels, d.correct, (d.correct::float8 / d.labels)::real AS accuracy, w.low::real AS accuracy_low,
        w.high::real AS accuracy_high, d.model_versions,
        CASE WHEN d.correct = 0 THEN 'no prediction was confirmed: all labels are corrections' END AS warning
    FROM (
        SELECT l.day, sum(l.labels)::bigint AS labels, sum(l.correct)::bigint AS correct,
            array_agg(l.model_version ORDER BY l.model_version) AS model_versions
        FROM (
            SELECT l.predicted_at::date AS day, l.model_version, count(*) AS labels,
                count(*) FILTER (WHERE l.label = l.predicted_label) AS correct
            FROM @extschema@.mnist_label l
            WHERE l.label IS NOT NULL AND l.predicted_at IS NOT NULL
            GROUP BY 1, 2) l
        GROUP BY l.day) d
    LEFT JOIN LATERAL mnist_internal.wilson(d.correct, d.labels) AS w ON true
    ORDER BY d.day;
COMMENT ON VIEW @extschema@.mnist_accuracy_daily IS
    'accuracy of the labelled predictions of each day (in the session''s time zone); days without any are left out';
COMMENT ON COLUMN @extschema@.mnist_accuracy_daily.day IS 'the day of the predictions';
COMMENT ON COLUMN @extschema@.mnist_accuracy_daily.labels IS 'predictions of that day that are labelled by now';
COMMENT ON COLUMN @extschema@.mnist_accuracy_daily.correct IS 'of these, the correct ones';
COMMENT ON COLUMN @extschema@.mnist_accuracy_daily.accuracy IS 'the fraction of these that was correct, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_accuracy_daily.accuracy_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_accuracy_daily.accuracy_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_accuracy_daily.model_versions IS 'the models that made the predictions';
COMMENT ON COLUMN @extschema@.mnist_accuracy_daily.warning IS
    'why the accuracy may mislead, or NULL; mnist_model_performance has more checks';

-- stratum: a range of confidences, narrower towards 1 where most predictions are.
CREATE OR REPLACE VIEW @extschema@.mnist_model_performance AS
    WITH labelled AS MATERIALIZED (
        SELECT l.model_version, l.label, l.predicted_label,
            width_bucket(l.confidence, '{0.5,0.7,0.9,0.97,0.99,0.999}'::real[]) AS stratum,
            least(9, floor(l.confidence * 10))::int AS bin,
            count(*) AS n, sum(l.confidence::float8) AS confidence, sum(l.confidence::float8 ^ 2) AS squares,
            min(l.predicted_at) AS first, max(l.predicted_at) AS last
        FROM @extschema@.mnist_label l
        WHERE l.label IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5
    ), recent AS MATERIALIZED (
        SELECT p.model_version, width_bucket(p.confidence, '{0.5,0.7,0.9,0.97,0.99,0.999}'::real[]) AS stratum,
            count(*) AS n, sum(p.confidence::float8) AS confidence, sum(p.confidence::float8 ^ 2) AS squares
        FROM (SELECT p.model_version, p.confidence FROM @extschema@.mnist_prediction p ORDER BY p.id DESC LIMIT 10000) p
        GROUP BY 1, 2
    ), total AS (
        SELECT l.model_version, sum(l.n)::bigint AS labels,
            coalesce(sum(l.n) FILTER (WHERE l.label = l.predicted_label), 0)::bigint AS correct,
            sum(l.confidence) / sum(l.n) AS mean,
            greatest(0, sum(l.squares) / sum(l.n) - (sum(l.confidence) / sum(l.n)) ^ 2) AS variance,
            min(l.first) AS first, max(l.last) AS last
        FROM labelled l
        GROUP BY 1
    ), overall AS (
        SELECT r.model_version, sum(r.n)::bigint AS predictions, sum(r.confidence) / sum(r.n) AS mean,
            greatest(0, sum(r.squares) / sum(r.n) - (sum(r.confidence) / sum(r.n)) ^ 2) AS variance
        FROM recent r
        GROUP BY 1
    ), adjusted AS (
        SELECT r.model_version, sum(r.n * s.accuracy) / sum(r.n) AS accuracy
        FROM recent r
        JOIN (
            SELECT l.model_version, l.stratum,
                coalesce(sum(l.n) FILTER (WHERE l.label = l.predicted_label), 0)::float8 / sum(l.n) AS accuracy
            FROM labelled l
            GROUP BY 1, 2) s ON s.model_version = r.model_version AND s.stratum = r.stratum
        GROUP BY 1
    ), calibration AS (
        SELECT b.model_version, sum(abs(b.correct - b.confidence)) / sum(b.n) AS ece
        FROM (
            SELECT l.model_version, l.bin, sum(l.n) AS n, sum(l.confidence) AS confidence,
                coalesce(sum(l.n) FILTER (WHERE l.label = l.predicted_label), 0) AS correct
            FROM labelled l
            WHERE l.bin IS NOT NULL
            GROUP BY 1, 2) b
        GROUP BY 1
    ), digit AS (
        SELECT l.model_version, d.label,
            coalesce(sum(l.n) FILTER (WHERE l.label = d.label AND l.predicted_label = d.label), 0)::float8 AS hits,
            nullif(sum(l.n) FILTER (WHERE l.label = d.label), 0)::float8 AS shown,
            nullif(sum(l.n) FILTER (WHERE l.predicted_label = d.label), 0)::float8 AS predicted
        FROM (SELECT l.model_version, l.label, l.predicted_label, sum(l.n) AS n FROM labelled l GROUP BY 1, 2, 3) l
        CROSS JOIN generate_series(0, 9) AS d (label)
        GROUP BY 1, 2
    ), macro AS (
        SELECT d.model_version, avg(d.hits / d.predicted) AS precision, avg(d.hits / d.shown) AS recall,
            avg(2 * d.hits / (coalesce(d.shown, 0) + coalesce(d.predicted, 0)))
                FILTER (WHERE d.shown IS NOT NULL OR d.predicted IS NOT NULL) AS f1
        FROM digit d
        GROUP BY 1
    )
    SELECT t.model_version, t.labels, t.correct, (t.correct::float8 / t.labels)::real AS accuracy,
        w.low::real AS accuracy_low, w.high::real AS accuracy_high, a.accuracy::real AS accuracy_adjusted,
        m.precision::real AS precision, m.recall::real AS recall, m.f1::real AS f1, c.ece::real AS ece,
        t.mean::real AS confidence_labelled, o.mean::real AS confidence_all,
        t.first AS first_at, t.last AS last_at,
        CASE
            WHEN t.labels < 30 THEN format('%s labels are too few', t.labels)
            WHEN t.correct = 0
                THEN 'no prediction was confirmed: all labels are corrections, the accuracy means nothing'
            WHEN o.mean - t.mean > 0.02
                AND o.mean - t.mean > 3 * sqrt(o.variance / o.predictions + t.variance / t.labels)
                THEN format('labelled predictions are less confident than all, %s against %s: annotators chose '
                    'doubtful ones, and the accuracy of all is higher; see accuracy_adjusted',
                    round(t.mean::numeric, 3), round(o.mean::numeric, 3))
            WHEN 1 - w.high > 2 * (1 - t.mean) + 0.02
                THEN format('%s %% of the labelled predictions are wrong, their confidence suggests %s %%: annotators '
                    'correct errors more often than they confirm, or the model is overconfident',
                    round(100 * (1 - t.correct::numeric / t.labels), 1), round((100 * (1 - t.mean))::numeric, 1))
        END AS warning
    FROM total t
    LEFT JOIN overall o ON o.model_version = t.model_version
    LEFT JOIN adjusted a ON a.model_version = t.model_version
    LEFT JOIN calibration c ON c.model_version = t.model_version
    LEFT JOIN macro m ON m.model_version = t.model_version
    LEFT JOIN LATERAL mnist_internal.wilson(t.correct, t.labels) AS w ON true
    ORDER BY t.model_version;
COMMENT ON VIEW @extschema@.mnist_model_performance IS
    'accuracy of each model''s labelled predictions; one row for each model that has any';
COMMENT ON COLUMN @extschema@.mnist_model_performance.model_version IS 'the model';
COMMENT ON COLUMN @extschema@.mnist_model_performance.labels IS 'labelled predictions of the model';
COMMENT ON COLUMN @extschema@.mnist_model_performance.correct IS 'of these, the correct ones';
COMMENT ON COLUMN @extschema@.mnist_model_performance.accuracy IS 'the fraction of these that was correct, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_model_performance.accuracy_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_model_performance.accuracy_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN @extschema@.mnist_model_performance.accuracy_adjusted IS
    'the accuracy, with labels weighted so that their confidences are distributed as in the newest 10,000 predictions; '
    'NULL: the model made none of these';
COMMENT ON COLUMN @extschema@.mnist_model_performance.precision IS
    'mean over the digits that were predicted; see mnist_class_performance';
COMMENT ON COLUMN @extschema@.mnist_model_performance.recall IS 'mean over the digits that the images show';
COMMENT ON COLUMN @extschema@.mnist_model_performance.f1 IS 'mean over the digits that were shown or predicted';
COMMENT ON COLUMN @extschema@.mnist_model_performance.ece IS
    'expected calibration error: mean absolute difference of accuracy and confidence over tenths of confidence; see '
    'mnist_calibration';
COMMENT ON COLUMN @extschema@.mnist_model_performance.confidence_labelled IS
    'mean confidence of the labelled predictions';
COMMENT ON COLUMN @extschema@.mnist_model_performance.confidence_all IS
    'mean confidence of the model''s predictions among the newest 10,000';
COMMENT ON COLUMN @extschema@.mnist_model_performance.first_at IS 'when the first of the labelled predictions was made';
COMMENT ON COLUMN @extschema@.mnist_model_performance.last_at IS 'when the last of them was made';
COMMENT ON COLUMN @extschema@.mnist_model_performance.warning IS
    'why the accuracy may mislead: few labels, or a biased sample; NULL: no sign of that';
