/*
 * The gate: whether the model of a run goes live.
 *
 * The trainer compares the candidate with the live model (src/train/gate.c); the figures are in mnist_run.gate.  A
 * candidate that passes goes live at once or, with mnist_hil.require_approval, when a person approves it.
 */

CREATE OR REPLACE VIEW @extschema@.mnist_gate AS
    SELECT r.id AS run_id, r.model_version, r.parent_version AS live_version, r.decision, r.verdict, s.judged_by,
        (s.figures->>'images')::bigint AS images,
        (s.figures->>'candidate_correct')::bigint AS candidate_correct,
        (s.figures->>'live_correct')::bigint AS live_correct,
        (s.figures->>'candidate_only')::bigint AS candidate_only,
        (s.figures->>'live_only')::bigint AS live_only,
        (s.figures->>'p_value')::double precision AS p_value
    FROM @extschema@.mnist_run r
    CROSS JOIN LATERAL (
        SELECT 1, 'validation', r.gate->'validation'
        UNION ALL
        SELECT 2, 'held-out feedback', r.gate->'feedback'
        UNION ALL
        SELECT 3 + (d.item->>'digit')::int, 'digit ' || (d.item->>'digit'), d.item
        FROM jsonb_array_elements(r.gate->'digits') AS d (item)
        UNION ALL
        SELECT 13, 'test (reported only)', r.gate->'test') AS s (place, judged_by, figures)
    WHERE r.gate IS NOT NULL
    ORDER BY r.id, s.place;
COMMENT ON VIEW @extschema@.mnist_gate IS
    'the gate''s comparison of each run''s candidate with the live model on the same images, thirteen rows a run';
COMMENT ON COLUMN @extschema@.mnist_gate.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_gate.model_version IS 'the candidate';
COMMENT ON COLUMN @extschema@.mnist_gate.live_version IS 'the model that it was compared with';
COMMENT ON COLUMN @extschema@.mnist_gate.decision IS 'the decision of the run';
COMMENT ON COLUMN @extschema@.mnist_gate.verdict IS 'the reason for it';
COMMENT ON COLUMN @extschema@.mnist_gate.judged_by IS
    'the images: validation, held-out feedback, a digit (of validation), or test, which decides nothing';
COMMENT ON COLUMN @extschema@.mnist_gate.images IS 'the number of images';
COMMENT ON COLUMN @extschema@.mnist_gate.candidate_correct IS 'of these, those that the candidate predicts correctly';
COMMENT ON COLUMN @extschema@.mnist_gate.live_correct IS 'of these, those that the live model predicts correctly';
COMMENT ON COLUMN @extschema@.mnist_gate.candidate_only IS 'of these, those that only the candidate predicts correctly';
COMMENT ON COLUMN @extschema@.mnist_gate.live_only IS 'of these, those that only the live model predicts correctly';
COMMENT ON COLUMN @extschema@.mnist_gate.p_value IS
    'the probability of a difference this large by chance: McNemar''s exact test';

CREATE OR REPLACE FUNCTION @extschema@.mnist_approve(run_id bigint) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run @extschema@.mnist_run;
    live @extschema@.mnist_live;
    approved int;
BEGIN
    PERFORM mnist_internal.refuse_null('{run_id}', mnist_approve.run_id IS NULL);
    PERFORM mnist_internal.lock_readers();
    SELECT r.* INTO run FROM @extschema@.mnist_run r WHERE r.id = mnist_approve.run_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('run %s does not exist', mnist_approve.run_id),
            HINT = 'mnist_run lists those there are.';
    END IF;
    IF run.decision IS DISTINCT FROM 'awaiting approval' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('run %s does not await approval', run.id),
            DETAIL = CASE
                WHEN run.status <> 'succeeded' THEN format('It is %s.', run.status)
                ELSE format('Its model, version %s, was %s.', run.model_version, run.decision) END,
            HINT = 'mnist_gate has the comparison; mnist_activate makes any version live.';
    END IF;
    SELECT l.* INTO live FROM @extschema@.mnist_live l;
    IF live.version <> run.parent_version THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('run %s was not compared with the model that is live', run.id),
            DETAIL = format('It was compared with version %s; version %s is live now.', run.parent_version,
                live.version),
            HINT = 'Retrain, to compare a new model with the live one, or overrule with mnist_activate.';
    END IF;
    IF mnist_internal.rolled_back_as(run.model_version) IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('model version %s was rolled back by probation', run.model_version),
            DETAIL = format('It has the same weights as version %s, which was worse than the model before it.',
                mnist_internal.rolled_back_as(run.model_version)),
            HINT = 'mnist_probation has the figures; overrule with mnist_activate.';
    END IF;
    approved := mnist_internal.deploy(run.model_version, 'promote', live.deployment_id,
        regexp_replace(run.verdict, '^awaiting approval', 'approved'), run.id);
    UPDATE @extschema@.mnist_run r SET decision = 'approved', promoted = true WHERE r.id = run.id;
    RETURN approved;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_approve(bigint) IS
    'make the model of a run that awaits approval live in every session at commit; returns its version';

---------------------------------------------------------------- promotion

/*
 * How a model that passed the gate and needs no approval goes live.
 *
 * If the trainer gets the lock on mnist_deployment at once, it makes the switch in the transaction that stores the
 * model.  Otherwise it stores the model as 'promotion pending', so that the lock of another transaction cannot cause
 * the loss of a finished run, and then waits a few seconds for the lock.  If it does not get it, the next mnist_check
 * makes the switch, unless another model went live meanwhile.
 */

CREATE OR REPLACE FUNCTION mnist_internal.promote(
    new_version int, compared_with int, promoting_run bigint, said text, asked_by name,
    OUT decision text, OUT verdict text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live @extschema@.mnist_live;
    rolled_back int := mnist_internal.rolled_back_as(new_version);
BEGIN
    SELECT l.* INTO live FROM @extschema@.mnist_live l;
    IF rolled_back IS NOT NULL THEN
        decision := 'rejected';
        verdict := format('rejected: the same weights as version %s, which probation rolled back', rolled_back);
        RETURN;
    END IF;
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
    'make a run''s model live if the model that it was compared with is still live, and probation has not rolled it '
    'back before; the caller holds the lock on mnist_deployment; internal';

-- It waits for no lock: if there is a conflicting one, it fails with lock_not_available.
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
    IF run.decision <> 'promotion pending' THEN     -- another session has settled it
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
    'make the pending switch of a run, or reject it if another model went live since; returns the decision and '
    'verdict; internal';

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
        SELECT r.id, r.model_version
        FROM @extschema@.mnist_run r
        WHERE r.decision = 'promotion pending'
        ORDER BY r.id DESC
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
    'make the pending switches, that of the newest run first; returns a sentence about each; internal';
