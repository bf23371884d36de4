/*
 * Erasing the data of a person or of an image.
 *
 * A person's data are the labels that they gave as an annotator, and their name in rows that only describe other rows:
 * events and reports.  The names of those who trained, imported or switched stay on record for accountability, and so
 * do the reasons that people gave.  mnist_erase reports where the name remains.
 *
 * An image's data are its prediction with the image and its features, the challenger's prediction, all feedback on it,
 * and the reports that show it.  The histograms of drift are counts over many predictions and do not contain it.
 *
 * What a model learnt from feedback cannot be removed from its weights.  The result lists the models that were trained
 * on the feedback, and their descendants.
 *
 * Locks are taken in this order: on the log of reports, against reports in the making; on the snapshots, against a run
 * that begins; on the predictions, against annotators who label them.  So a label is either given before and erased, or
 * given afterwards and refused because the prediction is gone, and no run trains on erased feedback.  Rows are read
 * after each lock, which requires READ COMMITTED.
 */

CREATE OR REPLACE FUNCTION mnist_internal.name_pattern(name text) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    -- the name itself, as HTML, and inside a JSON string
    SELECT '(^|[^[:alnum:]_])('
        || regexp_replace(name, '(\W)', '\\\1', 'g') || '|'
        || regexp_replace(mnist_internal.html(name), '(\W)', '\\\1', 'g') || '|'
        || regexp_replace(regexp_replace(to_jsonb(name)::text, '^"|"$', '', 'g'), '(\W)', '\\\1', 'g')
        || ')($|[^[:alnum:]_])';
END;
COMMENT ON FUNCTION mnist_internal.name_pattern(text) IS
    'a regular expression that matches a text that contains the name as a whole word; internal';

-- Call this before the feedback is deleted, because that removes it from the records of runs.
CREATE OR REPLACE FUNCTION mnist_internal.feedback_runs(
    feedback_ids bigint[], OUT run_id bigint, OUT learnt boolean, OUT used bigint)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT u.run_id, bool_or(u.split = 'train' AND u.weight > 0), count(*)
    FROM @extschema@.mnist_run_feedback u
    WHERE u.feedback_id = ANY (feedback_ids)
    GROUP BY u.run_id;
END;
COMMENT ON FUNCTION mnist_internal.feedback_runs(bigint[]) IS
    'the runs whose snapshot has any of this feedback, whether they trained on it, and how much of it there was; '
    'internal';

CREATE OR REPLACE FUNCTION mnist_internal.learnt_from(runs bigint[]) RETURNS int[]
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH RECURSIVE learnt AS (
        SELECT m.version FROM @extschema@.mnist_model m WHERE m.run_id = ANY (runs)
        UNION
        SELECT m.version FROM learnt l JOIN @extschema@.mnist_model m ON m.parent_version = l.version
    )
    SELECT coalesce(array_agg(l.version ORDER BY l.version), '{}')
    FROM learnt l
    JOIN @extschema@.mnist_model m ON m.version = l.version
    WHERE m.weights IS NOT NULL;
END;
COMMENT ON FUNCTION mnist_internal.learnt_from(bigint[]) IS
    'the models that these runs made, and their descendants, without those whose weights were pruned; internal';

-- A page shows the id of the prediction beside each image.  Images are found by that, and by their pixels, because the
-- page may show an equal image.
CREATE OR REPLACE FUNCTION mnist_internal.erase_reports(annotator text, predictions bigint[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    WITH shown AS (
        SELECT l.id, i.match[1] AS prediction, NULL AS picture
        FROM @extschema@.mnist_report_log l
        CROSS JOIN LATERAL regexp_matches(l.page, '(?:\mreading|\mprediction|\mno\.) (\d{1,19})\M', 'g') AS i (match)
        UNION ALL
        SELECT l.id, NULL, u.match[1]
        FROM @extschema@.mnist_report_log l
        CROSS JOIN LATERAL regexp_matches(l.page, 'base64,([A-Za-z0-9+/=]+)', 'g') AS u (match)
    ), erased AS (
        SELECT p.id::text AS prediction,
            substring(mnist_internal.picture(p.image, '') FROM 'base64,([A-Za-z0-9+/=]+)') AS picture
        FROM @extschema@.mnist_prediction p
        WHERE p.id = ANY (predictions) AND EXISTS (SELECT FROM @extschema@.mnist_report_log)
    )
    DELETE FROM @extschema@.mnist_report_log l
    WHERE l.page ~ mnist_internal.name_pattern(erase_reports.annotator)
        OR l.requested_by::text = erase_reports.annotator
        OR l.id IN (SELECT s.id FROM shown s JOIN erased e ON e.prediction = s.prediction)
        OR l.id IN (SELECT s.id FROM shown s JOIN erased e ON e.picture = s.picture);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION mnist_internal.erase_reports(text, bigint[]) IS
    'delete the reports that show one of these predictions or name this annotator; returns how many; internal';

CREATE OR REPLACE FUNCTION mnist_internal.erase_events(annotator text) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM @extschema@.mnist_event e
        WHERE concat_ws(' ', e.message, e.detail) ~ mnist_internal.name_pattern(erase_events.annotator)
        RETURNING 1
    )
    SELECT count(*) FROM gone;
END;
COMMENT ON FUNCTION mnist_internal.erase_events(text) IS
    'delete the events that name this annotator; returns how many; internal';

CREATE OR REPLACE FUNCTION mnist_internal.named_in(annotator text, OUT what text, OUT named bigint) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH record (place, what, words) AS (
        SELECT 1, 'mnist_run', concat_ws(' ', r.requested_by, r.verdict, r.error, array_to_string(r.reasons, ' '))
        FROM @extschema@.mnist_run r
        UNION ALL
        SELECT 2, 'mnist_model', m.created_by::text FROM @extschema@.mnist_model m
        UNION ALL
        SELECT 3, 'mnist_deployment', concat_ws(' ', d.deployed_by, d.reason) FROM @extschema@.mnist_deployment d
        UNION ALL
        SELECT 4, 'mnist_challenger', concat_ws(' ', c.decided_by, c.reason) FROM @extschema@.mnist_challenger c
        UNION ALL
        SELECT 5, 'mnist_dataset', concat_ws(' ', s.created_by, s.name) FROM @extschema@.mnist_dataset s
        UNION ALL
        SELECT 6, 'mnist_drift_reference', f.created_by::text FROM @extschema@.mnist_drift_reference f
    )
    SELECT t.what, count(r.words)
    FROM (VALUES (1, 'mnist_run'), (2, 'mnist_model'), (3, 'mnist_deployment'), (4, 'mnist_challenger'),
        (5, 'mnist_dataset'), (6, 'mnist_drift_reference')) AS t (place, what)
    LEFT JOIN record r ON r.place = t.place AND r.words ~ mnist_internal.name_pattern(named_in.annotator)
    GROUP BY t.place, t.what
    ORDER BY t.place;
END;
COMMENT ON FUNCTION mnist_internal.named_in(text) IS
    'how many rows name this annotator in the tables that record who did what, by table, zeros included; internal';

-- The locks on the predictions make the returned ids complete: an annotator who labels one of the predictions has
-- committed, or waits for this transaction.
CREATE OR REPLACE FUNCTION mnist_internal.erase_lock(annotator text, predictions bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    feedback_ids bigint[];
BEGIN
    LOCK TABLE @extschema@.mnist_report_log IN EXCLUSIVE MODE;
    -- A run that has begun either takes its snapshot before this lock, and then erase_used refuses, or after the
    -- commit.
    LOCK TABLE mnist_internal.run_snapshot IN SHARE ROW EXCLUSIVE MODE;
    PERFORM FROM @extschema@.mnist_prediction p
    WHERE p.id = ANY (predictions)
        OR p.id IN (
            SELECT f.prediction_id FROM @extschema@.mnist_feedback f WHERE f.annotator::text = erase_lock.annotator)
    ORDER BY p.id
    FOR UPDATE;
    SELECT coalesce(array_agg(l.id), '{}') INTO feedback_ids
    FROM (
        SELECT f.id
        FROM @extschema@.mnist_feedback f
        WHERE f.annotator::text = erase_lock.annotator OR f.prediction_id = ANY (predictions)
        ORDER BY f.id
        FOR UPDATE) l;
    RETURN feedback_ids;
END
$$;
COMMENT ON FUNCTION mnist_internal.erase_lock(text, bigint[]) IS
    'lock what mnist_erase is about to delete; returns the ids of the feedback; internal';

CREATE OR REPLACE FUNCTION mnist_internal.erase_used(feedback_ids bigint[], OUT runs bigint[], OUT removed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    running bigint;
BEGIN
    SELECT coalesce(array_agg(e.run_id) FILTER (WHERE e.learnt), '{}'), coalesce(sum(e.used), 0),
        min(r.id) FILTER (WHERE r.status = 'running' AND mnist_internal.process_alive(r.pid, r.process_started_at))
    INTO runs, removed, running
    FROM mnist_internal.feedback_runs(feedback_ids) e
    LEFT JOIN @extschema@.mnist_run r ON r.id = e.run_id;
    IF running IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_in_use',
            MESSAGE = format('run %s is under way and uses feedback that is to be erased', running),
            DETAIL = 'Its model would be trained on it.',
            HINT = format(
                'Wait for its end, or cancel it: SELECT pg_terminate_backend(pid) FROM mnist_run WHERE id = %s.',
                running);
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.erase_used(bigint[]) IS
    'the runs that trained on this feedback, and how often it is in the records of runs; an error if a run that uses '
    'it is under way; internal';

-- After ANALYZE the planner's statistics contain only values of the remaining rows.  A table that is being vacuumed is
-- skipped and keeps its old statistics until the next ANALYZE.
CREATE OR REPLACE FUNCTION mnist_internal.analyze_erased() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    ANALYZE (SKIP_LOCKED) @extschema@.mnist_prediction, @extschema@.mnist_shadow, @extschema@.mnist_feedback,
        @extschema@.mnist_label, mnist_internal.snapshot_exception, mnist_internal.run_excluded,
        mnist_internal.feedback_image, @extschema@.mnist_report_log, @extschema@.mnist_event;
END
$$;
COMMENT ON FUNCTION mnist_internal.analyze_erased() IS
    'remove what was erased from the planner''s statistics; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_erase(annotator text DEFAULT NULL, predictions bigint[] DEFAULT NULL,
    OUT what text, OUT removed bigint, OUT kept bigint, OUT model_versions int[])
    RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 14
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    feedback bigint[];
    used record;
    labels bigint;
    shadows bigint;
    reports bigint;
    events bigint;
    pictures bigint;
    learnt int[];
BEGIN
    IF mnist_erase.annotator IS NULL AND mnist_erase.predictions IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'annotator and predictions must not both be null',
            HINT = 'Name the annotator whose traces are to go, or give the ids of the predictions, or both.';
    END IF;
    IF current_setting('transaction_isolation') NOT LIKE 'read%' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('mnist_erase does not work in a %s transaction', current_setting('transaction_isolation')),
            DETAIL = 'Its snapshot would hide what was added since.',
            HINT = 'Call it in a READ COMMITTED transaction.';
    END IF;

    feedback := mnist_internal.erase_lock(mnist_erase.annotator, mnist_erase.predictions);
    used := mnist_internal.erase_used(feedback);
    learnt := mnist_internal.learnt_from(used.runs);
    SELECT count(*) INTO labels FROM @extschema@.mnist_label l WHERE l.feedback_ids && feedback;
    SELECT count(*) INTO shadows FROM @extschema@.mnist_shadow s WHERE s.prediction_id = ANY (mnist_erase.predictions);
    reports := mnist_internal.erase_reports(mnist_erase.annotator, mnist_erase.predictions);
    -- Triggers update mnist_label and mnist_shadow.
    DELETE FROM @extschema@.mnist_feedback f WHERE f.id = ANY (feedback);
    DELETE FROM @extschema@.mnist_prediction p WHERE p.id = ANY (mnist_erase.predictions);
    GET DIAGNOSTICS pictures = ROW_COUNT;
    events := mnist_internal.erase_events(mnist_erase.annotator);
    IF pictures > 0 OR cardinality(feedback) > 0 THEN
        PERFORM mnist_internal.event('data_erased',
            format('%s predictions and %s rows of feedback were erased', pictures, cardinality(feedback)),
            jsonb_strip_nulls(jsonb_build_object('predictions', pictures, 'feedback', cardinality(feedback),
                'learnt_by', learnt, 'erased_by', nullif(mnist_internal.invoker()::text, mnist_erase.annotator))));
    END IF;
    PERFORM mnist_internal.analyze_erased();

    RETURN QUERY
        SELECT t.what, t.removed, 0::bigint, NULL::int[]
        FROM (VALUES ('mnist_prediction', pictures), ('mnist_shadow', shadows),
            ('mnist_feedback', cardinality(feedback)), ('mnist_label', labels),
            ('mnist_run_feedback', used.removed), ('mnist_report_log', reports), ('mnist_event', events))
            AS t (what, removed)
        UNION ALL
        SELECT n.what, 0, n.named, NULL FROM mnist_internal.named_in(mnist_erase.annotator) n
        UNION ALL
        SELECT 'weights', 0, cardinality(learnt), learnt;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_erase(text, bigint[]) IS
    'delete an annotator''s feedback with the reports and events that name the annotator, or predictions with their '
    'images and feedback, or both; returns what was deleted and what is kept, by table; the last row has the model '
    'versions whose weights were trained on it';
