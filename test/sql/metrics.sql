-- also: not preloaded
-- mnist_metrics: every figure against the tables, and Prometheus's rules.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

CREATE FUNCTION pg_temp.metric(metric text, label text DEFAULT NULL) RETURNS float8 LANGUAGE sql AS $$
    SELECT value FROM mnist_metrics m
    WHERE m.name = 'mnist_hil_' || metric AND coalesce((SELECT e.value FROM jsonb_each_text(labels) AS e), '')
        = coalesce(label, '')
$$;

-- Before anything has happened: what counts is 0, what cannot be known is not there.
SELECT name, labels, value FROM mnist_metrics
WHERE name !~ '(cache|timestamp|table_bytes|threshold|floor)' ORDER BY name COLLATE "C", labels::text COLLATE "C";

-- Predictions, labels, runs, switches.
INSERT INTO mnist_prediction (created_at, image, label, confidence, probabilities, model_version)
SELECT '2026-01-01 00:00:00+00'::timestamptz + i * interval '1 second', mnist_internal.synthetic(i % 7, i), i % 7,
    (i % 10) / 10.0,
    array_fill(0.1::real, ARRAY[10]), 1 + i % 2
FROM generate_series(1, 1500) AS i;
SELECT count(mnist_correct(id, CASE WHEN id % 3 = 0 THEN (label + 1) % 10 ELSE label END)) FROM mnist_prediction
WHERE id % 30 <= 1;
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at,
    started_at, finished_at)
SELECT s.status, 'fine_tune', 'default', 1, '{}', 'somebody', 1, 'epoch', 'epoch',
    'epoch'::timestamptz + s.n * interval '1 minute'
FROM unnest('{succeeded,failed,cancelled,failed,succeeded}'::text[]) WITH ORDINALITY AS s (status, n);
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256)
SELECT 2, 'a "quoted" \ one', network, parameters, weights, weights_sha256 FROM mnist_model;
SELECT mnist_activate(2);
SELECT mnist_rollback();
SELECT mnist_activate(2);
SELECT mnist_import_synthetic('base', 60) AS imported;

SELECT metric, label, pg_temp.metric(metric, label) AS value, expected
FROM (
    SELECT 'predictions_total' AS metric, NULL AS label, count(*)::float8 AS expected FROM mnist_prediction
    UNION ALL SELECT 'feedback_total', NULL, count(*) FROM mnist_feedback
    UNION ALL SELECT 'new_labels', NULL, count(*) FROM mnist_label WHERE new
    UNION ALL SELECT 'new_failures', label::text, new_failures FROM mnist_failure_counts
    UNION ALL SELECT 'recent_labels', NULL, count(*) FROM mnist_label
    UNION ALL SELECT 'recent_accuracy_ratio', NULL, avg((label = predicted_label)::int) FROM mnist_label
    UNION ALL SELECT 'recent_predictions', digit::text, count(*) FILTER (WHERE label = digit)
        FROM mnist_prediction, generate_series(0, 9) AS digit WHERE id > 500 GROUP BY digit
    UNION ALL SELECT 'recent_model_predictions', model_version::text, count(*) FROM mnist_prediction WHERE id > 500
    GROUP BY model_version
    UNION ALL SELECT 'recent_confidence_ratio', NULL, avg(confidence) FROM mnist_prediction WHERE id > 500
    UNION ALL SELECT 'recent_low_confidence_ratio', NULL, 0.5
    UNION ALL SELECT 'last_prediction_timestamp_seconds', NULL, extract(epoch FROM max(created_at))
    FROM mnist_prediction
    UNION ALL SELECT 'runs_total', status, count(*) FROM mnist_run GROUP BY status
    UNION ALL SELECT 'run_in_progress', NULL, 0
    UNION ALL SELECT 'last_run_timestamp_seconds', NULL, 300
    UNION ALL SELECT 'last_run_duration_seconds', NULL, 300
    UNION ALL SELECT 'last_run_success', NULL, 1
    UNION ALL SELECT 'switches_total', action, count(*) FROM mnist_deployment WHERE action <> 'install' GROUP BY action
    UNION ALL SELECT 'model_version', NULL, 2
    UNION ALL SELECT 'model_live_timestamp_seconds', NULL, extract(epoch FROM max(deployed_at)) FROM mnist_deployment
    UNION ALL SELECT 'models', NULL, count(*) FROM mnist_model
    UNION ALL SELECT 'datasets', NULL, count(*) FROM mnist_dataset
    UNION ALL SELECT 'new_labels_threshold', NULL, current_setting('mnist_hil.min_new_labels')::int
    UNION ALL SELECT 'new_failures_threshold', NULL, current_setting('mnist_hil.fail_threshold')::int
    UNION ALL SELECT 'accuracy_floor_ratio', NULL, current_setting('mnist_hil.accuracy_floor')::float8
    UNION ALL SELECT 'drift_threshold_ratio', NULL, current_setting('mnist_hil.drift_threshold')::float8
    UNION ALL SELECT 'model_cache_used_bytes', NULL, memory_used FROM mnist_status
    UNION ALL SELECT 'model_cache_size_bytes', NULL, memory_size FROM mnist_status
    UNION ALL SELECT 'last_event_timestamp_seconds', kind, extract(epoch FROM max(created_at)) FROM mnist_event
    GROUP BY kind
    UNION ALL SELECT 'table_bytes', t::text, pg_total_relation_size(t)
    FROM unnest('{mnist_prediction,mnist_model}'::regclass[]) AS t
) AS e
WHERE round(pg_temp.metric(metric, label)::numeric, 4) IS DISTINCT FROM round(expected::numeric, 4);
SELECT count(*) > 50 AS compared FROM mnist_metrics;

-- As is the rule for names, types and labels.
SELECT name, type, help FROM mnist_metrics
WHERE name !~ '^mnist_hil_[a-z_]+$' OR type NOT IN ('gauge', 'counter') OR type IS NULL OR (type = 'counter')
    <> (name ~ '_total$')
    OR help !~ '^[A-Z].*\.$' OR help IS NULL OR jsonb_typeof(labels) <> 'object'
    OR EXISTS (SELECT FROM jsonb_each(labels) AS l WHERE jsonb_typeof(l.value) <> 'string' OR l.key !~ '^[a-z_]+$');
SELECT name, labels FROM mnist_metrics GROUP BY name, labels HAVING count(*) > 1;

-- As text: a line of help and of type before the figures of a metric, and figures that can be read back.
SELECT line FROM regexp_split_to_table(mnist_metrics_text(), E'\n') AS line
WHERE line ~ 'mnist_hil_(info|runs_total|predictions_total)';
SELECT count(*) FILTER (WHERE line ~ '^# HELP ') = count(*) FILTER (WHERE line ~ '^# TYPE ') AS described,
    count(*) FILTER (WHERE line ~ '^mnist_hil_[a-z_]+'
        '({[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*})? [-+0-9.e]+$')
        = (SELECT count(*) FROM mnist_metrics) AS figures,
    count(*) FILTER (WHERE line !~ '^(# (HELP|TYPE) |mnist_hil_)' AND line <> '') AS others
FROM regexp_split_to_table(mnist_metrics_text(), E'\n') AS line;

-- New labels and failures are counted however many there are.
INSERT INTO mnist_label (prediction_id, label, predicted_label, model_version, votes, annotators, new, pixels_sha256,
    held_out, feedback_ids)
SELECT 10000 + i, 9, 8, 1, 1, 1, true, sha256(''), false, '{}' FROM generate_series(1, 6000) AS i;
SELECT pg_temp.metric('new_labels') AS new_labels, pg_temp.metric('new_failures', '9') AS new_failures;

-- An observer needs no right but on the view.
CREATE ROLE regress_observer;
GRANT SELECT ON mnist_metrics TO regress_observer;
GRANT EXECUTE ON FUNCTION mnist_metrics_text TO regress_observer;
SET ROLE regress_observer;
SELECT count(*) > 50 AS metrics, length(mnist_metrics_text()) > 3000 AS text FROM mnist_metrics;
SELECT count(*) FROM mnist_prediction;
RESET ROLE;

DROP EXTENSION mnist_hil;
DROP ROLE regress_observer;
