/*
 * Metrics for Prometheus.
 *
 * A scrape comes every few seconds and may take 10 ms at most, over 1,000,000 predictions and 100,000 labels.  Hence
 * nothing here counts the rows of a growing table: predictions and feedback are counted by their sequences, new labels
 * and failures by mnist_internal.tally, and distributions, such as the mix of digits, cover the newest 1,000.  There is
 * no counter row, which every prediction would have to wait for.  The view waits only for locks on whole tables, and
 * nothing waits for it.  It works on a standby.
 *
 * In a new connection the first use of every table and view takes time, and more for a longer view.  Hence the help
 * texts are in a table, and single figures share a subquery where they can.
 *
 * To add a metric, add a row to mnist_internal.metric and a figure to the view.
 */

CREATE TABLE IF NOT EXISTS mnist_internal.metric (
    name  text PRIMARY KEY,
    type  text NOT NULL CHECK (type IN ('gauge', 'counter')),
    help  text NOT NULL
);
COMMENT ON TABLE mnist_internal.metric IS 'the metrics of mnist_metrics, with their types and help texts; internal';

DELETE FROM mnist_internal.metric;
INSERT INTO mnist_internal.metric (name, type, help)
VALUES
    ('mnist_hil_info', 'gauge', 'The live model; the value is 1.'),
    ('mnist_hil_model_version', 'gauge', 'Version of the live model.'),
    ('mnist_hil_model_live_timestamp_seconds', 'gauge', 'When the live model went live.'),
    ('mnist_hil_models', 'gauge', 'Model versions, pruned ones included.'),
    ('mnist_hil_switches_total', 'counter', 'Switches of the live model, by what made them.'),
    ('mnist_hil_model_cache_used_bytes', 'gauge', 'Memory that loaded models use, over all databases.'),
    ('mnist_hil_model_cache_size_bytes', 'gauge', 'Memory that loaded models may use (mnist_hil.shared_memory).'),
    ('mnist_hil_model_cache_models', 'gauge', 'Loaded models, over all databases.'),
    ('mnist_hil_model_cache_fallbacks_total', 'counter',
        'Copies of models that sessions made for themselves for lack of room.'),
    ('mnist_hil_model_cache_evictions_total', 'counter', 'Models that were evicted to make room for others.'),
    ('mnist_hil_predictions_total', 'counter',
        'Predictions stored, by the ids drawn; includes those deleted since.'),
    ('mnist_hil_last_prediction_timestamp_seconds', 'gauge', 'When the newest prediction was stored.'),
    ('mnist_hil_recent_predictions', 'gauge', 'Of the newest 1,000 predictions, those of the digit.'),
    ('mnist_hil_recent_model_predictions', 'gauge', 'Of the newest 1,000 predictions, those by the model version.'),
    ('mnist_hil_recent_confidence_ratio', 'gauge', 'Mean confidence of the newest 1,000 predictions.'),
    ('mnist_hil_recent_low_confidence_ratio', 'gauge',
        'Fraction of the newest 1,000 predictions with a confidence below 0.5.'),
    ('mnist_hil_feedback_total', 'counter',
        'Labels given to predictions, by the ids drawn; includes those erased since.'),
    ('mnist_hil_new_labels', 'gauge', 'Labelled predictions that no completed run has used.'),
    ('mnist_hil_new_failures', 'gauge', 'Of these, the wrong ones whose image shows the digit.'),
    ('mnist_hil_new_labels_threshold', 'gauge', 'New labels that retraining requires (mnist_hil.min_new_labels).'),
    ('mnist_hil_new_failures_threshold', 'gauge',
        'New failures of a digit that retraining requires (mnist_hil.fail_threshold).'),
    ('mnist_hil_recent_labels', 'gauge',
        'The newest labelled predictions, 1,000 at most, over which mnist_hil_recent_accuracy_ratio is computed.'),
    ('mnist_hil_recent_accuracy_ratio', 'gauge',
        'Accuracy on the newest 1,000 labelled predictions; annotators correct errors more often than they confirm.'),
    ('mnist_hil_accuracy_floor_ratio', 'gauge',
        'Accuracy below which retraining is due (mnist_hil.accuracy_floor); 0: off.'),
    ('mnist_hil_drift_ratio', 'gauge',
        'Fraction of the features that have drifted, at the last check; absent while unknown.'),
    ('mnist_hil_drift_threshold_ratio', 'gauge',
        'Fraction of drifted features above which retraining is due (mnist_hil.drift_threshold).'),
    ('mnist_hil_runs_total', 'counter', 'Training runs that have ended, by how.'),
    ('mnist_hil_run_in_progress', 'gauge', 'Whether a training run is under way: 1 or 0.'),
    ('mnist_hil_run_progress_ratio', 'gauge', 'Fraction of the training steps done of the run under way.'),
    ('mnist_hil_run_images_per_second', 'gauge', 'Training images a second of the run under way.'),
    ('mnist_hil_run_loss', 'gauge', 'Recent mean training loss of the run under way.'),
    ('mnist_hil_last_run_timestamp_seconds', 'gauge', 'When the newest completed, failed or cancelled run ended.'),
    ('mnist_hil_last_run_duration_seconds', 'gauge', 'How long that run took.'),
    ('mnist_hil_last_run_success', 'gauge', 'Whether that run made a model, live or not: 1 or 0.'),
    ('mnist_hil_last_check_timestamp_seconds', 'gauge', 'When the newest check that pg_cron began ended.'),
    ('mnist_hil_last_check_success', 'gauge', 'Whether the newest check that pg_cron began succeeded: 1 or 0.'),
    ('mnist_hil_checks_overdue', 'gauge',
        'Whether no check began at the last two times of the schedule: 1 or 0; absent while unknown.'),
    ('mnist_hil_last_event_timestamp_seconds', 'gauge', 'When the newest event of the kind was noted.'),
    ('mnist_hil_datasets', 'gauge', 'Data sets to train on.'),
    ('mnist_hil_table_bytes', 'gauge', 'Size of the table on disk, with its indexes.');

CREATE OR REPLACE VIEW @extschema@.mnist_metrics AS
WITH RECURSIVE recent AS MATERIALIZED (
    SELECT p.label, p.model_version, count(*) AS predictions, max(p.created_at) AS newest,
        sum(p.confidence) AS confidence, count(*) FILTER (WHERE p.confidence < 0.5) AS low
    FROM (
        SELECT n.label, n.model_version, n.created_at, n.confidence
        FROM @extschema@.mnist_prediction n
        ORDER BY n.id DESC
        LIMIT 1000) p
    GROUP BY p.label, p.model_version
), event_kind (kind) AS (
    -- skip from one kind to the next in the index, however many events there are
    (SELECT e.kind FROM @extschema@.mnist_event e ORDER BY e.kind LIMIT 1)
    UNION ALL
    SELECT n.kind
    FROM event_kind k
    CROSS JOIN LATERAL (SELECT e.kind FROM @extschema@.mnist_event e WHERE e.kind > k.kind ORDER BY e.kind LIMIT 1) n
), figure (name, labels, value) AS (
    VALUES
        ('mnist_hil_models', '{}'::jsonb, (SELECT count(*) FROM @extschema@.mnist_model m)::float8),
        ('mnist_hil_datasets', '{}', (SELECT count(*) FROM @extschema@.mnist_dataset d)),
        ('mnist_hil_predictions_total', '{}',
            (SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM @extschema@.mnist_prediction_id_seq s)),
        ('mnist_hil_feedback_total', '{}',
            (SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM @extschema@.mnist_feedback_id_seq s)),
        ('mnist_hil_new_labels', '{}', (SELECT coalesce(sum(t.labels), 0) FROM mnist_internal.tally t WHERE t.new))
UNION ALL
    SELECT v.name, v.labels, v.value
    FROM @extschema@.mnist_live live
    LEFT JOIN mnist_internal.drift_last d ON d.model_version = live.version
    CROSS JOIN LATERAL (VALUES
        ('mnist_hil_info', jsonb_build_object('model_version', live.version::text, 'architecture', live.architecture),
            1::float8),
        ('mnist_hil_model_version', '{}', live.version),
        ('mnist_hil_model_live_timestamp_seconds', '{}', extract(epoch FROM live.deployed_at)::float8),
        ('mnist_hil_drift_ratio', '{}', d.share)
    ) AS v (name, labels, value)
UNION ALL
    SELECT v.name, '{}', v.value
    FROM mnist_internal.cache() AS cache
    CROSS JOIN mnist_internal.settings() AS s
    CROSS JOIN LATERAL (VALUES
        ('mnist_hil_model_cache_used_bytes', cache.memory_used::float8),
        ('mnist_hil_model_cache_size_bytes', cache.memory_size),
        ('mnist_hil_model_cache_models', cache.models),
        ('mnist_hil_model_cache_fallbacks_total', cache.fallbacks),
        ('mnist_hil_model_cache_evictions_total', cache.evictions),
        ('mnist_hil_new_labels_threshold', s.min_new_labels),
        ('mnist_hil_new_failures_threshold', s.fail_threshold),
        ('mnist_hil_accuracy_floor_ratio', s.accuracy_floor),
        ('mnist_hil_drift_threshold_ratio', s.drift_threshold)
    ) AS v (name, value)
UNION ALL
    SELECT 'mnist_hil_recent_predictions', jsonb_build_object('digit', d.digit::text), coalesce(sum(r.predictions), 0)
    FROM generate_series(0, 9) AS d (digit)
    LEFT JOIN recent r ON r.label = d.digit
    GROUP BY d.digit
UNION ALL
    SELECT 'mnist_hil_recent_model_predictions', jsonb_build_object('model_version', r.model_version::text),
        sum(r.predictions)
    FROM recent r
    GROUP BY r.model_version
UNION ALL
    SELECT v.name, '{}', v.value
    FROM (
        SELECT max(r.newest) AS newest, sum(r.confidence) / sum(r.predictions) AS confidence,
            sum(r.low) / sum(r.predictions) AS low
        FROM recent r) r
    CROSS JOIN (
        SELECT count(*) AS labels, avg(l.is_right) AS accuracy
        FROM (
            SELECT (l.label = l.predicted_label)::int AS is_right
            FROM @extschema@.mnist_label l
            WHERE l.label IS NOT NULL
            ORDER BY l.prediction_id DESC
            LIMIT 1000) l) l
    CROSS JOIN LATERAL (VALUES
        ('mnist_hil_last_prediction_timestamp_seconds', extract(epoch FROM r.newest)::float8),
        ('mnist_hil_recent_confidence_ratio', r.confidence),
        ('mnist_hil_recent_low_confidence_ratio', r.low),
        ('mnist_hil_recent_labels', l.labels),
        ('mnist_hil_recent_accuracy_ratio', l.accuracy)
    ) AS v (name, value)
UNION ALL
    SELECT 'mnist_hil_new_failures', jsonb_build_object('digit', d.digit::text), coalesce(sum(t.labels), 0)
    FROM generate_series(0, 9) AS d (digit)
    LEFT JOIN mnist_internal.tally t ON t.new AND t.label = d.digit AND t.label <> t.predicted_label
    GROUP BY d.digit
UNION ALL
    SELECT 'mnist_hil_switches_total', jsonb_build_object('action', a.action), count(d.id)
    FROM unnest('{activate,promote,rollback}'::text[]) AS a (action)
    LEFT JOIN @extschema@.mnist_deployment d ON d.action = a.action
    GROUP BY a.action
UNION ALL
    SELECT 'mnist_hil_runs_total', jsonb_build_object('status', s.status), count(r.id)
    FROM unnest('{succeeded,failed,cancelled}'::text[]) AS s (status)
    LEFT JOIN @extschema@.mnist_run r ON r.status = s.status
    GROUP BY s.status
UNION ALL
    SELECT v.name, '{}', v.value
    FROM (SELECT) AS always
    LEFT JOIN @extschema@.mnist_run p ON p.status = 'running'
        AND mnist_internal.process_alive(p.pid, p.process_started_at)
    LEFT JOIN (SELECT r.* FROM @extschema@.mnist_run r WHERE r.finished_at IS NOT NULL ORDER BY r.id DESC LIMIT 1) l
        ON true
    CROSS JOIN LATERAL (VALUES
        ('mnist_hil_run_in_progress', (p.id IS NOT NULL)::int::float8),
        ('mnist_hil_run_progress_ratio', p.progress),
        ('mnist_hil_run_images_per_second', p.images_per_second),
        ('mnist_hil_run_loss', p.loss),
        ('mnist_hil_last_run_timestamp_seconds', extract(epoch FROM l.finished_at)::float8),
        ('mnist_hil_last_run_duration_seconds', extract(epoch FROM l.finished_at - l.started_at)),
        ('mnist_hil_last_run_success', (l.status = 'succeeded')::int)
    ) AS v (name, value)
UNION ALL
    SELECT v.name, '{}', v.value
    FROM mnist_internal.check_job() AS job
    CROSS JOIN LATERAL (VALUES
        ('mnist_hil_last_check_timestamp_seconds', extract(epoch FROM job.last_check)::float8),
        ('mnist_hil_last_check_success', (job.last_check_status = 'succeeded')::int),
        ('mnist_hil_checks_overdue', job.overdue::int)
    ) AS v (name, value)
UNION ALL
    SELECT 'mnist_hil_last_event_timestamp_seconds', jsonb_build_object('kind', k.kind), (
        SELECT extract(epoch FROM e.created_at) FROM @extschema@.mnist_event e WHERE e.kind = k.kind
            ORDER BY e.id DESC LIMIT 1)
    FROM event_kind k
UNION ALL
    SELECT 'mnist_hil_table_bytes', jsonb_build_object('table', t.name), pg_total_relation_size(t.relation)
    FROM (VALUES
        ('mnist_prediction', '@extschema@.mnist_prediction'::regclass),
        ('mnist_feedback', '@extschema@.mnist_feedback'),
        ('mnist_label', '@extschema@.mnist_label'),
        ('mnist_sample', '@extschema@.mnist_sample'),
        ('mnist_model', '@extschema@.mnist_model'),
        ('mnist_event', '@extschema@.mnist_event')
    ) AS t (name, relation)
)
SELECT f.name, f.labels, f.value, m.type, m.help
FROM figure f
LEFT JOIN mnist_internal.metric m ON m.name = f.name
WHERE f.value IS NOT NULL;
COMMENT ON VIEW @extschema@.mnist_metrics IS
    'figures for Prometheus, one row for each metric and combination of labels; unknown figures have no row';
COMMENT ON COLUMN @extschema@.mnist_metrics.name IS 'the metric''s name';
COMMENT ON COLUMN @extschema@.mnist_metrics.labels IS 'its labels, an object of texts';
COMMENT ON COLUMN @extschema@.mnist_metrics.value IS 'the figure, in base units: seconds, bytes, ratios of 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_metrics.type IS 'gauge or counter';
COMMENT ON COLUMN @extschema@.mnist_metrics.help IS 'what it is, as a sentence';

/*
 * The same in Prometheus's text exposition format (version 0.0.4): for a gateway, or node_exporter's textfile
 * collector. It runs with the rights of the caller, who needs SELECT on mnist_metrics.
 */
CREATE OR REPLACE FUNCTION @extschema@.mnist_metrics_text() RETURNS text
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT string_agg(f.lines, '' ORDER BY f.name COLLATE "C")
    FROM (
        SELECT m.name,
            format(E'# HELP %1$s %2$s\n# TYPE %1$s %3$s\n', m.name, m.help, m.type)
                || string_agg(format(E'%s%s %s\n', m.name, l.labels, m.value), '' ORDER BY l.labels COLLATE "C")
                    AS lines
        FROM @extschema@.mnist_metrics m
        CROSS JOIN LATERAL (
            SELECT '{' || string_agg(format('%s="%s"', e.key,
                    replace(replace(replace(e.value, E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n')),
                    ',' ORDER BY e.key) || '}' AS labels
            FROM jsonb_each_text(m.labels) AS e) l
        GROUP BY m.name, m.type, m.help) f;
END;
COMMENT ON FUNCTION @extschema@.mnist_metrics_text() IS
    'mnist_metrics in Prometheus''s text format; for roles that may read that view';
