/*
 * Models, and which one is live.
 *
 * The newest row of mnist_deployment names the live model.  Code that adds a row calls mnist_internal.lock_readers
 * first.  Then other writers wait, so that ids follow the order of commits, and a transaction whose snapshot does not
 * show the newest switch fails.  Readers never wait.  When such a row commits, sessions look up the live model again.
 */

-- A sequence numbers the versions, so that transactions that add models do not wait for each other.
CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_model_version_seq AS int;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_model (
    version              int PRIMARY KEY CHECK (version > 0),
    parent_version       int CHECK (parent_version < version),      -- refers to this table
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

COMMENT ON TABLE @extschema@.mnist_model IS 'all models; rows never change, but weights may be set to NULL';
COMMENT ON COLUMN @extschema@.mnist_model.version IS 'the model: 1 is the bundled one';
COMMENT ON COLUMN @extschema@.mnist_model.parent_version IS
    'the model that training started from; NULL if from scratch';
COMMENT ON COLUMN @extschema@.mnist_model.architecture IS 'the architecture''s name';
COMMENT ON COLUMN @extschema@.mnist_model.network IS 'the layers, as text';
COMMENT ON COLUMN @extschema@.mnist_model.parameters IS 'the number of trainable parameters';
COMMENT ON COLUMN @extschema@.mnist_model.weights IS 'network and weights as one self-describing value; NULL: pruned';
COMMENT ON COLUMN @extschema@.mnist_model.weights_sha256 IS 'SHA-256 of weights, kept when they are pruned';
COMMENT ON COLUMN @extschema@.mnist_model.run_id IS 'the run that made it; NULL: bundled or imported';
COMMENT ON COLUMN @extschema@.mnist_model.validation_accuracy IS
    'accuracy on the validation images when it was made, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_model.test_accuracy IS 'accuracy on the test images when it was made, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_model.created_at IS 'when it was added';
COMMENT ON COLUMN @extschema@.mnist_model.created_by IS 'the role that asked for it';

CREATE OR REPLACE FUNCTION mnist_internal.model_keep() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    OLD.weights := NULL;
    IF pg_trigger_depth() > 1 THEN
        IF mnist_internal.untouched() THEN          -- a restore replaces the bundled model (restore.sql)
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

SELECT pg_extension_config_dump('@extschema@.mnist_model', '');
SELECT pg_extension_config_dump('@extschema@.mnist_model_version_seq', '');

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_deployment_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_deployment (
    id           bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_deployment_id_seq'),
    version      int NOT NULL REFERENCES @extschema@.mnist_model,
    action       text NOT NULL CHECK (action IN ('install', 'activate', 'promote', 'rollback')),
    rollback_to  bigint CHECK (rollback_to < id),                   -- refers to this table
    run_id       bigint REFERENCES @extschema@.mnist_run,
    reason       text,
    deployed_by  name NOT NULL DEFAULT session_user,
    deployed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER SEQUENCE @extschema@.mnist_deployment_id_seq OWNED BY @extschema@.mnist_deployment.id;

-- No two switches follow the same deployment.  Without this index a writer with a stale snapshot could record that.
CREATE UNIQUE INDEX IF NOT EXISTS mnist_deployment_chain ON @extschema@.mnist_deployment (rollback_to)
    WHERE action IN ('activate', 'promote');

COMMENT ON TABLE @extschema@.mnist_deployment IS
    'which model was live when, who switched and why; the newest row (highest id) is live';
COMMENT ON COLUMN @extschema@.mnist_deployment.id IS 'the switch; ids follow the order of commits';
COMMENT ON COLUMN @extschema@.mnist_deployment.version IS 'the model that went live';
COMMENT ON COLUMN @extschema@.mnist_deployment.action IS
    'install (by CREATE EXTENSION), activate (by hand), promote (by a run, or by a challenge) or rollback';
COMMENT ON COLUMN @extschema@.mnist_deployment.rollback_to IS
    'the row that mnist_rollback goes back to while this one is live; NULL: none';
COMMENT ON COLUMN @extschema@.mnist_deployment.run_id IS 'the run that promoted it';
COMMENT ON COLUMN @extschema@.mnist_deployment.reason IS 'why, as the role that switched wrote, or the run''s verdict';
COMMENT ON COLUMN @extschema@.mnist_deployment.deployed_by IS 'the role that switched, or that asked for the run';
COMMENT ON COLUMN @extschema@.mnist_deployment.deployed_at IS 'when the switch was made; it takes effect at commit';

CREATE OR REPLACE TRIGGER mnist_deployment_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.mnist_deployment
    FOR EACH STATEMENT
    EXECUTE FUNCTION mnist_internal.refuse('To switch models, use mnist_activate or mnist_rollback.');

SELECT pg_extension_config_dump('@extschema@.mnist_deployment', '');
SELECT pg_extension_config_dump('@extschema@.mnist_deployment_id_seq', '');

---------------------------------------------------------------- the model cache

/*
 * The trigger is row-level and ENABLE ALWAYS, so that it also fires in the apply worker of a logical replica.  TRUNCATE
 * needs no trigger, because it invalidates the relation by itself.
 */
CREATE OR REPLACE FUNCTION mnist_internal.deployment_changed() RETURNS trigger
    AS 'MODULE_PATHNAME', 'mnist_hil_deployment_changed' LANGUAGE C;
COMMENT ON FUNCTION mnist_internal.deployment_changed() IS
    'make every session look up the live model again when the transaction commits; internal';

CREATE OR REPLACE TRIGGER mnist_deployment_changed
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.mnist_deployment
    FOR EACH ROW EXECUTE FUNCTION mnist_internal.deployment_changed();
ALTER TABLE @extschema@.mnist_deployment ENABLE ALWAYS TRIGGER mnist_deployment_changed;

CREATE OR REPLACE FUNCTION mnist_internal.load(version int) RETURNS void
    AS 'MODULE_PATHNAME', 'mnist_hil_load' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mnist_internal.load(int) IS
    'check the weights of a version and load them into the model cache, so that no session has to after the switch '
    'to it; internal';

CREATE OR REPLACE FUNCTION mnist_internal.cache(
    OUT place text, OUT memory_size bigint, OUT memory_used bigint, OUT models int, OUT pinned int, OUT private int,
    OUT fallbacks bigint, OUT evictions bigint)
    AS 'MODULE_PATHNAME', 'mnist_hil_cache' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION mnist_internal.cache() IS
    'the model cache: where it is, bytes, cached and pinned models, private copies of sessions, how often a copy was '
    'made, evictions; internal, but open to readers of mnist_status';

GRANT EXECUTE ON FUNCTION mnist_internal.cache TO PUBLIC;

CREATE OR REPLACE FUNCTION mnist_internal.default_weights() RETURNS bytea
    AS 'MODULE_PATHNAME', 'mnist_hil_default_weights' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mnist_internal.default_weights() IS
    'the bundled model''s weights, from the extension''s data file; internal';

CREATE OR REPLACE FUNCTION mnist_internal.describe(weights bytea, OUT network text, OUT parameters int)
    AS 'MODULE_PATHNAME', 'mnist_hil_describe' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mnist_internal.describe(bytea) IS
    'check a weights blob; returns its network and number of trainable parameters; internal';

---------------------------------------------------------------- the live model

CREATE OR REPLACE VIEW @extschema@.mnist_live AS
    SELECT d.version, m.architecture, d.id AS deployment_id, d.action, d.rollback_to, d.run_id, d.reason,
        d.deployed_by, d.deployed_at
    FROM @extschema@.mnist_deployment d
    JOIN @extschema@.mnist_model m USING (version)
    ORDER BY d.id DESC
    LIMIT 1;
COMMENT ON VIEW @extschema@.mnist_live IS 'the live model, since when, by whom and why; one row';
COMMENT ON COLUMN @extschema@.mnist_live.version IS 'the model';
COMMENT ON COLUMN @extschema@.mnist_live.architecture IS 'its architecture';
COMMENT ON COLUMN @extschema@.mnist_live.deployment_id IS 'the row of mnist_deployment that made it live';
COMMENT ON COLUMN @extschema@.mnist_live.action IS 'install, activate, promote or rollback';
COMMENT ON COLUMN @extschema@.mnist_live.rollback_to IS 'the row of mnist_deployment that mnist_rollback goes back to';
COMMENT ON COLUMN @extschema@.mnist_live.run_id IS 'the run that promoted it';
COMMENT ON COLUMN @extschema@.mnist_live.reason IS 'why it went live';
COMMENT ON COLUMN @extschema@.mnist_live.deployed_by IS 'the role that made it live';
COMMENT ON COLUMN @extschema@.mnist_live.deployed_at IS 'when it went live';

-- Versions in use are skipped: those of models from a dump of 0.1.0, which has no such sequence, or added by hand.
CREATE OR REPLACE FUNCTION mnist_internal.next_version() RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given int := nextval('@extschema@.mnist_model_version_seq');
    newest int := (SELECT max(m.version) FROM @extschema@.mnist_model m);
BEGIN
    IF given <= newest THEN
        PERFORM setval('@extschema@.mnist_model_version_seq', newest);
        given := nextval('@extschema@.mnist_model_version_seq');
    END IF;
    RETURN given;
END
$$;
COMMENT ON FUNCTION mnist_internal.next_version() IS
    'the version of a model that is about to be added; waits for no lock; internal';

CREATE OR REPLACE FUNCTION mnist_internal.readers(
    OUT deployment_id bigint, OUT live_version int, OUT challenge_id bigint, OUT challenger int, OUT share real,
    OUT shadow boolean)
    AS 'MODULE_PATHNAME', 'mnist_hil_readers' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION mnist_internal.readers() IS
    'the live model and the challenger that sessions predict with now, whatever the transaction''s snapshot shows; '
    'internal';

-- A transaction in REPEATABLE READ or SERIALIZABLE may have taken its snapshot before the newest switch committed, even
-- if it waited here for that commit.  Then it would use a model that is no longer live, and undo the switch unnoticed.
CREATE OR REPLACE FUNCTION mnist_internal.lock_readers() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE @extschema@.mnist_deployment IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM mnist_internal.readers() r
        WHERE (r.deployment_id, r.challenge_id) IS DISTINCT FROM (
            SELECT (l.deployment_id, n.challenge_id)
            FROM (SELECT) AS one
            LEFT JOIN @extschema@.mnist_live l ON true
            LEFT JOIN @extschema@.mnist_challenge_now n ON true))
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'serialization_failure',
            MESSAGE = 'could not switch models or change the challenge due to a concurrent switch',
            DETAIL = 'The transaction''s snapshot is older than the newest switch, or change of the challenge.',
            HINT = 'Retry the transaction.';
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.lock_readers() IS
    'wait for other switches and changes of the challenge, and refuse a snapshot from before them; internal';

CREATE OR REPLACE FUNCTION mnist_internal.deploy(
    new_version int, new_action text, new_rollback_to bigint, new_reason text, new_run_id bigint DEFAULT NULL)
    RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pruned boolean;
BEGIN
    SELECT m.weights IS NULL INTO pruned FROM @extschema@.mnist_model m WHERE m.version = new_version;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('model version %s does not exist', new_version),
            HINT = 'mnist_model lists those there are.';
    END IF;
    IF pruned THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('weights of model version %s were pruned', new_version),
            HINT = 'Choose a version whose weights in mnist_model are not NULL.';
    END IF;
    PERFORM mnist_internal.load(new_version);
    INSERT INTO @extschema@.mnist_deployment (version, action, rollback_to, run_id, reason, deployed_by)
    VALUES (new_version, new_action, new_rollback_to, new_run_id, new_reason, mnist_internal.invoker());
    PERFORM mnist_internal.drift_bind(new_version);
    RETURN new_version;
END
$$;
COMMENT ON FUNCTION mnist_internal.deploy(int, text, bigint, text, bigint) IS
    'check a model''s weights and make it live; the caller has called mnist_internal.lock_readers; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_activate(version int, reason text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live @extschema@.mnist_live;
BEGIN
    PERFORM mnist_internal.refuse_null('{version}', mnist_activate.version IS NULL);
    PERFORM mnist_internal.lock_readers();
    SELECT l.* INTO live FROM @extschema@.mnist_live l;
    IF live.version = mnist_activate.version THEN
        RAISE NOTICE 'model version % is live already', live.version;
        RETURN live.version;
    END IF;
    RETURN mnist_internal.deploy(mnist_activate.version, 'activate', live.deployment_id, mnist_activate.reason);
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_activate(int, text) IS
    'make a model version live in every session at commit; returns it';

CREATE OR REPLACE FUNCTION @extschema@.mnist_rollback(reason text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target @extschema@.mnist_deployment;
BEGIN
    PERFORM mnist_internal.lock_readers();
    SELECT d.* INTO target FROM @extschema@.mnist_live l JOIN @extschema@.mnist_deployment d ON d.id = l.rollback_to;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'there is no earlier model to go back to',
            HINT = 'mnist_activate makes any version live.';
    END IF;
    RETURN mnist_internal.deploy(target.version, 'rollback', target.rollback_to, mnist_rollback.reason);
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_rollback(text) IS
    'make the previous live model live again in every session at commit; returns its version';

---------------------------------------------------------------- the bundled model is version 1

INSERT INTO @extschema@.mnist_model (version, architecture, network, parameters, weights, weights_sha256)
SELECT 1, 'default', d.network, d.parameters, w.weights, sha256(w.weights)
FROM mnist_internal.default_weights() AS w (weights), mnist_internal.describe(w.weights) AS d
WHERE NOT EXISTS (SELECT FROM @extschema@.mnist_model);

-- With models from 0.1.0 the sequence begins after them.
SELECT setval('@extschema@.mnist_model_version_seq', (SELECT max(m.version) FROM @extschema@.mnist_model m))
FROM @extschema@.mnist_model_version_seq s
WHERE NOT s.is_called;

INSERT INTO @extschema@.mnist_deployment (version, action, reason)
SELECT 1, 'install', 'the bundled model'
WHERE NOT EXISTS (SELECT FROM @extschema@.mnist_deployment);
