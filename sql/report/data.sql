/*
 * Reports, 1: the data that no public view has.  The other figures of a report come from the public views, so that a
 * report agrees with what psql shows.  Of tables that grow with the predictions only the newest rows, or a sample, are
 * read.
 */

CREATE OR REPLACE VIEW mnist_internal.report_figures AS
    SELECT max(m.value) FILTER (WHERE m.name = 'mnist_hil_predictions_total')::bigint AS predictions,
        max(m.value) FILTER (WHERE m.name = 'mnist_hil_recent_confidence_ratio') AS confidence,
        max(m.value) FILTER (WHERE m.name = 'mnist_hil_recent_low_confidence_ratio') AS low_confidence,
        max(m.value) FILTER (WHERE m.name = 'mnist_hil_recent_accuracy_ratio') AS accuracy,
        max(m.value) FILTER (WHERE m.name = 'mnist_hil_recent_labels')::bigint AS labels,
        max(m.value) FILTER (WHERE m.name = 'mnist_hil_feedback_total')::bigint AS feedback,
        max(m.value) FILTER (WHERE m.name = 'mnist_hil_new_labels')::bigint AS new_labels,
        max(m.value) FILTER (WHERE m.name = 'mnist_hil_accuracy_floor_ratio') AS accuracy_floor,
        to_timestamp(max(m.value) FILTER (WHERE m.name = 'mnist_hil_last_prediction_timestamp_seconds')) AS newest
    FROM @extschema@.mnist_metrics m;
COMMENT ON VIEW mnist_internal.report_figures IS 'the metrics at the head of a report, one row; internal';

-- The predictions are sampled: of each block of step consecutive ids a hash selects one.
CREATE OR REPLACE VIEW mnist_internal.report_days AS
    WITH span AS (
        SELECT min(p.id) AS first, max(p.id) AS last, greatest(1, (max(p.id) - min(p.id)) / 20000) AS step
        FROM @extschema@.mnist_prediction p
    ), daily AS (
        SELECT date_trunc('day', p.created_at) AS day, count(*) * max(s.step) AS predictions
        FROM span s
        CROSS JOIN LATERAL generate_series(s.last, s.first, -s.step) AS i (id)
        JOIN @extschema@.mnist_prediction p ON p.id = i.id - (hashint8(i.id) & 2147483647) % s.step
        WHERE p.created_at > date_trunc('day', now()) - interval '29 days'
        GROUP BY 1
    )
    SELECT c.day, coalesce(d.predictions, 0) AS predictions, s.step
    FROM span s
    CROSS JOIN generate_series((SELECT min(m.day) FROM daily m), date_trunc('day', now()), interval '1 day') AS c (day)
    LEFT JOIN daily d ON d.day = c.day;
COMMENT ON VIEW mnist_internal.report_days IS
    'predictions by day, of the last 30 days, estimated from a sample of one id in step; internal';

CREATE OR REPLACE VIEW mnist_internal.report_digits AS
    SELECT g.digit, count(p.label) AS predictions
    FROM generate_series(0, 9) AS g (digit)
    LEFT JOIN (SELECT n.label FROM @extschema@.mnist_prediction n ORDER BY n.id DESC LIMIT 10000) p ON p.label = g.digit
    GROUP BY g.digit;
COMMENT ON VIEW mnist_internal.report_digits IS 'the newest 10,000 predictions by digit, zeros included; internal';

CREATE OR REPLACE VIEW mnist_internal.report_annotators AS
    SELECT f.annotator, count(*) AS feedback, avg((f.label <> f.predicted_label)::int)::float8 AS corrections,
        max(f.created_at) AS newest
    FROM @extschema@.mnist_feedback f
    GROUP BY f.annotator
    ORDER BY 2 DESC
    LIMIT 20;
COMMENT ON VIEW mnist_internal.report_annotators IS
    'the 20 annotators with the most feedback, and the fraction of it that corrects a prediction; internal';

CREATE OR REPLACE VIEW mnist_internal.report_datasets AS
    SELECT d.id, d.name, d.source, s.train, s.validation, s.test, d.created_at, d.created_by
    FROM @extschema@.mnist_dataset d
    LEFT JOIN (
        SELECT i.dataset_id, count(*) FILTER (WHERE i.split = 'train') AS train,
            count(*) FILTER (WHERE i.split = 'validation') AS validation,
            count(*) FILTER (WHERE i.split = 'test') AS test
        FROM @extschema@.mnist_sample i
        GROUP BY i.dataset_id) s ON s.dataset_id = d.id;
COMMENT ON VIEW mnist_internal.report_datasets IS 'the data sets and how many images each split has; internal';

CREATE OR REPLACE VIEW mnist_internal.report_wrong AS
    SELECT p.id, p.image, p.label AS predicted, p.confidence, l.label
    FROM (
        SELECT w.prediction_id, w.label
        FROM @extschema@.mnist_label w
        WHERE w.label <> w.predicted_label
        ORDER BY w.prediction_id DESC
        LIMIT 5000) l
    JOIN @extschema@.mnist_prediction p ON p.id = l.prediction_id
    ORDER BY p.confidence DESC, p.id DESC
    LIMIT 24;
COMMENT ON VIEW mnist_internal.report_wrong IS
    'of the newest 5,000 wrong predictions the 24 with the highest confidence; internal';

CREATE OR REPLACE VIEW mnist_internal.report_unsure AS
    SELECT p.id, p.image, p.label AS predicted, p.confidence
    FROM (SELECT n.* FROM @extschema@.mnist_prediction n ORDER BY n.id DESC LIMIT 10000) p
    WHERE NOT EXISTS (SELECT FROM @extschema@.mnist_label l WHERE l.prediction_id = p.id)
    ORDER BY p.confidence, p.id DESC
    LIMIT 12;
COMMENT ON VIEW mnist_internal.report_unsure IS
    'of the newest 10,000 predictions the 12 unlabelled ones with the lowest confidence; internal';

-- Of a search, the curves of the trial with the highest validation accuracy.
CREATE OR REPLACE VIEW mnist_internal.report_curves AS
    WITH best AS (
        SELECT DISTINCT ON (m.run_id) m.run_id, m.trial
        FROM @extschema@.mnist_metric m
        WHERE m.run_id IN (SELECT r.id FROM @extschema@.mnist_run r ORDER BY r.id DESC LIMIT 20)
        ORDER BY m.run_id DESC, m.validation_accuracy DESC NULLS LAST, m.trial
    )
    SELECT m.run_id, m.trial,
        array_agg(m.epoch::text ORDER BY m.epoch) AS epochs,
        array_agg(m.train_accuracy::float8 ORDER BY m.epoch) AS train_accuracy,
        array_agg(m.validation_accuracy::float8 ORDER BY m.epoch) AS validation_accuracy,
        array_agg(m.train_loss::float8 ORDER BY m.epoch) AS train_loss,
        array_agg(m.validation_loss::float8 ORDER BY m.epoch) AS validation_loss,
        least(min(m.train_accuracy), min(m.validation_accuracy))::float8 AS lowest_accuracy,
        greatest(max(m.train_loss), max(m.validation_loss))::float8 AS highest_loss
    FROM @extschema@.mnist_metric m
    JOIN best b USING (run_id, trial)
    GROUP BY m.run_id, m.trial
    ORDER BY m.run_id DESC
    LIMIT 6;
COMMENT ON VIEW mnist_internal.report_curves IS 'the curves of the six newest runs that have any; internal';
