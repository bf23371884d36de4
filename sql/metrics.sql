/*
 * Metrics, in Prometheus's terms.
 *
 * A scrape comes every few seconds and may cost 10 ms at most, over 1,000,000 readings and 100,000 labels.  Hence
 * nothing here counts a table that grows: readings and feedback are counted by their sequences, new labels and
 * failures by mnist_internal.tally, and what varies, such as the mix of digits, over the newest 1,000.  No
 * counter row is kept, which every reading would have to wait for.  The view waits for nobody but who locks a
 * table as a whole, and nobody waits for it.  It works on a standby.
 *
 * The first query of a connection pays for every table and view that it sees for the first time, and for the length of
 * the view itself.  Hence texts are in a table, and single figures share a subquery where they can.
 *
 * A new metric is a row of mnist_internal.metric and its figure.
 */

CREATE TABLE IF NOT EXISTS mnist_internal.metric (
    name  text PRIMARY KEY,
    type  text NOT NULL CHECK (type IN ('gauge', 'counter')),
    help  text NOT NULL
);
COMMENT ON TABLE mnist_internal.metric IS 'the metrics there are; internal';

DELETE FROM mnist_internal.metric;
INSERT INTO mnist_internal.metric (name, type, help)
VALUES
    ('mnist_hil_info', 'gauge', 'The live model; the value is 1.'),
    ('mnist_hil_model_version', 'gauge', 'Version of the live model.'),
    ('mnist_hil_model_live_timestamp_seconds', 'gauge', 'When the live model went live.'),
    ('mnist_hil_models', 'gauge', 'Model versions, pruned ones included.'),
    ('mnist_hil_switches_total', 'counter', 'Switches of the live model, by what made them.'),
    ('mnist_hil_model_cache_used_bytes', 'gauge', 'Memory that models ready to use take, over all databases.'),
    ('mnist_hil_model_cache_size_bytes', 'gauge', 'Memory that they may take (mnist_hil.shared_memory).'),
    ('mnist_hil_model_cache_models', 'gauge', 'Models ready to use, over all databases.'),
    ('mnist_hil_model_cache_fallbacks_total', 'counter', 'Models that a session keeps for itself as there was no room for them.'),
    ('mnist_hil_model_cache_evictions_total', 'counter', 'Models that made room for others.'),
    ('mnist_hil_predictions_total', 'counter', 'Readings stored, by the ids given out; those deleted since are among them.'),
    ('mnist_hil_last_prediction_timestamp_seconds', 'gauge', 'When the newest reading was stored.'),
    ('mnist_hil_recent_predictions', 'gauge', 'Of the newest 1,000 readings, how many were read as the digit.'),
    ('mnist_hil_recent_model_predictions', 'gauge', 'Of the newest 1,000 readings, how many the model version read.'),
    ('mnist_hil_recent_confidence_ratio', 'gauge', 'Mean confidence of the newest 1,000 readings.'),
    ('mnist_hil_recent_low_confidence_ratio', 'gauge', 'Share of the newest 1,000 readings with a confidence under 0.5.'),
    ('mnist_hil_feedback_total', 'counter', 'Things said of readings, by the ids given out; those erased since are among them.'),
    ('mnist_hil_new_labels', 'gauge', 'Labelled readings that no completed run has used.'),
    ('mnist_hil_new_failures', 'gauge', 'Of these, the misread ones that show the digit.'),
    ('mnist_hil_new_labels_threshold', 'gauge', 'New labels that retraining waits for (mnist_hil.min_new_labels).'),
    ('mnist_hil_new_failures_threshold', 'gauge', 'New failures of a digit that retraining waits for (mnist_hil.fail_threshold).'),
    ('mnist_hil_recent_labels', 'gauge', 'Labelled ones among the newest readings, 1,000 at most: those that the next metric is over.'),
    ('mnist_hil_recent_accuracy_ratio', 'gauge', 'Share of the newest 1,000 labelled readings that were read right; errors are corrected more often than successes confirmed.'),
    ('mnist_hil_accuracy_floor_ratio', 'gauge', 'Accuracy under which retraining begins (mnist_hil.accuracy_floor); 0: off.'),
    ('mnist_hil_drift_ratio', 'gauge', 'Share of the features that have drifted, as last computed; absent while not known.'),
    ('mnist_hil_drift_threshold_ratio', 'gauge', 'Share of drifted features over which retraining begins (mnist_hil.drift_threshold).'),
    ('mnist_hil_runs_total', 'counter', 'Training runs that have ended, by how.'),
    ('mnist_hil_run_in_progress', 'gauge', 'Whether a training run is under way: 1 or 0.'),
    ('mnist_hil_run_progress_ratio', 'gauge', 'Share of the training steps done of the run under way.'),
    ('mnist_hil_run_images_per_second', 'gauge', 'Training images a second of the run under way.'),
    ('mnist_hil_run_loss', 'gauge', 'Mean training loss of late of the run under way.'),
    ('mnist_hil_last_run_timestamp_seconds', 'gauge', 'When the newest run that has ended ended.'),
    ('mnist_hil_last_run_duration_seconds', 'gauge', 'How long it took.'),
    ('mnist_hil_last_run_success', 'gauge', 'Whether it made a model, live or not: 1 or 0.'),
    ('mnist_hil_last_event_timestamp_seconds', 'gauge', 'When the newest event of the kind was noted.'),
    ('mnist_hil_datasets', 'gauge', 'Data sets to train on.'),
    ('mnist_hil_table_bytes', 'gauge', 'Size of the table on disk, with its indexes.');

CREATE OR REPLACE VIEW @extschema@.mnist_metrics AS
WITH RECURSIVE reading AS MATERIALIZED (
    SELECT p.label, p.model_version, count(*) AS readings, max(p.created_at) AS newest, sum(p.confidence) AS confidence,
        count(*) FILTER (WHERE p.confidence < 0.5) AS low
    FROM (
        SELECT n.label, n.model_version, n.created_at, n.confidence
        FROM @extschema@.mnist_prediction n
        ORDER BY n.id DESC
        LIMIT 1000) p
    GROUP BY p.label, p.model_version
), event_kind (kind) AS (
    -- from one kind to the next in the index, whatever number of events there is
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
        ('mnist_hil_info', jsonb_build_object('model_version', live.version::text, 'architecture', live.architecture), 1::float8),
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
    SELECT 'mnist_hil_recent_predictions', jsonb_build_object('digit', d.digit::text), coalesce(sum(r.readings), 0)
    FROM generate_series(0, 9) AS d (digit)
    LEFT JOIN reading r ON r.label = d.digit
    GROUP BY d.digit
UNION ALL
    SELECT 'mnist_hil_recent_model_predictions', jsonb_build_object('model_version', r.model_version::text), sum(r.readings)
    FROM reading r
    GROUP BY r.model_version
UNION ALL
    SELECT v.name, '{}', v.value
    FROM (
        SELECT max(r.newest) AS newest, sum(r.confidence) / sum(r.readings) AS confidence,
            sum(r.low) / sum(r.readings) AS low
        FROM reading r) r
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
    LEFT JOIN @extschema@.mnist_run p ON p.status = 'running' AND mnist_internal.process_alive(p.pid, p.process_started_at)
    LEFT JOIN (SELECT r.* FROM @extschema@.mnist_run r WHERE r.finished_at IS NOT NULL ORDER BY r.id DESC LIMIT 1) l ON true
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
    SELECT 'mnist_hil_last_event_timestamp_seconds', jsonb_build_object('kind', k.kind), (
        SELECT extract(epoch FROM e.created_at) FROM @extschema@.mnist_event e WHERE e.kind = k.kind ORDER BY e.id DESC LIMIT 1)
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
    'figures for Prometheus, a row a metric and combination of labels; what is not known has no row';
COMMENT ON COLUMN @extschema@.mnist_metrics.name IS 'the metric''s name';
COMMENT ON COLUMN @extschema@.mnist_metrics.labels IS 'its labels, an object of texts';
COMMENT ON COLUMN @extschema@.mnist_metrics.value IS 'the figure, in base units: seconds, bytes, ratios of 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_metrics.type IS 'gauge or counter';
COMMENT ON COLUMN @extschema@.mnist_metrics.help IS 'what it is, in a sentence';

/*
 * The same as text, in Prometheus's exposition format (version 0.0.4): for a gateway, or node_exporter's textfile
 * collector.  It runs with the caller's rights, who needs SELECT on mnist_metrics.
 */
CREATE OR REPLACE FUNCTION @extschema@.mnist_metrics_text() RETURNS text
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT string_agg(f.lines, '' ORDER BY f.name COLLATE "C")
    FROM (
        SELECT m.name,
            format(E'# HELP %1$s %2$s\n# TYPE %1$s %3$s\n', m.name, m.help, m.type)
                || string_agg(format(E'%s%s %s\n', m.name, l.labels, m.value), '' ORDER BY l.labels COLLATE "C") AS lines
        FROM @extschema@.mnist_metrics m
        CROSS JOIN LATERAL (
            SELECT '{' || string_agg(format('%s="%s"', e.key,
                    replace(replace(replace(e.value, E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n')),
                    ',' ORDER BY e.key) || '}' AS labels
            FROM jsonb_each_text(m.labels) AS e) l
        GROUP BY m.name, m.type, m.help) f;
END;
COMMENT ON FUNCTION @extschema@.mnist_metrics_text() IS
    'mnist_metrics in Prometheus''s text format; for who may read that view';
