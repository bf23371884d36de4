/*
 * Training runs: their record, their trials and their curves, and the views that show them.
 */

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_run_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_run (
    id                        bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_run_id_seq'),
    status                    text NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled')),
    strategy                  text NOT NULL CHECK (strategy IN ('fine_tune', 'from_scratch')),
    architecture              text NOT NULL,
    seed                      bigint NOT NULL,
    parameters                jsonb NOT NULL,
    parent_version            int,
    model_version             int,
    promoted                  boolean,
    verdict                   text,
    -- the data
    datasets                  text[],
    data                      jsonb,
    data_sha256               bytea CHECK (octet_length(data_sha256) = 32),
    train_images              int,
    validation_images         int,
    test_images               int,
    feedback_train_images     int,
    feedback_held_out_images  int,
    -- the figures of the gate; live_: of the live model on the same images
    validation_accuracy       real,
    live_validation_accuracy  real,
    feedback_accuracy         real,
    live_feedback_accuracy    real,
    test_accuracy             real,
    live_test_accuracy        real,
    -- the gate's decision
    gate                      jsonb,
    decision                  text CHECK (decision IN ('promoted', 'rejected', 'awaiting approval', 'approved',
                                  'not promoted', 'promotion pending')),
    reproduces                bigint CHECK (reproduces < id),         -- refers to this table
    -- its trials
    search                    jsonb,
    resumes                   bigint CHECK (resumes < id),            -- refers to this table
    trial                     int,
    best_trial                int,
    -- while it runs
    phase                     text,
    epoch                     int,
    epochs                    int,
    progress                  real,
    loss                      real,
    images_per_second         real,
    updated_at                timestamptz,
    -- why, who and where
    trigger                   text NOT NULL DEFAULT 'by hand' CHECK (trigger IN ('by hand', 'check')),
    reasons                   text[],
    attempt                   int NOT NULL DEFAULT 1 CHECK (attempt > 0),
    retry_of                  bigint CHECK (retry_of < id),         -- refers to this table
    requested_by              name NOT NULL,
    pid                       int NOT NULL,
    process_started_at        timestamptz NOT NULL,
    processes                 int,
    software                  text,
    cpu                       text,
    started_at                timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at               timestamptz,
    error                     text,
    sqlstate                  text,
    training_started_at       timestamptz,
    -- the recipe that it followed, and what its time budget left out
    recipe_id                 bigint,                               -- refers to mnist_recipe_log
    time_budget               interval,
    shortened                 text
) WITH (fillfactor = 50);
ALTER SEQUENCE @extschema@.mnist_run_id_seq OWNED BY @extschema@.mnist_run.id;
CREATE UNIQUE INDEX IF NOT EXISTS mnist_run_one_running ON @extschema@.mnist_run ((true)) WHERE status = 'running';
CREATE INDEX IF NOT EXISTS mnist_run_pending ON @extschema@.mnist_run (id) WHERE decision = 'promotion pending';

COMMENT ON TABLE @extschema@.mnist_run IS 'training runs, recorded however they ended; at most one is running';
COMMENT ON COLUMN @extschema@.mnist_run.id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_run.status IS
    'running, succeeded (a model was made, promoted or not), failed or cancelled';
COMMENT ON COLUMN @extschema@.mnist_run.strategy IS 'fine_tune (from the parent''s weights) or from_scratch';
COMMENT ON COLUMN @extschema@.mnist_run.architecture IS 'the network''s name; while several are tried, all of them';
COMMENT ON COLUMN @extschema@.mnist_run.seed IS 'the seed of all randomness of the run';
COMMENT ON COLUMN @extschema@.mnist_run.parameters IS
    'all hyperparameters that were used; during a search, those that it began with';
COMMENT ON COLUMN @extschema@.mnist_run.parent_version IS
    'the model that was live when the run began; where fine-tuning starts';
COMMENT ON COLUMN @extschema@.mnist_run.model_version IS 'the model it made';
COMMENT ON COLUMN @extschema@.mnist_run.promoted IS 'whether that model went live';
COMMENT ON COLUMN @extschema@.mnist_run.verdict IS 'why it went live, or not';
COMMENT ON COLUMN @extschema@.mnist_run.datasets IS
    'names of the data sets trained on; those dropped since stay listed';
COMMENT ON COLUMN @extschema@.mnist_run.data IS
    'the exact data: number and hash of each split of each data set, number and hash of the feedback, and the rules';
COMMENT ON COLUMN @extschema@.mnist_run.data_sha256 IS 'SHA-256 over all images and labels used, with their weights';
COMMENT ON COLUMN @extschema@.mnist_run.train_images IS 'images of the data sets trained on, duplicates left out';
COMMENT ON COLUMN @extschema@.mnist_run.validation_images IS
    'images of the data sets on which the gate compared the models';
COMMENT ON COLUMN @extschema@.mnist_run.test_images IS 'images of the data sets on which accuracy is only reported';
COMMENT ON COLUMN @extschema@.mnist_run.feedback_train_images IS 'labelled predictions trained on';
COMMENT ON COLUMN @extschema@.mnist_run.feedback_held_out_images IS
    'held-out labelled predictions on which the gate compared the models';
COMMENT ON COLUMN @extschema@.mnist_run.validation_accuracy IS
    'accuracy of the candidate on the validation images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run.live_validation_accuracy IS 'accuracy of the live model on the same images';
COMMENT ON COLUMN @extschema@.mnist_run.feedback_accuracy IS
    'accuracy of the candidate on the held-out feedback, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run.live_feedback_accuracy IS 'accuracy of the live model on the same images';
COMMENT ON COLUMN @extschema@.mnist_run.test_accuracy IS
    'accuracy of the candidate on the test images, 0 .. 1; only reported';
COMMENT ON COLUMN @extschema@.mnist_run.live_test_accuracy IS 'accuracy of the live model on the same images';
COMMENT ON COLUMN @extschema@.mnist_run.gate IS 'all figures of the gate; mnist_gate shows them in columns';
COMMENT ON COLUMN @extschema@.mnist_run.decision IS
    'promoted, rejected, awaiting approval, approved (went live later), not promoted (promote => false), or '
    'promotion pending (it passed; mnist_check makes it live once no lock blocks that)';
COMMENT ON COLUMN @extschema@.mnist_run.reproduces IS 'the run that it repeats, by mnist_reproduce';
COMMENT ON COLUMN @extschema@.mnist_run.search IS
    'what its trials search, and the hyperparameters that they began with; NULL if it has no trials';
COMMENT ON COLUMN @extschema@.mnist_run.resumes IS 'the run whose trials it continued';
COMMENT ON COLUMN @extschema@.mnist_run.trial IS 'the trial under way';
COMMENT ON COLUMN @extschema@.mnist_run.best_trial IS 'the trial whose architecture and hyperparameters the model has';
COMMENT ON COLUMN @extschema@.mnist_run.phase IS 'what the run is doing, or did last';
COMMENT ON COLUMN @extschema@.mnist_run.epoch IS 'epochs begun';
COMMENT ON COLUMN @extschema@.mnist_run.epochs IS 'epochs planned';
COMMENT ON COLUMN @extschema@.mnist_run.progress IS 'fraction of the training steps done, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run.loss IS 'recent mean training loss';
COMMENT ON COLUMN @extschema@.mnist_run.images_per_second IS 'recent training images a second';
COMMENT ON COLUMN @extschema@.mnist_run.updated_at IS 'when the figures above were written';
COMMENT ON COLUMN @extschema@.mnist_run.trigger IS 'what began it: by hand (mnist_retrain), or check (mnist_check)';
COMMENT ON COLUMN @extschema@.mnist_run.reasons IS 'why mnist_check began it';
COMMENT ON COLUMN @extschema@.mnist_run.attempt IS 'the attempt, from 1: mnist_check repeats a run that failed';
COMMENT ON COLUMN @extschema@.mnist_run.retry_of IS 'the failed run that it repeats';
COMMENT ON COLUMN @extschema@.mnist_run.recipe_id IS
    'the recipe that it followed (mnist_recipe_log); NULL: the call named strategy, architectures or trials';
COMMENT ON COLUMN @extschema@.mnist_run.time_budget IS 'how long it might take; NULL: as long as it needed';
COMMENT ON COLUMN @extschema@.mnist_run.shortened IS
    'the trials and epochs that it made of those planned, if the time budget did not allow all; NULL: it made all';
COMMENT ON COLUMN @extschema@.mnist_run.requested_by IS 'the role that asked for it';
COMMENT ON COLUMN @extschema@.mnist_run.pid IS 'process id of the trainer';
COMMENT ON COLUMN @extschema@.mnist_run.process_started_at IS
    'start of that process: distinguishes it from a later one with the same pid';
COMMENT ON COLUMN @extschema@.mnist_run.processes IS 'processes that trained, including the trainer';
COMMENT ON COLUMN @extschema@.mnist_run.software IS 'versions, kernels and matrix product that the weights depend on';
COMMENT ON COLUMN @extschema@.mnist_run.cpu IS 'the processor that it ran on; NULL: unknown';
COMMENT ON COLUMN @extschema@.mnist_run.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_run.finished_at IS 'when it ended, however it ended';
COMMENT ON COLUMN @extschema@.mnist_run.error IS 'the message, if it failed or was cancelled';
COMMENT ON COLUMN @extschema@.mnist_run.sqlstate IS 'the SQLSTATE of that error';
COMMENT ON COLUMN @extschema@.mnist_run.training_started_at IS
    'when the data were loaded and training or the first trial began';

SELECT pg_extension_config_dump('@extschema@.mnist_run', '');
SELECT pg_extension_config_dump('@extschema@.mnist_run_id_seq', '');

CREATE TABLE IF NOT EXISTS @extschema@.mnist_trial (
    run_id               bigint NOT NULL REFERENCES @extschema@.mnist_run ON DELETE CASCADE,
    trial                int NOT NULL CHECK (trial > 0),
    status               text NOT NULL CHECK (status IN ('running', 'succeeded', 'pruned', 'failed', 'cancelled')),
    architecture         text NOT NULL,
    parameters           jsonb NOT NULL,
    value                real,
    validation_accuracy  real,
    validation_loss      real,
    feedback_accuracy    real,
    epochs               real,
    started_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at          timestamptz,
    error                text,
    sqlstate             text,
    taken_from           bigint,
    PRIMARY KEY (run_id, trial),
    CHECK (value IS NOT NULL OR status <> 'succeeded')
) WITH (fillfactor = 80);
COMMENT ON TABLE @extschema@.mnist_trial IS 'the trials of training runs that search or try several architectures';
COMMENT ON COLUMN @extschema@.mnist_trial.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_trial.trial IS 'the trial, from 1';
COMMENT ON COLUMN @extschema@.mnist_trial.status IS
    'running, succeeded, pruned (stopped because others did better at that point), failed (it diverged) or cancelled '
    '(with its run)';
COMMENT ON COLUMN @extschema@.mnist_trial.architecture IS 'the network''s name, or its description if it has none';
COMMENT ON COLUMN @extschema@.mnist_trial.parameters IS
    'the hyperparameters that were searched; all others are those of the run';
COMMENT ON COLUMN @extschema@.mnist_trial.value IS
    'the figure by which trials are compared, higher is better: the mean of validation_accuracy and feedback_accuracy, '
    'with feedback weighted as in training, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_trial.validation_accuracy IS 'accuracy on the validation images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_trial.validation_loss IS 'mean cross-entropy over the validation images';
COMMENT ON COLUMN @extschema@.mnist_trial.feedback_accuracy IS
    'accuracy on the fifth of the training feedback that the trial was not trained on, 0 .. 1; NULL if there is none';
COMMENT ON COLUMN @extschema@.mnist_trial.epochs IS 'epochs that it was trained; a pruned trial has fewer than planned';
COMMENT ON COLUMN @extschema@.mnist_trial.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_trial.finished_at IS 'when it ended, however it ended';
COMMENT ON COLUMN @extschema@.mnist_trial.error IS 'why, if it failed or was cancelled';
COMMENT ON COLUMN @extschema@.mnist_trial.sqlstate IS 'the SQLSTATE of that error';
COMMENT ON COLUMN @extschema@.mnist_trial.taken_from IS 'the run that made the trial, if this run continued that one';

CREATE OR REPLACE FUNCTION mnist_internal.trial_close() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.mnist_trial t
    SET status = 'cancelled', error = NEW.error, sqlstate = NEW.sqlstate, finished_at = clock_timestamp()
    WHERE t.run_id = NEW.id AND t.status = 'running';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.trial_close() IS 'trigger that ends the running trial with its run; internal';

CREATE OR REPLACE TRIGGER mnist_run_trial_close AFTER UPDATE OF status ON @extschema@.mnist_run
    FOR EACH ROW WHEN (OLD.status = 'running' AND NEW.status <> 'running')
    EXECUTE FUNCTION mnist_internal.trial_close();

SELECT pg_extension_config_dump('@extschema@.mnist_trial', '');

CREATE TABLE IF NOT EXISTS @extschema@.mnist_metric (
    run_id               bigint NOT NULL REFERENCES @extschema@.mnist_run ON DELETE CASCADE,
    trial                int NOT NULL DEFAULT 0,
    epoch                int NOT NULL,
    images               bigint,
    train_loss           real,
    train_accuracy       real,
    validation_loss      real,
    validation_accuracy  real,
    value                real,
    learning_rate        real,
    images_per_second    real,
    recorded_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, trial, epoch)
);
COMMENT ON TABLE @extschema@.mnist_metric IS 'the curves of a training run and its trials, one row an epoch';
COMMENT ON COLUMN @extschema@.mnist_metric.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_metric.trial IS 'the trial, from 1; 0: the model''s own training';
COMMENT ON COLUMN @extschema@.mnist_metric.epoch IS
    'the epoch, from 1; in a search, the part of the trial: a trial has at least four parts, and can be stopped after '
    'each';
COMMENT ON COLUMN @extschema@.mnist_metric.images IS 'images trained on so far, repeats included';
COMMENT ON COLUMN @extschema@.mnist_metric.train_loss IS
    'mean cross-entropy over the epoch''s (augmented) training images';
COMMENT ON COLUMN @extschema@.mnist_metric.train_accuracy IS
    'accuracy on the epoch''s (augmented) training images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_metric.validation_loss IS
    'mean cross-entropy over the validation images after the epoch';
COMMENT ON COLUMN @extschema@.mnist_metric.validation_accuracy IS
    'accuracy on the validation images after the epoch, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_metric.value IS
    'the figure by which trials are compared, as in mnist_trial; NULL: not a trial';
COMMENT ON COLUMN @extschema@.mnist_metric.learning_rate IS 'learning rate at the end of the epoch';
COMMENT ON COLUMN @extschema@.mnist_metric.images_per_second IS 'training images a second over the epoch';
COMMENT ON COLUMN @extschema@.mnist_metric.recorded_at IS 'when the epoch ended';

SELECT pg_extension_config_dump('@extschema@.mnist_metric', '');

---------------------------------------------------------------- the run under way

CREATE OR REPLACE FUNCTION mnist_internal.process_alive(pid int, started timestamptz) RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'mnist_hil_process_alive';
COMMENT ON FUNCTION mnist_internal.process_alive(int, timestamptz) IS
    'whether a server process with this pid exists that started at this time; internal, but open to readers of '
    'mnist_training_progress';

GRANT EXECUTE ON FUNCTION mnist_internal.process_alive TO PUBLIC;

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
    CASE WHEN r.phase = 'searching' THEN coalesce((r.search->>'trial_epochs')::int, r.epochs) ELSE r.epochs END
        AS epochs,
    r.progress,
    r.loss,
    r.images_per_second,
    r.processes,
    clock_timestamp() - r.started_at AS elapsed,
    CASE WHEN r.progress >= 0.02 AND r.phase IN ('training', 'searching')
        THEN greatest(interval '0', (r.updated_at - coalesce(r.training_started_at, r.started_at))
            * (1 / r.progress - 1) - (clock_timestamp() - r.updated_at))
    END AS time_left,
    r.requested_by,
    r.pid,
    r.started_at,
    r.updated_at
FROM @extschema@.mnist_run r
LEFT JOIN LATERAL (
    SELECT max(t.value) AS value FROM @extschema@.mnist_trial t WHERE t.run_id = r.id AND t.status = 'succeeded') b
        ON true
WHERE r.status = 'running' AND mnist_internal.process_alive(r.pid, r.process_started_at);
COMMENT ON VIEW @extschema@.mnist_training_progress IS 'the training run under way, one row; empty when there is none';
COMMENT ON COLUMN @extschema@.mnist_training_progress.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_training_progress.strategy IS 'fine_tune or from_scratch';
COMMENT ON COLUMN @extschema@.mnist_training_progress.architecture IS 'the network''s name or description';
COMMENT ON COLUMN @extschema@.mnist_training_progress.phase IS 'what it is doing';
COMMENT ON COLUMN @extschema@.mnist_training_progress.trial IS 'the trial under way, or NULL';
COMMENT ON COLUMN @extschema@.mnist_training_progress.trials IS 'trials planned; 0: none';
COMMENT ON COLUMN @extschema@.mnist_training_progress.best_value IS 'the best trial''s value so far';
COMMENT ON COLUMN @extschema@.mnist_training_progress.epoch IS 'epochs begun, of the trial if one is under way';
COMMENT ON COLUMN @extschema@.mnist_training_progress.epochs IS 'epochs planned, of the trial if one is under way';
COMMENT ON COLUMN @extschema@.mnist_training_progress.progress IS
    'fraction of the training done, including trials, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_training_progress.loss IS 'recent mean training loss';
COMMENT ON COLUMN @extschema@.mnist_training_progress.images_per_second IS 'recent training images a second';
COMMENT ON COLUMN @extschema@.mnist_training_progress.processes IS 'processes that train, including the trainer';
COMMENT ON COLUMN @extschema@.mnist_training_progress.elapsed IS 'time since it began';
COMMENT ON COLUMN @extschema@.mnist_training_progress.time_left IS
    'expected time until training ends, at its speed so far; NULL: loading, evaluating, or progress is below 0.02';
COMMENT ON COLUMN @extschema@.mnist_training_progress.requested_by IS 'the role that asked for it';
COMMENT ON COLUMN @extschema@.mnist_training_progress.pid IS 'process id of the trainer';
COMMENT ON COLUMN @extschema@.mnist_training_progress.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_training_progress.updated_at IS 'when the figures were written';

---------------------------------------------------------------- comparison and curves

CREATE OR REPLACE FUNCTION mnist_internal.sparkline(points real[]) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT string_agg(
        CASE WHEN getdatabaseencoding() = 'UTF8' THEN chr(9601 + l.level) ELSE substr('_.:-=+*#', l.level + 1, 1) END,
        '' ORDER BY l.place)
    FROM (
        SELECT v.place, CASE WHEN max(v.value) OVER () > min(v.value) OVER () THEN
            round((v.value - min(v.value) OVER ()) / (max(v.value) OVER () - min(v.value) OVER ()) * 7)::int ELSE 3 END
                AS level
        FROM unnest(points) WITH ORDINALITY v (value, place)
        WHERE v.value IS NOT NULL AND v.value <> 'NaN') l;
END;
COMMENT ON FUNCTION mnist_internal.sparkline(real[]) IS
    'numbers as a line of small bars, scaled from lowest to highest; internal, but open to readers of '
    'mnist_run_comparison and mnist_search_progress';

GRANT EXECUTE ON FUNCTION mnist_internal.sparkline TO PUBLIC;

CREATE OR REPLACE VIEW @extschema@.mnist_run_comparison AS
    SELECT r.id AS run_id,
        r.started_at,
        r.status,
        r.strategy,
        r.architecture,
        (r.parameters->>'epochs')::int AS epochs,
        (r.parameters->>'learning_rate')::real AS learning_rate,
        (r.parameters->>'batch_size')::int AS batch_size,
        substring(r.parameters->>'network' FROM 'dropout ([0-9.]+)')::real AS dropout,
        (r.parameters->>'weight_decay')::real AS weight_decay,
        (r.parameters->>'rotate')::real AS rotate,
        r.seed,
        r.train_images,
        r.feedback_train_images,
        t.trials,
        r.best_trial,
        r.finished_at - r.started_at AS duration,
        r.validation_accuracy,
        r.test_accuracy,
        r.feedback_accuracy,
        r.validation_accuracy - r.live_validation_accuracy AS validation_over_live,
        r.feedback_accuracy - r.live_feedback_accuracy AS feedback_over_live,
        q.id AS predecessor,
        r.validation_accuracy - q.validation_accuracy AS validation_change,
        r.test_accuracy - q.test_accuracy AS test_change,
        r.feedback_accuracy - q.feedback_accuracy AS feedback_change,
        c.changed,
        mnist_internal.sparkline(m.losses) AS loss_curve,
        mnist_internal.sparkline(m.accuracies) AS accuracy_curve,
        r.model_version,
        r.promoted,
        coalesce(r.verdict, r.error) AS outcome
    FROM @extschema@.mnist_run r
    LEFT JOIN LATERAL (
        SELECT p.*
        FROM @extschema@.mnist_run p
        WHERE p.id < r.id AND p.status = 'succeeded'
        ORDER BY p.id DESC
        LIMIT 1) q ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS trials FROM @extschema@.mnist_trial x WHERE x.run_id = r.id) t
    CROSS JOIN LATERAL (
        SELECT array_agg(y.validation_loss ORDER BY y.epoch) AS losses,
            array_agg(y.validation_accuracy ORDER BY y.epoch) AS accuracies
        FROM @extschema@.mnist_metric y WHERE y.run_id = r.id AND y.trial = 0) m
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(a.key, jsonb_build_array(q.parameters->a.key, a.value)) AS changed
        FROM jsonb_each(r.parameters) a
        WHERE q.id IS NOT NULL AND q.parameters ? a.key AND a.value <> q.parameters->a.key) c
    ORDER BY r.id;
COMMENT ON VIEW @extschema@.mnist_run_comparison IS
    'training runs side by side: parameters, results, and what changed since the last run that succeeded';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.status IS 'running, succeeded, failed or cancelled';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.strategy IS 'fine_tune or from_scratch';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.architecture IS 'the network''s name';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.epochs IS 'epochs of the model''s training';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.learning_rate IS 'the highest learning rate';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.batch_size IS 'images in a step';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.dropout IS
    'rate of the network''s first dropout layer; NULL if it has none';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.weight_decay IS 'weight decay';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.rotate IS
    'the largest rotation of training images, in degrees; other augmentation is in mnist_run.parameters';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.seed IS 'the seed of all randomness of the run';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.train_images IS 'images of the data sets trained on';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.feedback_train_images IS 'labelled predictions trained on';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.trials IS 'trials made or continued';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.best_trial IS
    'the trial whose architecture and hyperparameters the model has';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.duration IS 'time from start to end';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.validation_accuracy IS 'accuracy on the validation images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.test_accuracy IS 'accuracy on the test images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.feedback_accuracy IS 'accuracy on the held-out feedback, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.validation_over_live IS
    'validation accuracy minus the live model''s';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.feedback_over_live IS 'feedback accuracy minus the live model''s';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.predecessor IS 'the newest run before it that succeeded';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.validation_change IS 'validation accuracy minus the predecessor''s';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.test_change IS 'test accuracy minus the predecessor''s';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.feedback_change IS
    'feedback accuracy minus the predecessor''s, each on the held-out feedback of its time';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.changed IS
    'the hyperparameters that differ from the predecessor''s: for each its value there and here';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.loss_curve IS 'the validation loss by epoch, as small bars';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.accuracy_curve IS 'the validation accuracy by epoch, as small bars';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.model_version IS 'the model that it made';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.promoted IS 'whether that model went live';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.outcome IS 'the verdict, or the error';

CREATE OR REPLACE VIEW @extschema@.mnist_search_progress AS
    SELECT t.run_id,
        t.trial,
        t.status,
        t.architecture,
        t.parameters - 'architecture' AS parameters,
        t.value,
        b.best_so_far,
        t.status = 'succeeded' AND t.trial = first_value(t.trial) OVER (
            PARTITION BY t.run_id ORDER BY CASE WHEN t.status = 'succeeded' THEN t.value END DESC NULLS LAST, t.trial)
            AS best,
        mnist_internal.sparkline(m.points) AS curve,
        t.epochs,
        coalesce(t.finished_at, clock_timestamp()) - t.started_at AS duration,
        t.taken_from,
        t.error
    FROM @extschema@.mnist_trial t
    CROSS JOIN LATERAL (
        SELECT max(p.value) AS best_so_far
        FROM @extschema@.mnist_trial p WHERE p.run_id = t.run_id AND p.trial <= t.trial AND p.status = 'succeeded') b
    CROSS JOIN LATERAL (
        SELECT array_agg(y.value ORDER BY y.epoch) AS points
        FROM @extschema@.mnist_metric y WHERE y.run_id = t.run_id AND y.trial = t.trial) m
    ORDER BY t.run_id, t.trial;
COMMENT ON VIEW @extschema@.mnist_search_progress IS
    'the trials of each run, their results, and which is the best so far';
COMMENT ON COLUMN @extschema@.mnist_search_progress.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_search_progress.trial IS 'the trial, from 1';
COMMENT ON COLUMN @extschema@.mnist_search_progress.status IS 'running, succeeded, pruned, failed or cancelled';
COMMENT ON COLUMN @extschema@.mnist_search_progress.architecture IS 'the network''s name, or its description';
COMMENT ON COLUMN @extschema@.mnist_search_progress.parameters IS 'the hyperparameters that were searched';
COMMENT ON COLUMN @extschema@.mnist_search_progress.value IS
    'the figure by which trials are compared, higher is better; see mnist_trial';
COMMENT ON COLUMN @extschema@.mnist_search_progress.best_so_far IS 'the best value of the trials up to this one';
COMMENT ON COLUMN @extschema@.mnist_search_progress.best IS 'whether it is the best of all';
COMMENT ON COLUMN @extschema@.mnist_search_progress.curve IS 'its value by epoch or part, as small bars';
COMMENT ON COLUMN @extschema@.mnist_search_progress.epochs IS 'epochs that it was trained';
COMMENT ON COLUMN @extschema@.mnist_search_progress.duration IS 'time from start to end, or to now';
COMMENT ON COLUMN @extschema@.mnist_search_progress.taken_from IS
    'the run that made the trial, if this run continued that one';
COMMENT ON COLUMN @extschema@.mnist_search_progress.error IS 'why, if it failed or was cancelled';

CREATE OR REPLACE FUNCTION @extschema@.mnist_curve(run_id bigint, metric text DEFAULT 'loss', trial int DEFAULT 0,
    width int DEFAULT 60, height int DEFAULT 12) RETURNS SETOF text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    metrics CONSTANT text[] := ARRAY['loss', 'accuracy', 'train_loss', 'train_accuracy', 'validation_loss',
        'validation_accuracy', 'value', 'learning_rate', 'images_per_second'];
    both_sides boolean := metric IN ('loss', 'accuracy');
    low real;
    high real;
    epochs int;
    canvas text[];
    point record;
    line text;
BEGIN
    PERFORM mnist_internal.refuse_null('{run_id,metric,trial,width,height}', run_id IS NULL, metric IS NULL,
        trial IS NULL, width IS NULL, height IS NULL);
    IF metric <> ALL (metrics) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('there is no metric "%s"', metric),
            HINT = format('There are %s.', array_to_string(metrics, ', '));
    END IF;
    IF width NOT BETWEEN 2 AND 1000 OR height NOT BETWEEN 2 AND 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'width and height of mnist_curve must be from 2 to 1000';
    END IF;
    IF NOT EXISTS (SELECT FROM @extschema@.mnist_run r WHERE r.id = mnist_curve.run_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('there is no run %s', run_id),
            HINT = 'The runs are listed in table mnist_run.';
    END IF;

    FOR point IN
        -- training first, so that validation is drawn over it where both have the same place
        WITH numbers AS (
            SELECT m.epoch, s.side, (to_jsonb(m)->>(
                    CASE WHEN both_sides THEN s.side || '_' || metric ELSE metric END))::real
                AS value
            FROM @extschema@.mnist_metric m,
                unnest(CASE WHEN both_sides THEN ARRAY['train', 'validation'] ELSE ARRAY['*'] END)
                WITH ORDINALITY s (side, place)
            WHERE m.run_id = mnist_curve.run_id AND m.trial = mnist_curve.trial)
        SELECT n.epoch, left(n.side, 1) AS mark, n.value, min(n.value) OVER () AS low, max(n.value) OVER () AS high,
            max(n.epoch) OVER () AS epochs
        FROM numbers n
        WHERE n.value IS NOT NULL AND n.value <> 'NaN' AND abs(n.value) < 'Infinity'
        ORDER BY n.side, n.epoch
    LOOP
        IF canvas IS NULL THEN
            low := point.low;
            high := point.high;
            epochs := point.epochs;
            canvas := array_fill(repeat(' ', width), ARRAY[height]);
        END IF;
        DECLARE
            x int := CASE WHEN epochs > 1 THEN round((point.epoch - 1)::numeric * (width - 1) / (epochs - 1))
                ELSE 0 END;
            y int := CASE WHEN high > low
                THEN height - round(((point.value - low) / (high - low))::numeric * (height - 1)) ELSE height END;
        BEGIN
            canvas[y] := overlay(canvas[y] PLACING point.mark FROM x + 1 FOR 1);
        END;
    END LOOP;

    IF canvas IS NULL THEN
        RETURN NEXT format('%s of run %s: nothing on record yet', metric, run_id);
        RETURN;
    END IF;
    RETURN NEXT format('%s of run %s%s%s', metric, run_id, CASE WHEN trial > 0 THEN format(', trial %s', trial) END,
        CASE WHEN both_sides THEN ' (t: training, v: validation)' END);
    FOR i IN 1 .. height LOOP
        line := CASE i WHEN 1 THEN high::text WHEN height THEN low::text ELSE '' END;
        RETURN NEXT lpad(line, 12) || ' |' || rtrim(canvas[i]);
    END LOOP;
    RETURN NEXT repeat(' ', 13) || '+' || repeat('-', width);
    RETURN NEXT repeat(' ', 14) || rpad('1', width - length(epochs::text)) || epochs;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_curve(bigint, text, int, int, int) IS
    'a curve of a run as text, one row a line: loss, accuracy, or a column of mnist_metric, by epoch; trial 0 is the '
    'training of the model itself';
