-- also: not preloaded
-- Retention: what mnist_check deletes in its transaction, and mnist_housekeep in batches with commits between; nothing
-- is
-- missed, whatever commits late or loses its feedback, and nothing that has feedback goes.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
-- That many predictions, so old.
CREATE FUNCTION predictions(n int, age interval) RETURNS void LANGUAGE sql AS $$
    INSERT INTO mnist_prediction (created_at, image, label, confidence, probabilities, model_version)
    SELECT now() - age + i * interval '1 ms', mnist_preprocess(mnist_draw(1, 1, 28)), 1, 1, '{0,1}', 1
    FROM generate_series(1, n) AS i
$$;
-- The transactions that deleted predictions, and how many each.
CREATE TABLE deletion (transaction xid8, n int);
CREATE FUNCTION note_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.deletion SELECT pg_current_xact_id(), count(*) FROM gone HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_deletion AFTER DELETE ON mnist_prediction REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note_deletion();
CREATE FUNCTION deletions() RETURNS SETOF text LANGUAGE sql AS $$
    WITH d AS (DELETE FROM deletion RETURNING *)
    SELECT format('%s in %s transactions', sum(n), count(DISTINCT transaction)) FROM d
$$;
SELECT predictions(12000, '3 days');
SELECT predictions(10, '1 hour');
SELECT mnist_correct(id, 1) FROM mnist_prediction WHERE id IN (1, 2, 6000) ORDER BY id;

-- Off by default.
SELECT retrain FROM mnist_check();
CALL mnist_housekeep();
SELECT deletions();
-- In a transaction: a batch, of which two have feedback.
SET mnist_hil.retention = '1d';
SELECT retrain FROM mnist_check();
SELECT deletions();
BEGIN;
CALL mnist_housekeep();
ROLLBACK;
SELECT deletions();
-- Without time for more it is a batch, too.
SET mnist_hil.retention_budget = 0;
CALL mnist_housekeep();
SELECT deletions();
-- The rest, in batches, with a commit after each, also where transactions have one snapshot by default.
RESET mnist_hil.retention_budget;
SELECT predictions(9000, '2 days');
SET default_transaction_isolation = 'repeatable read';
CALL mnist_housekeep();
RESET default_transaction_isolation;
SELECT deletions();
SELECT count(*) FILTER (WHERE created_at < now() - interval '1 day') AS old, count(*) AS predictions
FROM mnist_prediction;
SELECT array_agg(DISTINCT prediction_id) AS corrected FROM mnist_feedback;

-- Nothing to do: nothing is written.
BEGIN;
SELECT retrain FROM mnist_check();
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
COMMIT;

-- What loses its feedback later, and what commits late, as it were, goes with the next walk, a day after the last.
DELETE FROM mnist_feedback WHERE prediction_id IN (2, 6000);
SELECT predictions(7, '2 days 12 hours');
INSERT INTO mnist_prediction (id, created_at, image, label, confidence, probabilities, model_version)
SELECT 4, now() - interval '2 days', '\x00', 1, 1, '{0,1}', 1;
CALL mnist_housekeep();
SELECT deletions();
UPDATE mnist_retention SET begun_at = begun_at - interval '25 hours';
CALL mnist_housekeep();
SELECT deletions();
SELECT count(*) AS old, min(id) FROM mnist_prediction WHERE created_at < now() - interval '1 day';
-- With a shorter retention it is an hour after the last.
SET mnist_hil.retention = '30min';
CALL mnist_housekeep();
SELECT deletions();
SELECT predictions(3, '2 days');
UPDATE mnist_retention SET begun_at = begun_at - interval '59 minutes';
CALL mnist_housekeep();
SELECT deletions();
UPDATE mnist_retention SET begun_at = begun_at - interval '1 minute';
CALL mnist_housekeep();
SELECT deletions();
SET mnist_hil.retention = '1d';

-- A transaction with one snapshot leaves it to the next.
SELECT predictions(3, '25 hours');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT retrain FROM mnist_check();
COMMIT;
SELECT deletions();
-- So does one that cannot write.
BEGIN READ ONLY;
CALL mnist_housekeep();
COMMIT;
SET default_transaction_read_only = on;
CALL mnist_housekeep();
RESET default_transaction_read_only;
SELECT deletions();

-- Who may call it needs nothing else.
CREATE ROLE regress_mnist_keeper;
SET ROLE regress_mnist_keeper;
CALL mnist_housekeep();
RESET ROLE;
GRANT EXECUTE ON PROCEDURE mnist_housekeep TO regress_mnist_keeper;
SELECT predictions(6000, '25 hours');
SET ROLE regress_mnist_keeper;
CALL mnist_housekeep();
SELECT current_user;
RESET ROLE;
SELECT deletions();
REVOKE EXECUTE ON PROCEDURE mnist_housekeep FROM regress_mnist_keeper;
DROP ROLE regress_mnist_keeper;

-- Events, of which the newest of each kind stay, and the trials of runs.
INSERT INTO mnist_event (kind, message, created_at)
SELECT CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END, i::text, now() - interval '2 days'
FROM generate_series(1, 2500) AS i;
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at,
    finished_at)
SELECT 'succeeded', 'fine_tune', 'default', 1, '{}', 'nobody', 1, now(), now() - i * interval '16 hours'
FROM generate_series(3, 1, -1) AS i;
INSERT INTO mnist_trial (run_id, trial, status, architecture, parameters, value)
SELECT r, t, 'succeeded', 'mlp', '{}', 0.9 FROM generate_series(1, 3) AS r, generate_series(1, 2) AS t;
INSERT INTO mnist_metric (run_id, trial, epoch) SELECT r, t, 1
FROM generate_series(1, 3) AS r, generate_series(0, 2) AS t;
CALL mnist_housekeep();
SELECT kind, message FROM mnist_event ORDER BY id;
SELECT run_id, trial FROM mnist_trial ORDER BY run_id, trial;
SELECT run_id, trial FROM mnist_metric ORDER BY run_id, trial;

DROP EXTENSION mnist_hil;
DROP TABLE deletion;
DROP FUNCTION predictions, deletions, note_deletion;
