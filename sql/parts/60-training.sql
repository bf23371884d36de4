/*
 * Training.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_retrain(
    strategy text DEFAULT 'auto',
    architectures text[] DEFAULT NULL,
    epochs int DEFAULT NULL,
    seed bigint DEFAULT NULL,
    wait boolean DEFAULT true,
    datasets text[] DEFAULT NULL,
    learning_rate real DEFAULT NULL,
    batch_size int DEFAULT NULL,
    promote boolean DEFAULT true,
    trials int DEFAULT NULL,
    search boolean DEFAULT false,
    resume_run bigint DEFAULT NULL,
    trial_epochs int DEFAULT NULL,
    trial_images int DEFAULT NULL,
    OUT run_id bigint,
    OUT model_version int,
    OUT promoted boolean,
    OUT verdict text,
    OUT test_accuracy real,
    OUT validation_accuracy real,
    OUT live_validation_accuracy real,
    OUT feedback_accuracy real,
    OUT live_feedback_accuracy real,
    OUT seconds real
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'mnist_retrain';
COMMENT ON FUNCTION @extschema@.mnist_retrain(text, text[], int, bigint, boolean, text[], real, int, boolean, int, boolean, bigint, int,
    int) IS
    'train a model on base data and feedback, in processes of its own, and let it go live if it is no worse than the live one; with wait the caller''s statement keeps its snapshot, which holds VACUUM back until the run ends: a long one is better left alone (wait => false) and watched in mnist_training_progress';

CREATE OR REPLACE FUNCTION mnist_internal.process_alive(pid int, started timestamptz) RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'mnist_hil_process_alive';
COMMENT ON FUNCTION mnist_internal.process_alive(int, timestamptz) IS
    'whether a server process with this pid exists that started at this time; internal, but open to readers of mnist_training_progress';

CREATE OR REPLACE VIEW @extschema@.mnist_training_progress AS
SELECT
    r.id AS run_id,
    r.strategy,
    r.architecture,
    r.phase,
    r.trial,
    coalesce((r.search->>'trials')::int, 0) AS trials,
    b.value AS best_value,
    r.epoch,
    CASE WHEN r.phase = 'searching' THEN coalesce((r.search->>'trial_epochs')::int, r.epochs) ELSE r.epochs END AS epochs,
    r.progress,
    r.loss,
    r.images_per_second,
    r.processes,
    clock_timestamp() - r.started_at AS elapsed,
    CASE WHEN r.progress > 0 AND r.phase IN ('training', 'searching')
        THEN (r.updated_at - r.started_at) * (1 / r.progress - 1) - (clock_timestamp() - r.updated_at)
    END AS time_left,
    r.requested_by,
    r.pid,
    r.started_at,
    r.updated_at
FROM @extschema@.mnist_run r
LEFT JOIN LATERAL (
    SELECT max(t.value) AS value FROM @extschema@.mnist_trial t WHERE t.run_id = r.id AND t.status = 'succeeded') b ON true
WHERE r.status = 'running' AND mnist_internal.process_alive(r.pid, r.process_started_at);
COMMENT ON VIEW @extschema@.mnist_training_progress IS
    'the retraining run that is under way, one row; empty when there is none';
COMMENT ON COLUMN @extschema@.mnist_training_progress.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_training_progress.strategy IS 'fine_tune or from_scratch';
COMMENT ON COLUMN @extschema@.mnist_training_progress.architecture IS 'the network''s name or description';
COMMENT ON COLUMN @extschema@.mnist_training_progress.phase IS 'what it is doing';
COMMENT ON COLUMN @extschema@.mnist_training_progress.trial IS 'the trial under way; NULL if it is none';
COMMENT ON COLUMN @extschema@.mnist_training_progress.trials IS 'trials planned; 0: none';
COMMENT ON COLUMN @extschema@.mnist_training_progress.best_value IS 'the best trial''s value so far';
COMMENT ON COLUMN @extschema@.mnist_training_progress.epoch IS 'epochs begun, of the trial if one is under way';
COMMENT ON COLUMN @extschema@.mnist_training_progress.epochs IS 'epochs planned, of the trial if one is under way';
COMMENT ON COLUMN @extschema@.mnist_training_progress.progress IS 'share of the training done, trials included, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_training_progress.loss IS 'mean training loss of late';
COMMENT ON COLUMN @extschema@.mnist_training_progress.images_per_second IS 'training images a second of late';
COMMENT ON COLUMN @extschema@.mnist_training_progress.processes IS 'processes that train, the trainer included';
COMMENT ON COLUMN @extschema@.mnist_training_progress.elapsed IS 'time since it began';
COMMENT ON COLUMN @extschema@.mnist_training_progress.time_left IS 'time that the training is expected to take yet';
COMMENT ON COLUMN @extschema@.mnist_training_progress.requested_by IS 'the role that asked for it';
COMMENT ON COLUMN @extschema@.mnist_training_progress.pid IS 'process id of the trainer';
COMMENT ON COLUMN @extschema@.mnist_training_progress.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_training_progress.updated_at IS 'when the figures were written';
