-- also: not preloaded
-- The loop: conditions, mnist_check, what it repeats and what not, events, pruning, retention, lineage.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
-- A model that is trained in a moment is live.
SELECT mnist_import_synthetic('first', 600);
SELECT mnist_activate(model_version) FROM mnist_retrain('from_scratch', '{softmax}', seed => 1, promote => false);
SELECT mnist_drop_dataset('first');
-- What comes after a run is in test recipe.
SELECT mnist_set_recipe(prune => false, report => false);
SET mnist_hil.epochs = 1;
SET mnist_hil.min_new_labels = 20;
SET mnist_hil.fail_threshold = 3;

-- Wait for the end of the run under way.
CREATE PROCEDURE settle() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 1200 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM mnist_run WHERE status = 'running');
        PERFORM pg_sleep(0.05);
        COMMIT;
    END LOOP;
END
$$;
-- That many predictions by the live model, every n-th of them corrected to a digit, the others confirmed.
CREATE FUNCTION correct(n int, every int, digit int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    prediction bigint;
    failures int := 0;
BEGIN
    FOR i IN 1 .. n LOOP
        INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
        SELECT mnist_draw(digit, i, 40), (digit + 1) % 10, 0.5, '{0.5}', version FROM mnist_live
        RETURNING id INTO prediction;
        PERFORM mnist_correct(prediction, CASE WHEN i % every = 0 THEN digit ELSE (digit + 1) % 10 END);
        failures := failures + (i % every = 0)::int;
    END LOOP;
    RETURN failures;
END
$$;
CREATE VIEW decision AS SELECT condition, round(value::numeric, 2) AS value, threshold, met, explanation
FROM mnist_retrain_decision;

-- Nothing to do.
SELECT * FROM decision WHERE condition <> 'drift';
SELECT * FROM mnist_check();
SELECT retrain_due, retrain_reasons, retry_not_before, given_up, awaiting_approval, check_schedule, next_check
FROM mnist_status;

-- Enough labels, too few failures of any digit; then enough failures, too few labels; then both.
SELECT correct(20, 10, 3);
SELECT * FROM decision WHERE condition IN ('new_labels', 'failures');
SELECT * FROM mnist_check();
SET mnist_hil.min_new_labels = 30;
SELECT correct(4, 4, 3);
SELECT * FROM decision WHERE condition IN ('new_labels', 'failures');
SELECT * FROM mnist_check();
SET mnist_hil.min_new_labels = 20;
SELECT retrain_due, retrain_reasons FROM mnist_status;

-- There is nothing to train on: that is a reason not to run, and no failed run.
SELECT * FROM mnist_check();
SELECT count(*) AS failed_runs FROM mnist_run WHERE trigger = 'check';
-- There is too little to train on: the run fails, and is on record.
SELECT mnist_import_images('tiny', 'train', ARRAY[mnist_draw(3, 1, 28)], '{3}');
UPDATE mnist_dataset SET created_at = created_at - interval '10 days';
SELECT * FROM mnist_check();
SELECT count(*) AS backwards FROM mnist_run WHERE finished_at < started_at;
SELECT id, status, trigger, attempt, retry_of, error, sqlstate, reasons FROM mnist_run ORDER BY id;
-- It is not repeated at once, but with growing delays,
SELECT retrain, run_id, regexp_replace(reasons[3], 'before .*', 'before ...') AS why_not FROM mnist_check();
SELECT attempt, not_before - (SELECT max(finished_at) FROM mnist_run) AS delay, given_up FROM mnist_internal.retry;
CREATE FUNCTION later() RETURNS void LANGUAGE sql AS $$
    UPDATE mnist_run SET finished_at = finished_at - interval '6 hours' WHERE id = (SELECT max(id) FROM mnist_run)
$$;
SELECT later();
SELECT retrain FROM mnist_check();
SELECT attempt, not_before - (SELECT max(finished_at) FROM mnist_run) AS delay, given_up FROM mnist_internal.retry;
SELECT later();
SELECT retrain FROM mnist_check();
SELECT attempt, not_before - (SELECT max(finished_at) FROM mnist_run) AS delay, given_up FROM mnist_internal.retry;
SELECT later();
SELECT retrain FROM mnist_check();
-- and three times at most.
SELECT attempt, not_before, given_up FROM mnist_internal.retry;
SELECT retrain, reasons[3] AS why_not FROM mnist_check();
SELECT id, status, attempt, retry_of FROM mnist_run ORDER BY id;
SELECT kind, message, run_id FROM mnist_event WHERE kind LIKE 'r%' ORDER BY id;
SELECT given_up, retry_not_before FROM mnist_status;
-- New feedback opens it again.
SELECT correct(1, 2, 3);
SELECT given_up FROM mnist_status;
SELECT retrain, reasons[3] AS why_not FROM mnist_check();
SELECT id, status, attempt, retry_of FROM mnist_run ORDER BY id DESC LIMIT 1;

-- So does a data set, whatever the delay.
SELECT mnist_drop_dataset('tiny');
SELECT mnist_import_synthetic('drawn', 600);
SELECT * FROM mnist_check();
-- There is one run at a time, and what it uses counts no more.
SELECT retrain, reasons FROM mnist_check();
CALL settle();
SELECT id, status, trigger, attempt, retry_of FROM mnist_run ORDER BY id DESC LIMIT 1;
SELECT * FROM decision WHERE condition IN ('new_labels', 'failures');
SELECT * FROM mnist_check();
SELECT count(*) AS used, count(DISTINCT feedback_id) AS once FROM mnist_run_feedback;

-- The same where the gate rejects the model: not again on the same data.
SELECT correct(20, 5, 8);
SELECT retrain FROM mnist_check();
CALL settle();
UPDATE mnist_run SET promoted = false, decision = 'rejected' WHERE id = (SELECT max(id) FROM mnist_run);
SELECT * FROM decision WHERE condition IN ('new_labels', 'failures');
SELECT * FROM mnist_check();

-- Accuracy under the floor, of the newest labels, if there are enough of them.  It is told once when it falls and once
-- when it has recovered.
SET mnist_hil.accuracy_floor = 0.9;
SET mnist_hil.fail_threshold = 1000;
SELECT correct(19, 2, 5);
SELECT * FROM decision WHERE condition = 'accuracy';
SELECT * FROM mnist_check();
SELECT correct(1, 1, 5);
SELECT * FROM decision WHERE condition = 'accuracy';
BEGIN;
SELECT retrain, reasons FROM mnist_check();
COMMIT;
SELECT retrain, reasons[1] LIKE 'run % is under way' AS under_way FROM mnist_check();
CALL settle();
SELECT * FROM mnist_check();
SELECT correct(20, 21, 5);
SELECT * FROM mnist_check();
SELECT * FROM mnist_check();
SELECT kind, message FROM mnist_event WHERE kind LIKE 'accuracy%' ORDER BY id;
RESET mnist_hil.accuracy_floor;

-- A read-only transaction, as on a standby, gets an answer, too.
BEGIN READ ONLY;
SELECT * FROM mnist_check();
COMMIT;

-- A run whose process is gone is closed.
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at, trigger)
VALUES ('running', 'fine_tune', 'default', 1, '{}', 'nobody', 2147483647, now(), 'by hand');
SELECT retrain, regexp_replace(reasons[1], '[0-9]+', 'N') AS reason, run_id FROM mnist_check();
SELECT status, sqlstate FROM mnist_run ORDER BY id DESC LIMIT 1;

-- Where models come from.
SELECT version, parent_version, line, strategy, trigger, datasets, feedback_train_images > 0 AS has_feedback,
    created_by = current_user AS mine,
    pruned
FROM mnist_lineage WHERE version <= 3 ORDER BY version;
SELECT count(*) FILTER (WHERE live) AS live, count(*) = (SELECT count(*) FROM mnist_model) AS complete
FROM mnist_lineage;

-- Pruning: never the live one, the one before it, nor one that awaits approval.
DO $$
BEGIN
    FOR v IN 100 .. 109 LOOP
        INSERT INTO mnist_model (version, parent_version, architecture, network, parameters, weights, weights_sha256)
        SELECT v, 1, architecture, network, parameters, weights, weights_sha256 FROM mnist_model WHERE version = 1;
    END LOOP;
END
$$;
SELECT mnist_activate(100), mnist_activate(101);
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at,
    model_version, decision)
VALUES ('succeeded', 'fine_tune', 'default', 1, '{}', 'nobody', 1, now(), 102, 'awaiting approval');
SELECT awaiting_approval IS NOT NULL AS awaiting FROM mnist_status;
SELECT array_agg(v) FILTER (WHERE v >= 100) AS would_go FROM mnist_prune(2, dry_run => true) AS v;
SELECT count(*) AS pruned FROM mnist_model WHERE weights IS NULL;
SELECT array_agg(v) FILTER (WHERE v >= 100) AS went FROM mnist_prune(2) AS v;
SELECT array_agg(version ORDER BY version) AS kept FROM mnist_model WHERE weights IS NOT NULL;
SELECT count(*) AS more FROM mnist_prune(2);
SELECT mnist_rollback();
SELECT mnist_activate(103);
SET mnist_hil.keep_models = 0;
SELECT mnist_prune();
SELECT array_agg(version ORDER BY version) AS kept FROM mnist_model WHERE weights IS NOT NULL;
SELECT mnist_prune(-1);
SELECT mnist_prune(NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT mnist_prune();
ROLLBACK;
RESET mnist_hil.keep_models;
SELECT kind, detail ->> 'versions' AS versions FROM mnist_event
WHERE kind = 'models_pruned' AND id = (SELECT max(id) FROM mnist_event);

-- Retention: off by default.  Predictions with labels stay, and so do the newest event of each kind.
UPDATE mnist_prediction SET created_at = now() - interval '3 days';
INSERT INTO mnist_prediction (created_at, image, label, confidence, probabilities, model_version)
SELECT now() - interval '2 days' * (i <= 5)::int, '\x00', 1, 1, '{0,1}', 1 FROM generate_series(1, 7) AS i;
INSERT INTO mnist_event (kind, message, created_at) SELECT 'old', i::text, now() - interval '2 days'
FROM generate_series(1, 3) AS i;
INSERT INTO mnist_trial (run_id, trial, status, architecture, parameters, value)
    VALUES (1, 1, 'succeeded', 'mlp', '{}', 0.9);
UPDATE mnist_run SET finished_at = now() - interval '2 days' WHERE id = 1;
CREATE TEMP TABLE before AS SELECT (SELECT count(*) FROM mnist_prediction) AS predictions, (SELECT count(*)
    FROM mnist_feedback) AS feedback;
SELECT retrain FROM mnist_check();
SELECT count(*) = (SELECT predictions FROM before) AS kept_all FROM mnist_prediction;
SET mnist_hil.retention = '1d';
SELECT retrain FROM mnist_check();
SELECT retrain FROM mnist_check();
SELECT (SELECT predictions FROM before) - count(*) AS deleted FROM mnist_prediction;
SELECT count(*) = (SELECT feedback FROM before) AS feedback_kept FROM mnist_feedback;
SELECT message FROM mnist_event WHERE kind = 'old';
SELECT count(*) AS trials FROM mnist_trial;
RESET mnist_hil.retention;

-- Events: a kind is a word, and a row never changes.
\set VERBOSITY sqlstate
SELECT mnist_internal.event('Not a word', 'x');
\set VERBOSITY default
UPDATE mnist_event SET message = 'x';

-- Which conditions make retraining due.
SELECT met, mnist_internal.due_conditions(met::text[]) AS due
FROM unnest(ARRAY['{}', '{new_labels}', '{failures}', '{new_labels,failures}', '{drift}', '{new_labels,drift}',
    '{failures,accuracy}', '{new_labels,failures,drift,accuracy}', NULL]) AS met;

DROP EXTENSION mnist_hil CASCADE;
DROP PROCEDURE settle;
DROP FUNCTION correct, later;
