/*
 * Events: what somebody should know about, as rows of mnist_event and as notifications on channel mnist_hil.
 *
 * Triggers store the events of runs and models, so that code that writes those tables need not.  mnist_check stores an
 * event when a lasting condition, such as drift or an accuracy below the floor, begins or ends (loop.sql).  The
 * notification is part of the transaction: it is delivered at commit, or never.
 */

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_event_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_event (
    id             bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_event_id_seq'),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind           text NOT NULL CHECK (kind ~ '^[a-z_]{1,63}$'),
    message        text NOT NULL,
    detail         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    run_id         bigint,
    model_version  int
);
ALTER SEQUENCE @extschema@.mnist_event_id_seq OWNED BY @extschema@.mnist_event.id;
CREATE INDEX IF NOT EXISTS mnist_event_by_kind ON @extschema@.mnist_event (kind, id);

COMMENT ON TABLE @extschema@.mnist_event IS
    'what somebody should know about; each row was also sent as a notification with id, kind and model_version on '
    'channel mnist_hil';
COMMENT ON COLUMN @extschema@.mnist_event.id IS 'the event';
COMMENT ON COLUMN @extschema@.mnist_event.created_at IS 'when it was noted';
COMMENT ON COLUMN @extschema@.mnist_event.kind IS
    'what happened: run_failed, run_cancelled, model_promoted, model_rejected, model_activated, ...';
COMMENT ON COLUMN @extschema@.mnist_event.message IS 'the same as a sentence';
COMMENT ON COLUMN @extschema@.mnist_event.detail IS 'its figures and names, a JSON object';
COMMENT ON COLUMN @extschema@.mnist_event.run_id IS 'the run that it is about';
COMMENT ON COLUMN @extschema@.mnist_event.model_version IS 'the model that it is about';

SELECT pg_extension_config_dump('@extschema@.mnist_event', '');
SELECT pg_extension_config_dump('@extschema@.mnist_event_id_seq', '');

CREATE OR REPLACE TRIGGER mnist_event_refuse BEFORE UPDATE OR TRUNCATE ON @extschema@.mnist_event
    FOR EACH STATEMENT
    EXECUTE FUNCTION mnist_internal.refuse('The owner may DELETE old ones; see mnist_hil.retention.');

/*
 * Any role can LISTEN, so the notification has only the event's id, kind and model version, and no text from users.
 * The row, which needs privileges, has the rest.
 */
CREATE OR REPLACE FUNCTION mnist_internal.event(kind text, message text, detail jsonb DEFAULT '{}') RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    noted @extschema@.mnist_event;
BEGIN
    INSERT INTO @extschema@.mnist_event AS e (kind, message, detail, run_id, model_version)
    VALUES (event.kind, event.message, coalesce(event.detail, '{}'),
        (event.detail ->> 'run_id')::bigint, (event.detail ->> 'model_version')::int)
    RETURNING e.* INTO noted;

    IF coalesce(current_setting('mnist_hil.notify', true), 'on')::boolean THEN
        PERFORM pg_notify('mnist_hil',
            jsonb_build_object('id', noted.id, 'kind', noted.kind, 'model_version', noted.model_version)::text);
    END IF;
    RETURN noted.id;
END
$$;
COMMENT ON FUNCTION mnist_internal.event(text, text, jsonb) IS
    'store an event and notify channel mnist_hil; run_id and model_version are taken from its detail; returns its '
    'id; internal';

---------------------------------------------------------------- runs

CREATE OR REPLACE FUNCTION mnist_internal.note_run(run @extschema@.mnist_run) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail jsonb := jsonb_strip_nulls(jsonb_build_object('run_id', run.id, 'model_version', run.model_version,
        'requested_by', run.requested_by, 'trigger', run.trigger, 'reasons', run.reasons, 'verdict', run.verdict,
        'error', run.error, 'sqlstate', run.sqlstate, 'attempt', run.attempt));
BEGIN
    IF run.status IN ('failed', 'cancelled') THEN
        PERFORM mnist_internal.event(CASE run.status WHEN 'failed' THEN 'run_failed' ELSE 'run_cancelled' END,
            format('run %s %s: %s', run.id,
                CASE run.status WHEN 'failed' THEN 'failed' ELSE 'was cancelled' END, run.error), detail);
        IF run.trigger = 'check' AND run.attempt > (SELECT s.retries FROM mnist_internal.settings() s) THEN
            PERFORM mnist_internal.event('retraining_given_up', format(
                'mnist_check gives up after %s attempts, the last of which was run %s: new feedback, new data sets or '
                'mnist_retrain let it continue',
                run.attempt, run.id), detail);
        END IF;
    ELSIF run.decision = 'awaiting approval' THEN
        PERFORM mnist_internal.event('approval_awaited', format('model version %s of run %s awaits approval: %s',
            run.model_version, run.id, run.verdict), detail);
    ELSIF run.decision = 'promotion pending' THEN
        PERFORM mnist_internal.event('promotion_pending', format('model version %s of run %s waits to go live: %s',
            run.model_version, run.id, run.verdict), detail);
    ELSIF run.decision = 'rejected' OR (run.decision IS NULL AND NOT run.promoted) THEN
        PERFORM mnist_internal.event('model_rejected', format('model version %s of run %s did not go live: %s',
            run.model_version, run.id, run.verdict), detail);
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.note_run(@extschema@.mnist_run) IS
    'store an event about how a run ended; a model that goes live has the event of the switch instead; internal';

CREATE OR REPLACE FUNCTION mnist_internal.run_ended() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM mnist_internal.note_run(NEW);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.run_ended() IS 'trigger that stores the event of a run that ended; internal';

-- A run's row is inserted as running, and updated when it ends.  A restore inserts rows of runs that have ended; their
-- events come from the dump.
CREATE OR REPLACE TRIGGER mnist_run_ended AFTER UPDATE OF status ON @extschema@.mnist_run
    FOR EACH ROW WHEN (OLD.status = 'running' AND NEW.status <> 'running')
    EXECUTE FUNCTION mnist_internal.run_ended();

---------------------------------------------------------------- switches

CREATE OR REPLACE FUNCTION mnist_internal.switched() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A restore inserts rows with ids that the sequence has not given out yet; their events come from the dump.
    IF NEW.id > (SELECT s.last_value FROM @extschema@.mnist_deployment_id_seq s) THEN
        RETURN NULL;
    END IF;
    PERFORM mnist_internal.event(
        CASE NEW.action
            WHEN 'promote' THEN 'model_promoted'
            WHEN 'rollback' THEN 'model_rolled_back'
            ELSE 'model_activated' END,
        format(
            CASE NEW.action
                WHEN 'promote' THEN 'model version %s went live%s'
                WHEN 'rollback' THEN 'rolled back to model version %s%s'
                ELSE 'model version %s was activated%s' END,
            NEW.version, ': ' || NEW.reason),
        jsonb_strip_nulls(jsonb_build_object('model_version', NEW.version, 'run_id', NEW.run_id,
            'deployment_id', NEW.id, 'reason', NEW.reason, 'deployed_by', NEW.deployed_by)));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.switched() IS 'trigger that stores the event of a switch of models; internal';

CREATE OR REPLACE TRIGGER mnist_deployment_switched AFTER INSERT ON @extschema@.mnist_deployment
    FOR EACH ROW WHEN (NEW.action <> 'install')
    EXECUTE FUNCTION mnist_internal.switched();
