/*
 * The judgement of a run's model, and who switches.
 *
 * The judgement itself is in src/training_gate.c; its figures are in mnist_run.gate.  A model that passes goes live at
 * once or, with mnist_hil.require_approval, when a person says so.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_mcnemar(live_only bigint, candidate_only bigint) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_mcnemar';
COMMENT ON FUNCTION @extschema@.mnist_mcnemar(bigint, bigint) IS
    'p-value of McNemar''s exact test, two-sided, from the images that only one of two models reads correctly';

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
    'the judgement of each run''s model: candidate and live model on the same images, thirteen rows a run';
COMMENT ON COLUMN @extschema@.mnist_gate.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_gate.model_version IS 'the candidate';
COMMENT ON COLUMN @extschema@.mnist_gate.live_version IS 'the model that it was compared with';
COMMENT ON COLUMN @extschema@.mnist_gate.decision IS 'what came of it';
COMMENT ON COLUMN @extschema@.mnist_gate.verdict IS 'and why';
COMMENT ON COLUMN @extschema@.mnist_gate.judged_by IS
    'the images: validation, held-out feedback, a digit (of validation), or test, which decides nothing';
COMMENT ON COLUMN @extschema@.mnist_gate.images IS 'how many there are';
COMMENT ON COLUMN @extschema@.mnist_gate.candidate_correct IS 'that the candidate reads correctly';
COMMENT ON COLUMN @extschema@.mnist_gate.live_correct IS 'that the live model reads correctly';
COMMENT ON COLUMN @extschema@.mnist_gate.candidate_only IS 'that only the candidate does';
COMMENT ON COLUMN @extschema@.mnist_gate.live_only IS 'that only the live model does';
COMMENT ON COLUMN @extschema@.mnist_gate.p_value IS 'how probable so great a difference is by chance: McNemar''s exact test';

CREATE OR REPLACE FUNCTION @extschema@.mnist_approve(run_id bigint) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run @extschema@.mnist_run;
    live @extschema@.mnist_live;
    approved int;
BEGIN
    IF mnist_approve.run_id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'run_id must not be null';
    END IF;
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
            HINT = 'mnist_gate says what was judged; mnist_activate makes any version live.';
    END IF;
    SELECT l.* INTO live FROM @extschema@.mnist_live l;
    IF live.version <> run.parent_version THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('run %s was not compared with the model that is live', run.id),
            DETAIL = format('It was compared with version %s; version %s is live now.', run.parent_version, live.version),
            HINT = 'Retrain, to have it judged anew, or overrule with mnist_activate.';
    END IF;
    approved := mnist_internal.deploy(run.model_version, 'promote', live.deployment_id,
        regexp_replace(run.verdict, '^awaiting approval', 'approved'), run.id);
    UPDATE @extschema@.mnist_run r SET decision = 'approved', promoted = true WHERE r.id = run.id;
    RETURN approved;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_approve(bigint) IS
    'make the model of a run live that awaits approval, in every session from commit on; returns its version';
