/*
 * How the model of a run goes live that passed the gate, with nobody's approval needed.
 *
 * The trainer makes the switch in the transaction that stores the model, if nobody holds the lock on mnist_deployment.
 * Else it stores the model as 'promotion pending', so that no transaction of a user's can lose what was trained, and
 * waits a little; what is pending after that, the next mnist_check makes live, unless it has been overtaken.
 */

CREATE OR REPLACE FUNCTION mnist_internal.promote(
    new_version int, compared_with int, promoting_run bigint, said text, asked_by name, OUT decision text, OUT verdict text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live @extschema@.mnist_live;
BEGIN
    SELECT l.* INTO live FROM @extschema@.mnist_live l;
    IF live.version <> compared_with THEN
        decision := 'rejected';
        verdict := format('rejected: another model went live since the run began, which compared with version %s',
            compared_with);
        RETURN;
    END IF;
    INSERT INTO @extschema@.mnist_deployment (version, action, rollback_to, run_id, reason, deployed_by)
    VALUES (new_version, 'promote', live.deployment_id, promoting_run, said, asked_by);
    PERFORM mnist_internal.drift_bind(new_version);
    decision := 'promoted';
    verdict := said;
END
$$;
COMMENT ON FUNCTION mnist_internal.promote(int, int, bigint, text, name) IS
    'make a run''s model live if the model is live that it was compared with; the caller holds the lock on mnist_deployment; internal';

-- It waits for no lock: lock_not_available where there is one in the way.
CREATE OR REPLACE FUNCTION mnist_internal.settle_promotion(pending_run bigint, OUT decision text, OUT verdict text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run @extschema@.mnist_run;
BEGIN
    LOCK TABLE @extschema@.mnist_deployment IN SHARE ROW EXCLUSIVE MODE NOWAIT;
    PERFORM mnist_internal.lock_readers();
    SELECT r.* INTO STRICT run FROM @extschema@.mnist_run r WHERE r.id = pending_run FOR NO KEY UPDATE NOWAIT;
    IF run.decision <> 'promotion pending' THEN     -- somebody else has been here
        decision := run.decision;
        verdict := run.verdict;
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM @extschema@.mnist_model m WHERE m.version = run.model_version AND m.weights IS NULL) THEN
        decision := 'rejected';
        verdict := 'rejected: its weights were pruned before it could go live';
    ELSIF run.model_version = (SELECT l.version FROM @extschema@.mnist_live l) THEN
        decision := 'approved';
        verdict := regexp_replace(run.verdict, '^promotion pending', 'approved');
    ELSE
        SELECT p.* INTO decision, verdict
        FROM mnist_internal.promote(run.model_version, run.parent_version, run.id,
            regexp_replace(run.verdict, '^promotion pending', 'promoted'), run.requested_by) AS p;
    END IF;
    UPDATE @extschema@.mnist_run r
    SET decision = settle_promotion.decision, verdict = settle_promotion.verdict,
        promoted = settle_promotion.decision <> 'rejected'
    WHERE r.id = run.id
    RETURNING r.* INTO run;
    PERFORM mnist_internal.note_run(run);
END
$$;
COMMENT ON FUNCTION mnist_internal.settle_promotion(bigint) IS
    'make the switch that a run waits for, or note that it has been overtaken: what became of it; internal';

CREATE OR REPLACE FUNCTION mnist_internal.settle_promotions() RETURNS text[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run record;
    said text[] := '{}';
    settled text;
BEGIN
    FOR run IN
        SELECT r.id, r.model_version FROM @extschema@.mnist_run r WHERE r.decision = 'promotion pending' ORDER BY r.id DESC
    LOOP
        BEGIN
            SELECT s.verdict INTO settled FROM mnist_internal.settle_promotion(run.id) AS s;
        EXCEPTION
            WHEN OTHERS THEN
                settled := format('not yet live: %s', SQLERRM);
        END;
        said := said || format('model version %s of run %s: %s', run.model_version, run.id, settled);
    END LOOP;
    RETURN said;
END
$$;
COMMENT ON FUNCTION mnist_internal.settle_promotions() IS
    'make the switches that runs wait for, the newest run''s first; what became of each, in words; internal';
