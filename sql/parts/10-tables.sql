/*
 * Tables.
 *
 * Rows of mnist_model, mnist_deployment and mnist_feedback are facts: they are added, never changed.  Triggers say
 * so to everybody, superusers included.  Two exceptions: a model's weights may be set to NULL, which frees their
 * space, and the owner may DELETE feedback, because a person's data must be erasable (88-erase.sql).  TRUNCATE is refused, so that no TRUNCATE ... CASCADE loses corrections.
 *
 * Everything is dumped by pg_dump (80-dump.sql), but for mnist_label and mnist_internal.tally, which follow from
 * mnist_feedback.  pg_dump restores extension tables with their foreign keys in place and orders them by these; a table
 * that refers to itself, or two that refer to each other, would make it warn.  Hence a few references without a foreign
 * key; their targets are in tables whose rows are never deleted.
 * pg_restore --jobs does not heed the order; --section=pre-data --section=data without it, then --section=post-data
 * with it, does.
 */

---------------------------------------------------------------- training runs

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
    -- the figures the gate saw; live_: the live model on the same images
    validation_accuracy       real,
    live_validation_accuracy  real,
    feedback_accuracy         real,
    live_feedback_accuracy    real,
    test_accuracy             real,
    live_test_accuracy        real,
    -- the judgement
    gate                      jsonb,
    decision                  text CHECK (decision IN ('promoted', 'rejected', 'awaiting approval', 'approved',
                                  'not promoted', 'promotion pending')),
    reproduces                bigint CHECK (reproduces < id),         -- of this table
    -- its trials
    search                    jsonb,
    resumes                   bigint CHECK (resumes < id),            -- of this table
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
    retry_of                  bigint CHECK (retry_of < id),         -- of this table
    requested_by              name NOT NULL,
    pid                       int NOT NULL,
    process_started_at        timestamptz NOT NULL,
    processes                 int,
    software                  text,
    cpu                       text,
    started_at                timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at               timestamptz,
    error                     text,
    sqlstate                  text
) WITH (fillfactor = 50);
ALTER SEQUENCE @extschema@.mnist_run_id_seq OWNED BY @extschema@.mnist_run.id;
CREATE UNIQUE INDEX IF NOT EXISTS mnist_run_one_running ON @extschema@.mnist_run ((true)) WHERE status = 'running';
CREATE INDEX IF NOT EXISTS mnist_run_pending ON @extschema@.mnist_run (id) WHERE decision = 'promotion pending';

COMMENT ON TABLE @extschema@.mnist_run IS 'training runs, recorded whatever became of them; at most one is running';
COMMENT ON COLUMN @extschema@.mnist_run.id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_run.status IS 'running, succeeded (a model was made, promoted or not), failed or cancelled';
COMMENT ON COLUMN @extschema@.mnist_run.strategy IS 'fine_tune (from the parent''s weights) or from_scratch';
COMMENT ON COLUMN @extschema@.mnist_run.architecture IS 'the network''s name; while several are tried, all of them';
COMMENT ON COLUMN @extschema@.mnist_run.seed IS 'what all randomness of the run follows from';
COMMENT ON COLUMN @extschema@.mnist_run.parameters IS 'every hyperparameter, as used; before a search has ended, as it began';
COMMENT ON COLUMN @extschema@.mnist_run.parent_version IS 'the model live when the run began; where a fine-tuning starts';
COMMENT ON COLUMN @extschema@.mnist_run.model_version IS 'the model it made';
COMMENT ON COLUMN @extschema@.mnist_run.promoted IS 'whether that model went live';
COMMENT ON COLUMN @extschema@.mnist_run.verdict IS 'why it went live, or not';
COMMENT ON COLUMN @extschema@.mnist_run.datasets IS 'names of the data sets trained on; those dropped since stay listed';
COMMENT ON COLUMN @extschema@.mnist_run.data IS
    'the exact data: each data set''s splits by number and hash, the feedback by number and hash, and the rules';
COMMENT ON COLUMN @extschema@.mnist_run.data_sha256 IS 'SHA-256 over all images and labels used, with their weights';
COMMENT ON COLUMN @extschema@.mnist_run.train_images IS 'images of the data sets trained on, duplicates left out';
COMMENT ON COLUMN @extschema@.mnist_run.validation_images IS 'images of the data sets that the gate judged by';
COMMENT ON COLUMN @extschema@.mnist_run.test_images IS 'images of the data sets that are only reported';
COMMENT ON COLUMN @extschema@.mnist_run.feedback_train_images IS 'labelled readings trained on';
COMMENT ON COLUMN @extschema@.mnist_run.feedback_held_out_images IS 'labelled readings held out, that the gate judged by';
COMMENT ON COLUMN @extschema@.mnist_run.validation_accuracy IS 'the candidate''s share right of the validation images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run.live_validation_accuracy IS 'the live model''s share right of the same images';
COMMENT ON COLUMN @extschema@.mnist_run.feedback_accuracy IS 'the candidate''s share right of the held-out feedback, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run.live_feedback_accuracy IS 'the live model''s share right of the same images';
COMMENT ON COLUMN @extschema@.mnist_run.test_accuracy IS 'the candidate''s share right of the test images, 0 .. 1; only reported';
COMMENT ON COLUMN @extschema@.mnist_run.live_test_accuracy IS 'the live model''s share right of the same images';
COMMENT ON COLUMN @extschema@.mnist_run.gate IS 'every figure of the judgement; mnist_gate shows it in columns';
COMMENT ON COLUMN @extschema@.mnist_run.decision IS
    'promoted, rejected, awaiting approval, approved (went live later), not promoted (nobody wanted it live), or promotion pending (it passed; mnist_check makes it live once no lock is in the way)';
COMMENT ON COLUMN @extschema@.mnist_run.reproduces IS 'the run that this one repeats, by mnist_reproduce';
COMMENT ON COLUMN @extschema@.mnist_run.search IS
    'what its trials search and the hyperparameters that they began from; NULL if it has no trials';
COMMENT ON COLUMN @extschema@.mnist_run.resumes IS 'the run whose trials it took over';
COMMENT ON COLUMN @extschema@.mnist_run.trial IS 'the trial under way';
COMMENT ON COLUMN @extschema@.mnist_run.best_trial IS 'the trial whose architecture and hyperparameters the model has';
COMMENT ON COLUMN @extschema@.mnist_run.phase IS 'what it is doing, or was doing last';
COMMENT ON COLUMN @extschema@.mnist_run.epoch IS 'epochs begun';
COMMENT ON COLUMN @extschema@.mnist_run.epochs IS 'epochs planned';
COMMENT ON COLUMN @extschema@.mnist_run.progress IS 'share of the training steps done, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run.loss IS 'mean training loss of late';
COMMENT ON COLUMN @extschema@.mnist_run.images_per_second IS 'training images a second of late';
COMMENT ON COLUMN @extschema@.mnist_run.updated_at IS 'when the figures above were written';
COMMENT ON COLUMN @extschema@.mnist_run.trigger IS 'what began it: by hand (mnist_retrain), or check (mnist_check)';
COMMENT ON COLUMN @extschema@.mnist_run.reasons IS 'why mnist_check began it';
COMMENT ON COLUMN @extschema@.mnist_run.attempt IS 'which try it is, from 1: mnist_check repeats a run that failed';
COMMENT ON COLUMN @extschema@.mnist_run.retry_of IS 'the run that failed before and is repeated';
COMMENT ON COLUMN @extschema@.mnist_run.requested_by IS 'the role that asked for it';
COMMENT ON COLUMN @extschema@.mnist_run.pid IS 'process id of the trainer';
COMMENT ON COLUMN @extschema@.mnist_run.process_started_at IS 'start of that process: tells it from a later one of the same pid';
COMMENT ON COLUMN @extschema@.mnist_run.processes IS 'processes that trained, the trainer included';
COMMENT ON COLUMN @extschema@.mnist_run.software IS 'versions, kernels and matrix product that the weights depend on';
COMMENT ON COLUMN @extschema@.mnist_run.cpu IS 'the processor that it ran on; NULL where the system does not say';
COMMENT ON COLUMN @extschema@.mnist_run.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_run.finished_at IS 'when it ended, however it ended';
COMMENT ON COLUMN @extschema@.mnist_run.error IS 'the message, if it failed or was cancelled';
COMMENT ON COLUMN @extschema@.mnist_run.sqlstate IS 'the SQLSTATE that goes with it';

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
COMMENT ON TABLE @extschema@.mnist_trial IS 'the trials of training runs: of a search, or of several architectures';
COMMENT ON COLUMN @extschema@.mnist_trial.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_trial.trial IS 'the trial, from 1';
COMMENT ON COLUMN @extschema@.mnist_trial.status IS
    'running, succeeded, pruned (given up, being worse than others at that point), failed (it diverged) or cancelled (with its run)';
COMMENT ON COLUMN @extschema@.mnist_trial.architecture IS 'the network''s name, or its description if it has none';
COMMENT ON COLUMN @extschema@.mnist_trial.parameters IS 'the hyperparameters that were searched; all others are those of the run';
COMMENT ON COLUMN @extschema@.mnist_trial.value IS
    'what trials are compared by, the more the better: the share right of what it was judged by, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_trial.validation_accuracy IS 'share right of the validation images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_trial.validation_loss IS 'mean cross-entropy over the validation images';
COMMENT ON COLUMN @extschema@.mnist_trial.feedback_accuracy IS
    'share right of the feedback that it was not trained on, one in five of that to train on; NULL if there is none';
COMMENT ON COLUMN @extschema@.mnist_trial.epochs IS 'epochs that it was trained; of a pruned one fewer than planned';
COMMENT ON COLUMN @extschema@.mnist_trial.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_trial.finished_at IS 'when it ended, however it ended';
COMMENT ON COLUMN @extschema@.mnist_trial.error IS 'why, if it failed or was cancelled';
COMMENT ON COLUMN @extschema@.mnist_trial.sqlstate IS 'the SQLSTATE that goes with it';
COMMENT ON COLUMN @extschema@.mnist_trial.taken_from IS 'the run that made it, if this one took it over';

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
COMMENT ON FUNCTION mnist_internal.trial_close() IS 'trigger that ends the trial under way with its run; internal';

CREATE OR REPLACE TRIGGER mnist_run_trial_close AFTER UPDATE OF status ON @extschema@.mnist_run
    FOR EACH ROW WHEN (OLD.status = 'running' AND NEW.status <> 'running')
    EXECUTE FUNCTION mnist_internal.trial_close();

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
COMMENT ON TABLE @extschema@.mnist_metric IS 'the curves of a training run and its trials, a row an epoch';
COMMENT ON COLUMN @extschema@.mnist_metric.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_metric.trial IS 'the trial, from 1; 0: the model''s own training';
COMMENT ON COLUMN @extschema@.mnist_metric.epoch IS
    'the epoch, from 1; of a search''s trial the part, of which there are at least four: it may be given up after each';
COMMENT ON COLUMN @extschema@.mnist_metric.images IS 'images trained on so far, repeats included';
COMMENT ON COLUMN @extschema@.mnist_metric.train_loss IS 'mean cross-entropy over the epoch''s (augmented) training images';
COMMENT ON COLUMN @extschema@.mnist_metric.train_accuracy IS 'share right of the epoch''s (augmented) training images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_metric.validation_loss IS 'mean cross-entropy over the validation images after the epoch';
COMMENT ON COLUMN @extschema@.mnist_metric.validation_accuracy IS 'share right of the validation images after the epoch, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_metric.value IS 'what trials are compared by, as in mnist_trial; NULL if it is no trial''s';
COMMENT ON COLUMN @extschema@.mnist_metric.learning_rate IS 'learning rate at the end of the epoch';
COMMENT ON COLUMN @extschema@.mnist_metric.images_per_second IS 'training images a second over the epoch';
COMMENT ON COLUMN @extschema@.mnist_metric.recorded_at IS 'when the epoch ended';

---------------------------------------------------------------- models

-- Versions are numbered by a sequence, so that nobody who adds a model waits for another who does.
CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_model_version_seq AS int;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_model (
    version              int PRIMARY KEY CHECK (version > 0),
    parent_version       int CHECK (parent_version < version),      -- of this table
    architecture         text NOT NULL,
    network              text NOT NULL,
    parameters           int NOT NULL CHECK (parameters > 0),
    weights              bytea,
    weights_sha256       bytea NOT NULL CHECK (octet_length(weights_sha256) = 32),
    run_id               bigint REFERENCES @extschema@.mnist_run,
    validation_accuracy  real,
    test_accuracy        real,
    created_at           timestamptz NOT NULL DEFAULT now(),
    created_by           name NOT NULL DEFAULT session_user,
    CHECK (weights IS NULL OR weights_sha256 = sha256(weights))
);
ALTER TABLE @extschema@.mnist_model ALTER COLUMN weights SET STORAGE EXTERNAL;
ALTER SEQUENCE @extschema@.mnist_model_version_seq OWNED BY @extschema@.mnist_model.version;

COMMENT ON TABLE @extschema@.mnist_model IS 'every model there ever was; rows never change, but weights may be set to NULL';
COMMENT ON COLUMN @extschema@.mnist_model.version IS 'the model: 1 is the bundled one, later ones count on';
COMMENT ON COLUMN @extschema@.mnist_model.parent_version IS 'the model that training started from; NULL if from scratch';
COMMENT ON COLUMN @extschema@.mnist_model.architecture IS 'the architecture''s name';
COMMENT ON COLUMN @extschema@.mnist_model.network IS 'the layers, as text';
COMMENT ON COLUMN @extschema@.mnist_model.parameters IS 'how many numbers were trained';
COMMENT ON COLUMN @extschema@.mnist_model.weights IS 'network and weights as one self-describing value; NULL: pruned';
COMMENT ON COLUMN @extschema@.mnist_model.weights_sha256 IS 'SHA-256 of weights, kept when they are pruned';
COMMENT ON COLUMN @extschema@.mnist_model.run_id IS 'the run that made it; NULL if it came from elsewhere';
COMMENT ON COLUMN @extschema@.mnist_model.validation_accuracy IS 'share right of the validation images when it was made, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_model.test_accuracy IS 'share right of the test images when it was made, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_model.created_at IS 'when it was added';
COMMENT ON COLUMN @extschema@.mnist_model.created_by IS 'the role that asked for it';

CREATE OR REPLACE FUNCTION mnist_internal.model_keep() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    OLD.weights := NULL;
    IF pg_trigger_depth() > 1 THEN
        IF mnist_internal.untouched() THEN          -- a restore replaces the bundled model (80-dump.sql)
            RETURN NEW;
        END IF;
    END IF;
    IF NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = format('model version %s cannot be changed', OLD.version),
            DETAIL = 'The row of a model is a fact; only its weights may be set to NULL, to free their space.',
            HINT = 'A changed model is a new version.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION mnist_internal.model_keep() IS 'trigger that lets only weights be set to NULL; internal';

CREATE OR REPLACE TRIGGER mnist_model_keep BEFORE UPDATE ON @extschema@.mnist_model
    FOR EACH ROW EXECUTE FUNCTION mnist_internal.model_keep();
CREATE OR REPLACE TRIGGER mnist_model_refuse BEFORE DELETE OR TRUNCATE ON @extschema@.mnist_model
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.refuse('To free the space of a model, set its weights to NULL.');

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_deployment_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_deployment (
    id           bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_deployment_id_seq'),
    version      int NOT NULL REFERENCES @extschema@.mnist_model,
    action       text NOT NULL CHECK (action IN ('install', 'activate', 'promote', 'rollback')),
    rollback_to  bigint CHECK (rollback_to < id),                   -- of this table
    run_id       bigint REFERENCES @extschema@.mnist_run,
    reason       text,
    deployed_by  name NOT NULL DEFAULT session_user,
    deployed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER SEQUENCE @extschema@.mnist_deployment_id_seq OWNED BY @extschema@.mnist_deployment.id;

-- Two switches cannot both follow the same deployment: what a writer with a stale snapshot would record.
CREATE UNIQUE INDEX IF NOT EXISTS mnist_deployment_chain ON @extschema@.mnist_deployment (rollback_to) WHERE action IN ('activate', 'promote');

COMMENT ON TABLE @extschema@.mnist_deployment IS 'what was live when, who switched and why; the newest row (highest id) is live';
COMMENT ON COLUMN @extschema@.mnist_deployment.id IS 'the switch; ids follow the order of commits';
COMMENT ON COLUMN @extschema@.mnist_deployment.version IS 'the model that went live';
COMMENT ON COLUMN @extschema@.mnist_deployment.action IS
    'install (by CREATE EXTENSION), activate (by hand), promote (by a run, or by a challenge) or rollback';
COMMENT ON COLUMN @extschema@.mnist_deployment.rollback_to IS
    'the row that mnist_rollback goes back to while this one is live; NULL: there is none';
COMMENT ON COLUMN @extschema@.mnist_deployment.run_id IS 'the run that promoted it';
COMMENT ON COLUMN @extschema@.mnist_deployment.reason IS 'why, in the words of who switched, or the run''s verdict';
COMMENT ON COLUMN @extschema@.mnist_deployment.deployed_by IS 'the role that switched, or asked for the run';
COMMENT ON COLUMN @extschema@.mnist_deployment.deployed_at IS 'when the switch was made; it takes effect at commit';

CREATE OR REPLACE TRIGGER mnist_deployment_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.mnist_deployment
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.refuse('To switch models, use mnist_activate or mnist_rollback.');

---------------------------------------------------------------- readings and what people said of them

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_prediction_id_seq CACHE 1;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_prediction (
    id             bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_prediction_id_seq'),
    created_at     timestamptz NOT NULL DEFAULT now(),
    image          bytea NOT NULL,
    label          smallint NOT NULL CHECK (label BETWEEN 0 AND 9),
    confidence     real NOT NULL,
    probabilities  real[] NOT NULL,
    model_version  int NOT NULL,
    features       real[],
    pixels_hash    bigint,
    challenge_id   bigint                                           -- of mnist_challenger
);
ALTER TABLE @extschema@.mnist_prediction ALTER COLUMN image SET STORAGE EXTERNAL;
-- No image is to be found among the planner's samples, in pg_stats.
ALTER TABLE @extschema@.mnist_prediction ALTER COLUMN image SET STATISTICS 0;
ALTER SEQUENCE @extschema@.mnist_prediction_id_seq OWNED BY @extschema@.mnist_prediction.id;

COMMENT ON TABLE @extschema@.mnist_prediction IS 'every reading that mnist_predict stored';
COMMENT ON COLUMN @extschema@.mnist_prediction.id IS 'the reading; what mnist_correct is given';
COMMENT ON COLUMN @extschema@.mnist_prediction.created_at IS 'when its transaction began';
COMMENT ON COLUMN @extschema@.mnist_prediction.image IS 'the image, as it came in';
COMMENT ON COLUMN @extschema@.mnist_prediction.label IS 'the digit read';
COMMENT ON COLUMN @extschema@.mnist_prediction.confidence IS 'the probability of that digit, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_prediction.probabilities IS 'the probabilities of the digits 0 .. 9; they sum to 1';
COMMENT ON COLUMN @extschema@.mnist_prediction.model_version IS 'the model that read it';
COMMENT ON COLUMN @extschema@.mnist_prediction.features IS 'what was measured of it, in the order of mnist_feature.place';
COMMENT ON COLUMN @extschema@.mnist_prediction.pixels_hash IS
    'a hash of the image in MNIST''s form, by which to find the same image again; not cryptographic';
COMMENT ON COLUMN @extschema@.mnist_prediction.challenge_id IS 'the challenge that was under way, or NULL';

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_feedback_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_feedback (
    id               bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_feedback_id_seq'),
    prediction_id    bigint NOT NULL REFERENCES @extschema@.mnist_prediction,
    label            smallint NOT NULL CHECK (label BETWEEN 0 AND 9),
    predicted_label  smallint NOT NULL,
    model_version    int NOT NULL,
    annotator        name NOT NULL,
    challenge_id     bigint,
    challenger_label smallint,
    pixels_sha256    bytea NOT NULL CHECK (octet_length(pixels_sha256) = 32),
    held_out         boolean NOT NULL GENERATED ALWAYS AS (get_byte(pixels_sha256, 0) % 5 = 0) STORED,
    created_at       timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE @extschema@.mnist_feedback_id_seq OWNED BY @extschema@.mnist_feedback.id;
CREATE INDEX IF NOT EXISTS mnist_feedback_newest ON @extschema@.mnist_feedback (prediction_id, annotator, id DESC);

COMMENT ON TABLE @extschema@.mnist_feedback IS
    'what people said of readings; rows never change: of an annotator''s rows on a reading the newest counts';
COMMENT ON COLUMN @extschema@.mnist_feedback.id IS 'the feedback';
COMMENT ON COLUMN @extschema@.mnist_feedback.prediction_id IS 'the reading';
COMMENT ON COLUMN @extschema@.mnist_feedback.label IS 'the digit that it shows, says the annotator';
COMMENT ON COLUMN @extschema@.mnist_feedback.predicted_label IS 'the digit that was read';
COMMENT ON COLUMN @extschema@.mnist_feedback.model_version IS 'the model that read it';
COMMENT ON COLUMN @extschema@.mnist_feedback.challenge_id IS 'the challenge that was under way when it was read, or NULL';
COMMENT ON COLUMN @extschema@.mnist_feedback.challenger_label IS 'the digit that the challenger read in the shadow, or NULL';
COMMENT ON COLUMN @extschema@.mnist_feedback.annotator IS 'the role that said so';
COMMENT ON COLUMN @extschema@.mnist_feedback.pixels_sha256 IS 'SHA-256 of the image brought to MNIST''s form';
COMMENT ON COLUMN @extschema@.mnist_feedback.held_out IS 'never trained on, only judged by; follows from the pixels, one in five';
COMMENT ON COLUMN @extschema@.mnist_feedback.created_at IS 'when its transaction began';

CREATE OR REPLACE TRIGGER mnist_feedback_refuse BEFORE UPDATE OR TRUNCATE ON @extschema@.mnist_feedback
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.refuse(
        'To change your mind, call mnist_correct again; to erase a person''s data, use mnist_erase.');

/*
 * Which feedback a run had before it, and how it counted: view mnist_run_feedback (45-snapshot.sql) reads it from these
 * four tables.  They grow with what is new in a run, not with all the feedback that it uses.  None of them refers to
 * mnist_feedback by a foreign key, whose checks would lock, and so write, every row of feedback.
 */
CREATE TABLE IF NOT EXISTS mnist_internal.snapshot (
    id      bigint PRIMARY KEY,
    newest  bigint NOT NULL,
    added   int8multirange NOT NULL CHECK (NOT lower_inf(added) AND NOT upper_inf(added))
);
COMMENT ON TABLE mnist_internal.snapshot IS
    'the feedback there was when runs began: a snapshot has what it added and what all earlier ones added; internal';
COMMENT ON COLUMN mnist_internal.snapshot.id IS 'the snapshot: the id of the run that took it';
COMMENT ON COLUMN mnist_internal.snapshot.newest IS 'the highest id of feedback in it';
COMMENT ON COLUMN mnist_internal.snapshot.added IS 'ids of the feedback that no earlier snapshot has';

CREATE TABLE IF NOT EXISTS mnist_internal.run_snapshot (
    run_id       bigint PRIMARY KEY REFERENCES @extschema@.mnist_run ON DELETE CASCADE,
    snapshot_id  bigint NOT NULL REFERENCES mnist_internal.snapshot
);
COMMENT ON TABLE mnist_internal.run_snapshot IS 'the snapshot that a run used; internal';
COMMENT ON COLUMN mnist_internal.run_snapshot.run_id IS 'the run';
COMMENT ON COLUMN mnist_internal.run_snapshot.snapshot_id IS 'its own snapshot, or that of the run which it reproduces';

CREATE TABLE IF NOT EXISTS mnist_internal.snapshot_exception (
    feedback_id     bigint NOT NULL,
    first_snapshot  bigint NOT NULL,
    next_snapshot   bigint CHECK (next_snapshot > first_snapshot),
    label           smallint CHECK (label BETWEEN 0 AND 9),
    weight          real NOT NULL CHECK (weight >= 0 AND weight < 1),
    reason          text NOT NULL CHECK (reason IN ('superseded', 'tie', 'outvoted', 'share', 'replaced')),
    PRIMARY KEY (feedback_id, first_snapshot)
);
CREATE INDEX IF NOT EXISTS snapshot_exception_open ON mnist_internal.snapshot_exception (feedback_id)
    WHERE next_snapshot IS NULL;
COMMENT ON TABLE mnist_internal.snapshot_exception IS
    'the feedback of snapshots that did not count in full, and in which snapshots; all other feedback counted in full, as what its annotator said; internal';
COMMENT ON COLUMN mnist_internal.snapshot_exception.feedback_id IS 'the feedback';
COMMENT ON COLUMN mnist_internal.snapshot_exception.first_snapshot IS 'the first snapshot in which this holds';
COMMENT ON COLUMN mnist_internal.snapshot_exception.next_snapshot IS
    'the first snapshot in which it does not hold any more; NULL: it holds until further notice';
COMMENT ON COLUMN mnist_internal.snapshot_exception.label IS 'the digit that the drawing counted as; NULL in a tie';
COMMENT ON COLUMN mnist_internal.snapshot_exception.weight IS 'how much the label counted';
COMMENT ON COLUMN mnist_internal.snapshot_exception.reason IS
    'as in mnist_run_feedback; or replaced: its annotator had said something else of the reading since, so that the snapshot does not have it at all';

CREATE TABLE IF NOT EXISTS mnist_internal.run_excluded (
    run_id       bigint NOT NULL REFERENCES @extschema@.mnist_run ON DELETE CASCADE,
    feedback_id  bigint NOT NULL,
    doubted_as   smallint NOT NULL CHECK (doubted_as BETWEEN 0 AND 9),
    doubt        real NOT NULL CHECK (doubt BETWEEN 0 AND 1),
    label_probability real CHECK (label_probability BETWEEN 0 AND 1),
    reference_share   real CHECK (reference_share BETWEEN 0 AND 1),
    annotator_share   real CHECK (annotator_share BETWEEN 0 AND 1),
    PRIMARY KEY (run_id, feedback_id)
);
CREATE INDEX IF NOT EXISTS run_excluded_by_feedback ON mnist_internal.run_excluded (feedback_id);
COMMENT ON TABLE mnist_internal.run_excluded IS 'the labels that a run''s label-noise filter excluded; internal';
COMMENT ON COLUMN mnist_internal.run_excluded.run_id IS 'the run';
COMMENT ON COLUMN mnist_internal.run_excluded.feedback_id IS 'the feedback';
COMMENT ON COLUMN mnist_internal.run_excluded.doubted_as IS
    'the digit that it shows instead, by a model that had not seen the label';
COMMENT ON COLUMN mnist_internal.run_excluded.doubt IS 'the probability that this model gave that digit, 0 .. 1';
COMMENT ON COLUMN mnist_internal.run_excluded.label_probability IS 'the probability that it gave the label, 0 .. 1';
COMMENT ON COLUMN mnist_internal.run_excluded.reference_share IS
    'the share of base images showing the digit doubted_as that are given the label with as much probability, 0 .. 1';
COMMENT ON COLUMN mnist_internal.run_excluded.annotator_share IS
    'the share of the annotator''s corrections in this run of which the filter thinks the same, 0 .. 1';

CREATE TABLE IF NOT EXISTS mnist_internal.run_feedback_row (
    run_id       bigint NOT NULL,
    feedback_id  bigint NOT NULL,
    label        smallint,
    weight       real NOT NULL,
    reason       text,
    doubted_as   smallint,
    doubt        real,
    PRIMARY KEY (run_id, feedback_id)
);
COMMENT ON TABLE mnist_internal.run_feedback_row IS
    'what 0.1.0 had in mnist_run_feedback, while it is brought into its present form; empty but in an upgrade, or while a dump of 0.1.0 is restored; internal';
COMMENT ON COLUMN mnist_internal.run_feedback_row.run_id IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_feedback_row.feedback_id IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_feedback_row.label IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_feedback_row.weight IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_feedback_row.reason IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_feedback_row.doubted_as IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_feedback_row.doubt IS 'as in mnist_run_feedback';

CREATE TABLE IF NOT EXISTS @extschema@.mnist_label (
    prediction_id    bigint PRIMARY KEY,
    label            smallint CHECK (label BETWEEN 0 AND 9),
    predicted_label  smallint NOT NULL,
    model_version    int NOT NULL,
    challenge_id     bigint,
    challenger_label smallint,
    votes            int NOT NULL CHECK (votes > 0),
    annotators       int NOT NULL CHECK (annotators >= votes),
    new              boolean NOT NULL,
    pixels_sha256    bytea NOT NULL,
    held_out         boolean NOT NULL,
    feedback_ids     bigint[] NOT NULL,
    predicted_at     timestamptz,
    confidence       real
) WITH (fillfactor = 80);

-- The labels that no run has used: what a run marks as used, and the newest of which tell the accuracy.
CREATE INDEX IF NOT EXISTS mnist_label_new ON @extschema@.mnist_label (prediction_id) WHERE new;
CREATE INDEX IF NOT EXISTS mnist_label_shared ON @extschema@.mnist_label (prediction_id) WHERE annotators > 1;
-- What mnist_label_conflict finds drawings by that are not labelled alike.
CREATE INDEX IF NOT EXISTS mnist_label_by_pixels ON @extschema@.mnist_label (pixels_sha256) INCLUDE (label, votes, annotators);

COMMENT ON TABLE @extschema@.mnist_label IS
    'the labelled readings: what mnist_feedback comes to, one row a reading, kept up to date by triggers';
COMMENT ON COLUMN @extschema@.mnist_label.prediction_id IS 'the reading';
COMMENT ON COLUMN @extschema@.mnist_label.label IS
    'the digit that most annotators say it shows, each by their newest word; NULL in a tie';
COMMENT ON COLUMN @extschema@.mnist_label.predicted_label IS 'the digit that was read';
COMMENT ON COLUMN @extschema@.mnist_label.model_version IS 'the model that read it';
COMMENT ON COLUMN @extschema@.mnist_label.challenge_id IS 'the challenge that was under way when it was read, or NULL';
COMMENT ON COLUMN @extschema@.mnist_label.challenger_label IS 'the digit that the challenger read in the shadow, or NULL';
COMMENT ON COLUMN @extschema@.mnist_label.votes IS 'annotators for the label; in a tie, for each of the labels in front';
COMMENT ON COLUMN @extschema@.mnist_label.annotators IS 'annotators in all';
COMMENT ON COLUMN @extschema@.mnist_label.new IS 'whether it rests on feedback that no completed run has used';
COMMENT ON COLUMN @extschema@.mnist_label.pixels_sha256 IS 'SHA-256 of the image brought to MNIST''s form';
COMMENT ON COLUMN @extschema@.mnist_label.held_out IS 'never trained on, only judged by';
COMMENT ON COLUMN @extschema@.mnist_label.feedback_ids IS 'the rows of mnist_feedback it rests on, each annotator''s newest';
COMMENT ON COLUMN @extschema@.mnist_label.predicted_at IS 'when it was read';
COMMENT ON COLUMN @extschema@.mnist_label.confidence IS 'the probability that the model gave the digit read, 0 .. 1';

/*
 * Counts that cost the same however much there is to count (32-tally.sql).  A counter row for everybody would make
 * annotators wait for each other, so each statement adds a row with what it changed, and the counts are the sums.
 */
CREATE TABLE IF NOT EXISTS mnist_internal.tally (
    label            smallint,
    predicted_label  smallint,
    new              boolean,
    labels           bigint NOT NULL DEFAULT 0,
    feedback         bigint NOT NULL DEFAULT 0
);
-- Instalments may be equal, so that there is no key; without this a publication of all tables would refuse to DELETE.
ALTER TABLE mnist_internal.tally REPLICA IDENTITY FULL;
COMMENT ON TABLE mnist_internal.tally IS
    'numbers of labels and of feedback, in instalments that are to be summed up; follows from mnist_label and mnist_feedback by triggers; internal';
COMMENT ON COLUMN mnist_internal.tally.label IS 'as in mnist_label; ties are not counted';
COMMENT ON COLUMN mnist_internal.tally.predicted_label IS 'as in mnist_label';
COMMENT ON COLUMN mnist_internal.tally.new IS 'as in mnist_label';
COMMENT ON COLUMN mnist_internal.tally.labels IS 'how many rows of this kind mnist_label has more by this instalment';
COMMENT ON COLUMN mnist_internal.tally.feedback IS 'how many rows mnist_feedback has more by this instalment';

---------------------------------------------------------------- labelled images to train on

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_dataset_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_dataset (
    id                 int PRIMARY KEY DEFAULT nextval('@extschema@.mnist_dataset_id_seq'),
    name               text NOT NULL UNIQUE CHECK (name <> ''),
    source             text NOT NULL CHECK (source IN ('idx', 'images', 'synthetic')),
    created_at         timestamptz NOT NULL DEFAULT now(),
    created_by         name NOT NULL DEFAULT session_user,
    train_sha256       bytea CHECK (octet_length(train_sha256) = 32),
    validation_sha256  bytea CHECK (octet_length(validation_sha256) = 32),
    test_sha256        bytea CHECK (octet_length(test_sha256) = 32),
    images             int CHECK (images >= 0)
);
ALTER SEQUENCE @extschema@.mnist_dataset_id_seq OWNED BY @extschema@.mnist_dataset.id;

COMMENT ON TABLE @extschema@.mnist_dataset IS 'labelled images to train on, by name';
COMMENT ON COLUMN @extschema@.mnist_dataset.id IS 'the data set';
COMMENT ON COLUMN @extschema@.mnist_dataset.name IS 'its name';
COMMENT ON COLUMN @extschema@.mnist_dataset.source IS 'how it came in: idx, images or synthetic';
COMMENT ON COLUMN @extschema@.mnist_dataset.created_at IS 'when its first split was imported';
COMMENT ON COLUMN @extschema@.mnist_dataset.created_by IS 'the role that imported it';
COMMENT ON COLUMN @extschema@.mnist_dataset.train_sha256 IS
    'hash of the train split as it was imported: SHA-256 over each image''s label (a byte) and SHA-256, in order';
COMMENT ON COLUMN @extschema@.mnist_dataset.validation_sha256 IS 'the same of the validation split; NULL where there is none';
COMMENT ON COLUMN @extschema@.mnist_dataset.test_sha256 IS 'the same of the test split; NULL where there is none';
COMMENT ON COLUMN @extschema@.mnist_dataset.images IS 'how many images were imported, over all splits; NULL: not counted, as in a dump of 0.1.0';

CREATE TABLE IF NOT EXISTS @extschema@.mnist_sample (
    dataset_id     int NOT NULL REFERENCES @extschema@.mnist_dataset ON DELETE CASCADE,
    split          text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
    ordinal        int NOT NULL CHECK (ordinal >= 0),
    label          smallint NOT NULL CHECK (label BETWEEN 0 AND 9),
    pixels         bytea NOT NULL CHECK (octet_length(pixels) = 784),
    pixels_sha256  bytea NOT NULL GENERATED ALWAYS AS (sha256(pixels)) STORED,
    PRIMARY KEY (dataset_id, split, ordinal)
);
CREATE INDEX IF NOT EXISTS mnist_sample_by_pixels ON @extschema@.mnist_sample (pixels_sha256, label);
ALTER TABLE @extschema@.mnist_sample ALTER COLUMN pixels SET STORAGE PLAIN;

COMMENT ON TABLE @extschema@.mnist_sample IS 'the images of the data sets';
COMMENT ON COLUMN @extschema@.mnist_sample.dataset_id IS 'the data set';
COMMENT ON COLUMN @extschema@.mnist_sample.split IS
    'train; validation, kept back from the train split to judge by; or test, which is only reported';
COMMENT ON COLUMN @extschema@.mnist_sample.ordinal IS 'the image''s place in what was imported, from 0';
COMMENT ON COLUMN @extschema@.mnist_sample.label IS 'the digit that it shows';
COMMENT ON COLUMN @extschema@.mnist_sample.pixels IS '28 x 28 grey, row by row, 0 background, 255 full ink';
COMMENT ON COLUMN @extschema@.mnist_sample.pixels_sha256 IS 'SHA-256 of the pixels, by which to find equal images';
