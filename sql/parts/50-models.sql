/*
 * Models: which one is live.
 *
 * The newest row of mnist_deployment says it.  Whoever adds one calls mnist_internal.lock_readers first: others who
 * would add one wait, so that ids follow the order of commits, and a transaction that does not see the newest switch is
 * refused.  Readers never wait.  Sessions look the live model up anew when such a row commits (20-reading.sql).
 */

CREATE OR REPLACE VIEW @extschema@.mnist_live AS
    SELECT d.version, m.architecture, d.id AS deployment_id, d.action, d.rollback_to, d.run_id, d.reason,
        d.deployed_by, d.deployed_at
    FROM @extschema@.mnist_deployment d
    JOIN @extschema@.mnist_model m USING (version)
    ORDER BY d.id DESC
    LIMIT 1;
COMMENT ON VIEW @extschema@.mnist_live IS 'the model that answers, since when, by whom and why; one row';
COMMENT ON COLUMN @extschema@.mnist_live.version IS 'the model';
COMMENT ON COLUMN @extschema@.mnist_live.architecture IS 'its architecture';
COMMENT ON COLUMN @extschema@.mnist_live.deployment_id IS 'the row of mnist_deployment that made it live';
COMMENT ON COLUMN @extschema@.mnist_live.action IS 'install, activate, promote or rollback';
COMMENT ON COLUMN @extschema@.mnist_live.rollback_to IS 'the row of mnist_deployment that mnist_rollback goes back to';
COMMENT ON COLUMN @extschema@.mnist_live.run_id IS 'the run that promoted it';
COMMENT ON COLUMN @extschema@.mnist_live.reason IS 'why it went live';
COMMENT ON COLUMN @extschema@.mnist_live.deployed_by IS 'the role that made it live';
COMMENT ON COLUMN @extschema@.mnist_live.deployed_at IS 'when it went live';

-- Rows that came with the dump of 0.1.0, which has no such sequence, or that were added by hand are passed over.
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
    'the version of a model that is about to be added; waits for nobody; internal';

CREATE OR REPLACE FUNCTION mnist_internal.readers(
    OUT deployment_id bigint, OUT live_version int, OUT challenge_id bigint, OUT challenger int, OUT share real,
    OUT shadow boolean)
    AS 'MODULE_PATHNAME', 'mnist_hil_readers' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION mnist_internal.readers() IS
    'which models read, as of now, whatever the transaction''s snapshot shows: what sessions go by; internal';

-- A transaction in REPEATABLE READ or SERIALIZABLE may have taken its snapshot before the newest switch committed, even
-- where it waited here for that.  It would go by a model that is not live any more, and undo the switch unseen.
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
    'wait for whoever switches models or changes the challenge, and refuse a snapshot from before that; internal';

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
    IF mnist_activate.version IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'version must not be null';
    END IF;
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
    'make a model version live, in every session from this transaction''s commit on; returns it';

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
    'make the model live again that was live before this one, in every session from commit on; returns its version';

---------------------------------------------------------------- the bundled model is version 1

INSERT INTO @extschema@.mnist_model (version, architecture, network, parameters, weights, weights_sha256)
SELECT 1, 'default', d.network, d.parameters, w.weights, sha256(w.weights)
FROM mnist_internal.default_weights() AS w (weights), mnist_internal.describe(w.weights) AS d
WHERE NOT EXISTS (SELECT FROM @extschema@.mnist_model);

-- Where models come from 0.1.0 the sequence begins after them.
SELECT setval('@extschema@.mnist_model_version_seq', (SELECT max(m.version) FROM @extschema@.mnist_model m))
FROM @extschema@.mnist_model_version_seq s
WHERE NOT s.is_called;

INSERT INTO @extschema@.mnist_deployment (version, action, reason)
SELECT 1, 'install', 'the bundled model'
WHERE NOT EXISTS (SELECT FROM @extschema@.mnist_deployment);
