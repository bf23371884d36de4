/*
 * Feedback: what people say of readings, and what it comes to.
 *
 * mnist_feedback holds every word that was said.  mnist_label holds what they come to, one row a labelled reading;
 * it is kept by triggers, because resolving 100,000 labels on every look takes longer than a look may take.  Two
 * annotators of one reading are serialised by a lock on the reading, so that the second counts the first one's
 * vote.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_correct(id bigint, label int) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    feedback_id bigint;
BEGIN
    IF mnist_correct.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'id must not be null',
            HINT = 'Give the id that mnist_predict returned; it is NULL where mnist_hil.log_predictions is off.';
    END IF;
    IF mnist_correct.label IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'label must not be null',
            HINT = 'Give the digit that the image shows, 0 to 9.';
    END IF;
    IF mnist_correct.label NOT BETWEEN 0 AND 9 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('label %s is out of range', mnist_correct.label),
            HINT = 'Give the digit that the image shows, 0 to 9.';
    END IF;

    INSERT INTO @extschema@.mnist_feedback (prediction_id, label, predicted_label, model_version, challenge_id, challenger_label,
        annotator, pixels_sha256)
    SELECT p.id, mnist_correct.label, p.label, p.model_version, p.challenge_id, s.label,
        mnist_internal.invoker(), sha256(mnist_internal.pixels(p.image))
    FROM @extschema@.mnist_prediction p
    LEFT JOIN @extschema@.mnist_shadow s ON s.prediction_id = p.id
    WHERE p.id = mnist_correct.id
    FOR KEY SHARE OF p
    RETURNING mnist_feedback.id INTO feedback_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'no_data_found',
            MESSAGE = format('reading %s does not exist', mnist_correct.id),
            DETAIL = 'It was never stored, its transaction has not committed, or it was deleted.',
            HINT = 'Give the id that mnist_predict returned.';
    END IF;
    RETURN feedback_id;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_correct(bigint, int) IS
    'say which digit a reading shows; replaces what the caller said of it before, or affirms a label that mnist_doubted shows; returns the feedback''s id';

---------------------------------------------------------------- what feedback comes to

-- The plan is generic because planning takes several times as long as resolving one reading; it has no join that
-- could go wrong.
CREATE OR REPLACE FUNCTION mnist_internal.resolve(readings bigint[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO @extschema@.mnist_label AS l (prediction_id, label, predicted_label, model_version, challenge_id,
        challenger_label, votes, annotators, new, pixels_sha256, held_out, feedback_ids, predicted_at, confidence)
    SELECT r.prediction_id,
        CASE WHEN count(DISTINCT r.label) FILTER (WHERE r.votes = r.most_votes) = 1
            THEN min(r.label) FILTER (WHERE r.votes = r.most_votes) END,
        (array_agg(r.predicted_label ORDER BY r.id DESC))[1],
        (array_agg(r.model_version ORDER BY r.id DESC))[1],
        (array_agg(r.challenge_id ORDER BY r.id DESC))[1],
        (array_agg(r.challenger_label ORDER BY r.id DESC))[1],
        max(r.votes),
        count(*),
        true,
        (array_agg(r.pixels_sha256 ORDER BY r.id DESC))[1],
        (array_agg(r.held_out ORDER BY r.id DESC))[1],
        array_agg(r.id ORDER BY r.id DESC),
        (SELECT p.created_at FROM @extschema@.mnist_prediction p WHERE p.id = r.prediction_id),
        (SELECT p.confidence FROM @extschema@.mnist_prediction p WHERE p.id = r.prediction_id)
    FROM (
        SELECT v.*, max(v.votes) OVER (PARTITION BY v.prediction_id) AS most_votes
        FROM (
            SELECT n.*, count(*) OVER (PARTITION BY n.prediction_id, n.label) AS votes
            FROM (
                SELECT DISTINCT ON (f.prediction_id, f.annotator) f.*
                FROM @extschema@.mnist_feedback f
                WHERE f.prediction_id = ANY (readings)
                ORDER BY f.prediction_id, f.annotator, f.id DESC) n) v) r
    GROUP BY r.prediction_id
    ON CONFLICT (prediction_id) DO UPDATE SET
        label = excluded.label, predicted_label = excluded.predicted_label, model_version = excluded.model_version,
        challenge_id = excluded.challenge_id, challenger_label = excluded.challenger_label, votes = excluded.votes,
        annotators = excluded.annotators, new = excluded.new,
        pixels_sha256 = excluded.pixels_sha256, held_out = excluded.held_out, feedback_ids = excluded.feedback_ids,
        predicted_at = excluded.predicted_at, confidence = excluded.confidence;
END
$$;
COMMENT ON FUNCTION mnist_internal.resolve(bigint[]) IS
    'write what the feedback on these readings comes to into mnist_label, as new; internal';

-- The snapshot of a completed run has all that earlier ones had, so the newest one says what was used.
CREATE OR REPLACE FUNCTION mnist_internal.used_feedback() RETURNS int8multirange
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(range_agg(s.added), '{}')
    FROM mnist_internal.snapshot s
    WHERE s.id <= (
        SELECT max(u.snapshot_id)
        FROM mnist_internal.run_snapshot u
        JOIN @extschema@.mnist_run r ON r.id = u.run_id
        WHERE r.status = 'succeeded');
END;
COMMENT ON FUNCTION mnist_internal.used_feedback() IS 'ids of the feedback that completed runs have used; internal';

-- A run that has come to its end waits for nobody, and cannot be the victim of a deadlock: a row that somebody is
-- correcting is passed over and stays new, which it is anyway once the correction commits.  The condition on
-- feedback_ids is evaluated on the row as it is once locked: a word said meanwhile stays new.
CREATE OR REPLACE FUNCTION mnist_internal.note_used(readings bigint[]) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH free AS (
        SELECT l.prediction_id
        FROM @extschema@.mnist_label l
        WHERE l.new AND l.prediction_id = ANY (readings)
        FOR UPDATE SKIP LOCKED
    )
    UPDATE @extschema@.mnist_label l
    SET new = false
    FROM free
    WHERE l.prediction_id = free.prediction_id
        AND NOT EXISTS (
            SELECT FROM unnest(l.feedback_ids) AS b (id)
            WHERE NOT b.id <@ (SELECT mnist_internal.used_feedback()));
END;
COMMENT ON FUNCTION mnist_internal.note_used(bigint[]) IS
    'note in mnist_label which of these readings rest on feedback that completed runs have used; internal';

CREATE OR REPLACE FUNCTION mnist_internal.note_all_used() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.note_used(array_agg(l.prediction_id)) FROM @extschema@.mnist_label l WHERE l.new;
END;
COMMENT ON FUNCTION mnist_internal.note_all_used() IS
    'note in mnist_label what is no longer new; takes the longer the more is new; internal';

-- Feedback that is added is new, but for a dump that is restored, whose snapshots may be there already.
CREATE OR REPLACE FUNCTION mnist_internal.feedback_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changes bigint;
    readings bigint[];
    oldest bigint;
    compact boolean;
BEGIN
    SELECT count(*), array_agg(DISTINCT c.prediction_id), min(c.id), bool_or(c.id % 1000 = 0)
    INTO changes, readings, oldest, compact
    FROM changed c;
    IF changes = 0 THEN
        RETURN NULL;
    END IF;
    PERFORM FROM @extschema@.mnist_prediction p
    WHERE p.id IN (SELECT c.prediction_id FROM changed c)
    ORDER BY p.id
    FOR NO KEY UPDATE;

    IF TG_OP = 'DELETE' THEN
        DELETE FROM mnist_internal.snapshot_exception e WHERE e.feedback_id IN (SELECT c.id FROM changed c);
        DELETE FROM mnist_internal.run_excluded e WHERE e.feedback_id IN (SELECT c.id FROM changed c);
        DELETE FROM @extschema@.mnist_label l WHERE l.prediction_id = ANY (readings);
        changes := -changes;
    END IF;
    PERFORM mnist_internal.resolve(readings);
    IF TG_OP = 'DELETE' OR oldest <= (SELECT s.newest FROM mnist_internal.snapshot s ORDER BY s.id DESC LIMIT 1) THEN
        PERFORM mnist_internal.note_used(readings);
    END IF;
    INSERT INTO mnist_internal.tally (feedback) VALUES (changes);
    IF compact THEN
        PERFORM mnist_internal.compact_tally();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.feedback_changed() IS 'trigger that keeps mnist_label, and counts; internal';

CREATE OR REPLACE TRIGGER mnist_feedback_added AFTER INSERT ON @extschema@.mnist_feedback
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.feedback_changed();
CREATE OR REPLACE TRIGGER mnist_feedback_erased AFTER DELETE ON @extschema@.mnist_feedback
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.feedback_changed();

-- Runs come to their end in src/training_record.c; this is for a record that is restored from a dump.
CREATE OR REPLACE FUNCTION mnist_internal.snapshot_used() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM used u JOIN @extschema@.mnist_run r ON r.id = u.run_id WHERE r.status = 'succeeded') THEN
        PERFORM mnist_internal.note_all_used();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.snapshot_used() IS
    'trigger that notes in mnist_label what is no longer new, where the run has succeeded; internal';

CREATE OR REPLACE TRIGGER mnist_run_snapshot_added AFTER INSERT ON mnist_internal.run_snapshot
    REFERENCING NEW TABLE AS used
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.snapshot_used();
