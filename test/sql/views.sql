-- also: not preloaded
-- The views to watch by: they count what is there, each thing once, and say zero where there is nothing.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
LOAD 'mnist_hil';

-- Before anything has happened.
SELECT * FROM mnist_failure_counts;
SELECT count(*) AS pairs, sum(count) FROM mnist_confusion;
SELECT live_version, live_architecture, live_since <= now() AS since, predictions, feedback, labels, new_labels, models,
    datasets,
    samples, running_run, last_run, last_run_status, last_run_verdict, last_run_finished_at FROM mnist_status \gx
SELECT * FROM mnist_training_progress;

-- 30 predictions of labels 0 .. 9, three each.  The third image of each label shows the next digit, the others the
-- digit that was predicted.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
SELECT mnist_draw(i % 10, i), i % 10, 0.9, array_fill(0.1::real, ARRAY[10]), 1 FROM generate_series(0, 29) AS i;
SELECT count(mnist_correct(id, CASE WHEN id > 20 THEN (label + 1) % 10 ELSE label END)) FROM mnist_prediction
WHERE id > 10;
-- Of the prediction of a 9 that shows a 0 somebody says that it shows a 1: a tie, which counts nowhere.
CREATE ROLE regress_mnist_ann;
GRANT EXECUTE ON FUNCTION mnist_correct TO regress_mnist_ann;
SELECT id AS tie FROM mnist_prediction WHERE id > 20 AND label = 9 \gset
SET ROLE regress_mnist_ann;
SELECT mnist_correct(:tie, 1) IS NOT NULL AS corrected;
RESET ROLE;
SELECT * FROM mnist_failure_counts;
SELECT * FROM mnist_confusion WHERE count > 0;
SELECT count(*) AS pairs, sum(count) FROM mnist_confusion;

-- A run has used the wrong predictions of 1 and 2: they count on, but are not new.
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at, verdict)
VALUES ('succeeded', 'fine_tune', 'default', 1, '{}', 'nobody', 0, now(), 'promoted'),
    ('failed', 'fine_tune', 'default', 1, '{}', 'nobody', 0, now(), NULL);
INSERT INTO mnist_internal.snapshot (id, newest, added)
SELECT 1, max(id), range_agg(int8range(id, id, '[]'))
FROM mnist_label, unnest(feedback_ids) AS id WHERE label IN (1, 2) AND label <> predicted_label;
INSERT INTO mnist_internal.run_snapshot VALUES (1, 1);
SELECT * FROM mnist_failure_counts WHERE label <= 3;

-- mnist_status counts what there is.
SELECT mnist_import_synthetic('views', 140);
SELECT live_version, live_architecture, predictions, feedback, labels, new_labels, models, datasets, samples,
    running_run,
    last_run, last_run_status, last_run_verdict FROM mnist_status \gx
SELECT (s.predictions, s.feedback, s.labels, s.new_labels, s.samples) =
    ((SELECT count(*) FROM mnist_prediction), (SELECT count(*) FROM mnist_feedback),
     (SELECT count(*) FROM mnist_label WHERE label IS NOT NULL), (SELECT count(*) FROM mnist_label
         WHERE label IS NOT NULL AND new),
     (SELECT count(*) FROM mnist_sample)) AS agrees
FROM mnist_status s;
SELECT sum(f.corrected) = max(s.labels) AND sum(f.new_labels) = max(s.new_labels) AS agrees
FROM mnist_failure_counts f, mnist_status s;

-- Predictions made count on when they are deleted.
DELETE FROM mnist_prediction WHERE id <= 5;
SELECT predictions FROM mnist_status;

-- mnist_status answers at once however many predictions there are: it does not look at them.
SELECT count(*) AS looks_at_readings
FROM pg_rewrite w
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
WHERE w.ev_class = 'mnist_status'::regclass AND d.refobjid = 'mnist_prediction'::regclass;

DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_ann;
