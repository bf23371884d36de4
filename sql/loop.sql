/*
 * The loop: mnist_check decides when to train.
 *
 * mnist_housekeep (retention.sql) calls mnist_check every few minutes, and mostly there is nothing to do.  Then
 * mnist_check reads a few rows and writes nothing, so that it waits for no disk.  Before it acts it tries to take a
 * lock, without waiting for it, so that two checks do not do the same thing.  The unique index of mnist_run ensures
 * that there is one run at a time.  mnist_check waits until the trainer has started, but not for the end of the run.
 *
 * It does not close the record of a crashed run and begin another run in the same transaction, because the trainer
 * would wait for that row while the check waits for the trainer.
 *
 * mnist_label.new shows which feedback is new.  It follows from the feedback that each run used, never from ids or
 * times, because rows commit in any order.  Feedback that a completed run has used is no longer new, even if the model
 * was rejected.
 */

---------------------------------------------------------------- the conditions

-- The conditions that mnist_check reads on every call, without the others, which take longer.
CREATE OR REPLACE VIEW mnist_internal.label_condition AS
    SELECT 'new_labels'::text AS condition,
        n.value,
        s.min_new_labels::float8 AS threshold,
        n.value >= s.min_new_labels AS met,
        format('%s new labels, %s are enough', n.value, s.min_new_labels) AS explanation
    FROM mnist_internal.settings() s
    CROSS JOIN (SELECT coalesce(sum(t.labels), 0)::float8 AS value FROM mnist_internal.tally t WHERE t.new) n
UNION ALL
    SELECT 'failures',
        f.value,
        s.fail_threshold,
        f.value >= s.fail_threshold,
        CASE WHEN f.value > 0
            THEN format('new failures, %s of a digit are enough: %s', s.fail_threshold, f.digits)
            WHEN s.fail_threshold = 0 THEN 'no new failures, none are needed'
            ELSE 'no new failures' END
    FROM mnist_internal.settings() s
    CROSS JOIN (
        SELECT coalesce(max(d.failures), 0)::float8 AS value,
            string_agg(format('%s of digit %s', d.failures, d.label), ', ' ORDER BY d.failures DESC, d.label) AS digits
        FROM (
            SELECT t.label, sum(t.labels)::bigint AS failures
            FROM mnist_internal.tally t
            WHERE t.new AND t.label <> t.predicted_label
            GROUP BY t.label
            HAVING sum(t.labels) > 0) d) f;
COMMENT ON VIEW mnist_internal.label_condition IS
    'conditions new_labels and failures of mnist_retrain_decision; two rows; internal';

-- Each condition is a branch of its own, so that a query for one does not compute the others.
CREATE OR REPLACE VIEW @extschema@.mnist_retrain_decision AS
    SELECT c.condition, c.value, c.threshold, c.met, c.explanation FROM mnist_internal.label_condition c
UNION ALL
    SELECT 'drift',
        d.share,
        s.drift_threshold,
        coalesce(d.alarm AND d.share > s.drift_threshold, false),
        CASE
            WHEN d.share IS NULL THEN 'drift is not known; mnist_drift.explanation says why'
            ELSE format('%s %% of the features have drifted, more than %s %% are a reason',
                    round((100 * d.share)::numeric, 1), round((100 * s.drift_threshold)::numeric, 1))
                || CASE
                    WHEN d.share <= s.drift_threshold OR d.alarm THEN ''
                    WHEN d.breaches < d.breaches_needed
                        THEN format(', in %s consecutive checks; this was one of %s', d.breaches_needed, d.breaches)
                    ELSE format(', but not before %s, because a run began recently', d.cooling_until::timestamp(0)) END
        END
    FROM mnist_internal.settings() s
    LEFT JOIN @extschema@.mnist_drift_share d ON true
UNION ALL
    SELECT 'accuracy',
        a.value,
        nullif(s.accuracy_floor, 0),
        a.labels >= s.min_new_labels AND a.value < s.accuracy_floor,
        CASE WHEN a.labels >= s.min_new_labels
            THEN format('%s %% correct of %s recent new labels%s', round((100 * a.value)::numeric, 1), a.labels,
                CASE WHEN s.accuracy_floor > 0
                    THEN format(', less than %s %% is a reason', round((100 * s.accuracy_floor)::numeric, 1)) END)
            ELSE format('%s recent new labels, too few of %s to tell the accuracy', a.labels, s.min_new_labels) END
    FROM mnist_internal.settings() s
    CROSS JOIN LATERAL (
        SELECT count(*) AS labels,
            CASE WHEN count(*) >= s.min_new_labels THEN avg((r.label = r.predicted_label)::int)::float8 END AS value
        FROM (
            SELECT l.label, l.predicted_label, l.model_version
            FROM @extschema@.mnist_label l
            WHERE l.new AND l.label IS NOT NULL
            ORDER BY l.prediction_id DESC
            LIMIT greatest(200, s.min_new_labels)) r
        WHERE r.model_version = (SELECT m.version FROM @extschema@.mnist_live m)) a;
COMMENT ON VIEW @extschema@.mnist_retrain_decision IS
    'the conditions of mnist_check: it trains if drift is met, or accuracy, or both new_labels and failures; four rows';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.condition IS
    'new_labels: labelled predictions that no completed run has used; failures: the wrong ones among these, of the '
    'digit that has most; drift: fraction of drifted features; accuracy: of the live model''s predictions among the '
    'newest labelled ones that no completed run has used (200, or min_new_labels if that is more)';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.value IS 'the current value; NULL: unknown, or too few labels';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.threshold IS
    'what the value is compared with: new_labels and failures must reach it, drift must exceed it, accuracy must be '
    'below it; NULL: off';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.met IS 'whether the condition is met';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.explanation IS 'the same as a sentence';

CREATE OR REPLACE FUNCTION mnist_internal.due_conditions(met text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(array_agg(c.condition), '{}')
    FROM unnest(met) AS c (condition)
    WHERE c.condition IN ('drift', 'accuracy') OR met @> '{new_labels,failures}';
END;
COMMENT ON FUNCTION mnist_internal.due_conditions(text[]) IS
    'which of the conditions that are met are a reason to train: drift, accuracy, and new_labels with failures; '
    'none: retraining is not due; internal, but open to readers of mnist_status';
GRANT EXECUTE ON FUNCTION mnist_internal.due_conditions TO PUBLIC;

-- Why a run that is due must wait.
CREATE OR REPLACE VIEW mnist_internal.retry AS
    SELECT r.id AS failed_run,
        r.attempt,
        r.error,
        CASE WHEN r.attempt <= s.retries
            THEN r.finished_at + s.retry_delay * power(4, r.attempt - 1) END AS not_before,
        r.attempt > s.retries AS given_up
    FROM mnist_internal.settings() s
    CROSS JOIN (
        SELECT e.*
        FROM @extschema@.mnist_run e
        WHERE e.status = 'succeeded' OR (e.status <> 'running' AND e.trigger = 'check')
        ORDER BY e.id DESC
        LIMIT 1) r
    WHERE r.status <> 'succeeded'
        AND NOT EXISTS (SELECT FROM @extschema@.mnist_dataset d WHERE d.created_at > r.finished_at)
        AND NOT (r.attempt > s.retries
            AND coalesce(
                (SELECT f.created_at FROM @extschema@.mnist_feedback f ORDER BY f.id DESC LIMIT 1) > r.finished_at,
                false));
COMMENT ON VIEW mnist_internal.retry IS
    'the run that mnist_check began and that failed, until a run succeeds, or there are new data sets, or, if '
    'mnist_check has given up, new feedback; one row or none; internal';
COMMENT ON COLUMN mnist_internal.retry.not_before IS 'when mnist_check tries again at the earliest; NULL: never';

---------------------------------------------------------------- runs

CREATE OR REPLACE FUNCTION mnist_internal.try_lock() RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_try_lock';
COMMENT ON FUNCTION mnist_internal.try_lock() IS
    'take the lock of the loop until the transaction ends; false: another check has it; internal';

CREATE OR REPLACE FUNCTION mnist_internal.retrain_by_check(reasons text, attempt int, retry_of bigint) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_retrain_by_check';
COMMENT ON FUNCTION mnist_internal.retrain_by_check(text, int, bigint) IS
    'mnist_retrain(wait => false), recorded as decided by mnist_check for these reasons (a text[] as text); internal';

CREATE OR REPLACE FUNCTION mnist_internal.close_orphan(orphan bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.mnist_run r
    SET status = 'failed', finished_at = clock_timestamp(), sqlstate = '57P02',
        error = 'the trainer process exited without reporting a result, as in a crash of the server'
    WHERE r.id = orphan AND r.status = 'running' AND NOT mnist_internal.process_alive(r.pid, r.process_started_at);
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION mnist_internal.close_orphan(bigint) IS
    'close the record of a run whose process is gone; returns whether it was open; internal';

---------------------------------------------------------------- states that last

-- A state has an event when it begins and one when it ends.  The newer of the two shows which one is due next.  While
-- the state is unknown nothing changes.
CREATE OR REPLACE FUNCTION mnist_internal.note_state(now_holds boolean, begun text, ended text, message text,
    detail jsonb)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_begun bigint;
    last_ended bigint;
BEGIN
    FOR attempt IN 1 .. 2 LOOP
        SELECT max(e.id) INTO last_begun FROM @extschema@.mnist_event e WHERE e.kind = begun;
        SELECT max(e.id) INTO last_ended FROM @extschema@.mnist_event e WHERE e.kind = ended;
        IF now_holds = (coalesce(last_begun, 0) > coalesce(last_ended, 0)) THEN
            RETURN;
        END IF;
        -- Check again under the lock: another session may have stored the event meanwhile.
        IF attempt = 1 AND NOT mnist_internal.try_lock() THEN
            RETURN;
        END IF;
    END LOOP;
    PERFORM mnist_internal.event(CASE WHEN now_holds THEN begun ELSE ended END, message, detail);
END
$$;
COMMENT ON FUNCTION mnist_internal.note_state(boolean, text, text, text, jsonb) IS
    'store an event if the state differs from the last one stored; internal';

-- For a while after a run began, drift is no reason to train.  It still goes on, so no event says that it ended.
CREATE OR REPLACE FUNCTION mnist_internal.watch(watched text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c @extschema@.mnist_retrain_decision;
    holds boolean;
BEGIN
    SELECT d.* INTO c FROM @extschema@.mnist_retrain_decision d WHERE d.condition = watched;
    holds := c.met;
    IF watched = 'drift' AND NOT c.met THEN
        SELECT d.share > c.threshold AND d.breaches >= d.breaches_needed INTO holds
        FROM @extschema@.mnist_drift_share d;
    END IF;
    IF c.value IS NOT NULL AND c.threshold IS NOT NULL THEN
        PERFORM mnist_internal.note_state(holds,
            CASE watched WHEN 'drift' THEN 'drift' ELSE 'accuracy_under_floor' END,
            CASE watched WHEN 'drift' THEN 'drift_ended' ELSE 'accuracy_recovered' END,
            format('%s: %s', watched, c.explanation),
            jsonb_build_object('value', c.value, 'threshold', c.threshold,
                'model_version', (SELECT l.version FROM @extschema@.mnist_live l)));
    END IF;
    RETURN c.met;
END
$$;
COMMENT ON FUNCTION mnist_internal.watch(text) IS
    'whether drift, or accuracy, is a reason to train; stores an event when the condition begins and ends; internal';

---------------------------------------------------------------- the check

-- If the model of the last run was rejected or rolled back, drift goes on, but training again on the same data would
-- give the same model.  Another run needs as many new labels as condition new_labels requires, or another data set.
CREATE OR REPLACE FUNCTION mnist_internal.same_data() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last @extschema@.mnist_run;
BEGIN
    SELECT r.* INTO last FROM @extschema@.mnist_run r WHERE r.status = 'succeeded' ORDER BY r.id DESC LIMIT 1;
    IF last.id IS NULL OR last.model_version = (SELECT l.version FROM @extschema@.mnist_live l)
        OR EXISTS (
            SELECT FROM @extschema@.mnist_dataset d
            WHERE d.created_at > last.started_at OR d.name <> ALL (last.datasets))
        OR (SELECT d.met FROM @extschema@.mnist_retrain_decision d WHERE d.condition = 'new_labels')
    THEN
        RETURN NULL;
    END IF;
    RETURN format('not trained again on the data of run %s, whose model is not live', last.id);
END
$$;
COMMENT ON FUNCTION mnist_internal.same_data() IS
    'why drift alone is no reason to train; NULL: it is a reason; internal';

CREATE OR REPLACE FUNCTION mnist_internal.obstacle(only_drift boolean) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    retry mnist_internal.retry;
BEGIN
    IF NOT mnist_internal.try_lock() THEN
        RETURN 'another check is under way';
    END IF;
    SELECT h.* INTO retry FROM mnist_internal.retry h;
    RETURN CASE
        WHEN NOT EXISTS (SELECT FROM @extschema@.mnist_sample s WHERE s.split = 'train') THEN
            'no base data: import some with mnist_import_idx, mnist_import_images or mnist_import_synthetic'
        WHEN retry.given_up THEN format('given up after run %s failed: %s', retry.failed_run, retry.error)
        WHEN clock_timestamp() < retry.not_before THEN format('run %s failed: %s; not tried again before %s',
            retry.failed_run, retry.error, date_trunc('second', retry.not_before))
        ELSE coalesce(mnist_internal.out_of_hours(), CASE WHEN only_drift THEN mnist_internal.same_data() END) END;
END
$$;
COMMENT ON FUNCTION mnist_internal.obstacle(boolean) IS
    'why a run that is due cannot begin now, NULL if it can; then this transaction has the lock; internal';

CREATE OR REPLACE FUNCTION mnist_internal.start_run(reasons text[], OUT run_id bigint, OUT obstacle text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    retry mnist_internal.retry;
    last_run bigint := coalesce((SELECT max(r.id) FROM @extschema@.mnist_run r), 0);
    run @extschema@.mnist_run;
    failure text;
    state text;
    began_at timestamptz := clock_timestamp();
BEGIN
    SELECT h.* INTO retry FROM mnist_internal.retry h;
    run_id := mnist_internal.retrain_by_check(reasons::text, coalesce(retry.attempt, 0) + 1,
        coalesce(retry.failed_run, 0));
EXCEPTION
    WHEN object_in_use THEN
        obstacle := 'another run is under way';
    WHEN OTHERS THEN
        -- This is a failed run, to be repeated later.  It is recorded here, unless the run got far enough to record it
        -- itself.
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, failure = MESSAGE_TEXT;
        IF NOT EXISTS (SELECT FROM @extschema@.mnist_run r WHERE r.id > last_run AND r.trigger = 'check') THEN
            INSERT INTO @extschema@.mnist_run (status, strategy, architecture, seed, parameters, parent_version,
                requested_by, pid, process_started_at, started_at, finished_at, trigger, reasons, attempt, retry_of,
                recipe_id, error, sqlstate)
            SELECT 'failed', CASE WHEN c.strategy = 'from_scratch' THEN c.strategy ELSE 'fine_tune' END,
                coalesce(l.architecture, 'unknown'), 0, '{}', l.version,
                mnist_internal.invoker(), pg_backend_pid(), began_at, began_at, clock_timestamp(), 'check',
                start_run.reasons, coalesce(retry.attempt, 0) + 1, retry.failed_run, c.recipe_id, failure, state
            FROM @extschema@.mnist_recipe c LEFT JOIN @extschema@.mnist_live l ON true
            RETURNING * INTO run;
            PERFORM mnist_internal.note_run(run);
        END IF;
        obstacle := format('it failed at once: %s', failure);
END
$$;
COMMENT ON FUNCTION mnist_internal.start_run(text[]) IS
    'begin a run for these reasons; returns its id, or why it did not begin; internal';

-- The conditions are queried one after another, and those that are switched off or cannot have changed are skipped.
-- pg_cron makes a new connection for each check, and there the first use of every table and view takes time.
CREATE OR REPLACE FUNCTION @extschema@.mnist_check(OUT retrain boolean, OUT reasons text[], OUT run_id bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s record;
    running bigint;
    look record;
    met text[];
    missing text[];
    due text[];
    obstacle text;
    said text;
BEGIN
    retrain := false;
    reasons := '{}';
    IF current_setting('transaction_read_only')::boolean THEN
        reasons := ARRAY[CASE WHEN pg_is_in_recovery()
            THEN 'this server is a standby: its primary decides' ELSE 'the transaction is read-only' END];
        RETURN;
    END IF;
    SELECT * INTO s FROM mnist_internal.settings();
    IF s.retention IS NOT NULL THEN
        PERFORM mnist_internal.retain(s.retention);
    END IF;

    PERFORM mnist_internal.watch_checks();

    -- A switch comes first: all else depends on the model that is live.
    IF EXISTS (SELECT FROM @extschema@.mnist_probation p WHERE p.outcome = 'under way') THEN
        said := mnist_internal.probation_check();
    END IF;
    IF said IS NULL AND EXISTS (
        SELECT FROM (SELECT c.* FROM @extschema@.mnist_challenger c ORDER BY c.id DESC LIMIT 1) c
        WHERE c.action = 'challenge' AND c.promote_when_better)
    THEN
        said := mnist_internal.challenge_check();
    END IF;
    IF said IS NOT NULL THEN
        reasons := ARRAY[said];
        RETURN;
    END IF;

    SELECT coalesce(array_agg(c.condition) FILTER (WHERE c.met), '{}'),
        coalesce(array_agg(c.explanation) FILTER (WHERE NOT c.met), '{}')
    INTO met, missing
    FROM mnist_internal.label_condition c;
    IF s.accuracy_floor > 0 AND mnist_internal.watch('accuracy') THEN
        met := array_append(met, 'accuracy');
    END IF;
    -- The last drift check, and whether another one is due.
    SELECT c.share,
        n.features IS NOT NULL AND n.id IS DISTINCT FROM c.last_reading
            AND coalesce(c.checked_at < clock_timestamp() - interval '1 minute', true) AS due
    INTO look
    FROM (SELECT) AS one
    LEFT JOIN (SELECT d.* FROM @extschema@.mnist_drift_check d ORDER BY d.id DESC LIMIT 1) c ON true
    LEFT JOIN (SELECT p.id, p.features FROM @extschema@.mnist_prediction p ORDER BY p.id DESC LIMIT 1) n ON true;
    IF (look.due AND mnist_internal.drift_update()) OR look.share > s.drift_threshold THEN
        IF mnist_internal.watch('drift') THEN
            met := array_append(met, 'drift');
        END IF;
    END IF;
    due := mnist_internal.due_conditions(met);

    -- A pending promotion comes first: another run would be compared with that model.
    IF EXISTS (SELECT FROM @extschema@.mnist_run r WHERE r.decision = 'promotion pending') THEN
        reasons := mnist_internal.settle_promotions();
        RETURN;
    END IF;
    SELECT r.id INTO running FROM @extschema@.mnist_run r WHERE r.status = 'running';
    IF running IS NOT NULL THEN
        IF mnist_internal.close_orphan(running) THEN
            reasons := ARRAY[format('the trainer process of run %s exited without reporting a result', running)];
        ELSE
            run_id := running;
            reasons := ARRAY[format('run %s is under way', running)];
        END IF;
        RETURN;
    END IF;
    IF due = '{}' THEN
        reasons := missing;
        RETURN;
    END IF;

    SELECT array_agg(d.explanation) INTO reasons
    FROM @extschema@.mnist_retrain_decision d
    WHERE d.met AND d.condition = ANY (due);
    obstacle := mnist_internal.obstacle(due = '{drift}');
    IF obstacle IS NULL THEN
        SELECT b.* INTO run_id, obstacle FROM mnist_internal.start_run(reasons) AS b;
        retrain := run_id IS NOT NULL;
    END IF;
    reasons := array_remove(reasons || obstacle, NULL);
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_check() IS
    'roll back a model that fails its probation, promote a challenger that is better if it was to be, or begin a '
    'training run if it is due, without waiting for it; returns whether it began one, the reasons or the obstacle, '
    'or what is missing of the conditions on labels, and the run; to be called every few minutes';
