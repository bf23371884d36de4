/*
 * Retention: old rows are deleted as mnist_hil.retention says.
 *
 * mnist_check deletes one batch in its transaction.  mnist_housekeep, which pg_cron calls, continues batch by batch,
 * with a commit after each, until nothing is left or its time is up.
 *
 * A pass visits the predictions by age.  The position is stored, so that predictions that stay because they have
 * feedback are not visited again by each batch.  A pass can miss predictions: it skips a row that an annotator is just
 * labelling; it cannot see a row that commits late; and a row that stays may lose its feedback afterwards.  So when a
 * pass has ended, another one begins at the oldest row: a day after the pass before it began, or after as long as the
 * retention if that is shorter, but not within an hour.  It visits every old prediction that has feedback, and finds
 * what was missed.
 *
 * Rows with feedback are never locked, and other rows are skipped if they are locked.  So an annotator waits for a
 * batch only if it is deleting that very prediction, and retention does not wait for row locks.
 */

CREATE TABLE IF NOT EXISTS @extschema@.mnist_retention (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    prediction_id  bigint NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT '-infinity',
    begun_at       timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO @extschema@.mnist_retention DEFAULT VALUES ON CONFLICT DO NOTHING;

COMMENT ON TABLE @extschema@.mnist_retention IS 'how far the deletion of old predictions has come; one row';
COMMENT ON COLUMN @extschema@.mnist_retention.one IS 'true';
COMMENT ON COLUMN @extschema@.mnist_retention.prediction_id IS
    'the prediction reached, in the order of created_at and id: those before it are deleted, or stay until the next '
    'pass';
COMMENT ON COLUMN @extschema@.mnist_retention.created_at IS 'its mnist_prediction.created_at';
COMMENT ON COLUMN @extschema@.mnist_retention.begun_at IS 'when this pass began at the oldest prediction';

SELECT pg_extension_config_dump('@extschema@.mnist_retention', 'WHERE false');

CREATE INDEX IF NOT EXISTS mnist_prediction_by_age ON @extschema@.mnist_prediction (created_at, id);

CREATE OR REPLACE FUNCTION mnist_internal.try_retention_lock() RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_try_retention_lock';
COMMENT ON FUNCTION mnist_internal.try_retention_lock() IS
    'take the lock of retention until the transaction ends; false: another session has it; internal';

-- The newest event of each kind is kept, because mnist_check uses it.  These few events stay among the first rows.
CREATE OR REPLACE FUNCTION mnist_internal.old_events(cutoff timestamptz, batch int) RETURNS SETOF bigint
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.id
    FROM (SELECT f.id, f.created_at, f.kind FROM @extschema@.mnist_event f ORDER BY f.id LIMIT batch) e
    WHERE e.created_at < cutoff
        AND EXISTS (SELECT FROM @extschema@.mnist_event n WHERE n.kind = e.kind AND n.id > e.id);
END;
COMMENT ON FUNCTION mnist_internal.old_events(timestamptz, int) IS
    'old events that may be deleted, among the first rows; internal';

CREATE OR REPLACE FUNCTION mnist_internal.old_trials(cutoff timestamptz) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.id
    FROM @extschema@.mnist_run r
    WHERE r.finished_at < cutoff AND r.id = (SELECT min(t.run_id) FROM @extschema@.mnist_trial t);
END;
COMMENT ON FUNCTION mnist_internal.old_trials(timestamptz) IS
    'the first run that has trials, if it is old, else NULL; internal';

/*
 * The next old predictions of the pass, by age.  If there are none and the next pass is due, these are the first ones
 * of that pass.  The index finds them at once.  The settings force its use, because the planner may not have statistics
 * of the table yet.
 */
CREATE OR REPLACE FUNCTION mnist_internal.old_predictions(
    retention interval, cutoff timestamptz, batch int,
    OUT ids bigint[], OUT last_created_at timestamptz, OUT anew boolean)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
AS $$
DECLARE
    at @extschema@.mnist_retention;
BEGIN
    SELECT t.* INTO at FROM @extschema@.mnist_retention t;
    anew := at.created_at = '-infinity';
    LOOP
        SELECT array_agg(o.id ORDER BY o.created_at, o.id), max(o.created_at) INTO ids, last_created_at
        FROM (
            SELECT p.id, p.created_at
            FROM @extschema@.mnist_prediction p
            WHERE (p.created_at, p.id) > (at.created_at, at.prediction_id) AND p.created_at < cutoff
            ORDER BY p.created_at, p.id
            LIMIT batch) o;
        EXIT WHEN ids IS NOT NULL OR anew
            OR at.begun_at > clock_timestamp() - least(greatest(retention, interval '1 hour'), interval '1 day');
        anew := true;
        at.created_at := '-infinity';
        at.prediction_id := 0;
    END LOOP;
END
$$;
COMMENT ON FUNCTION mnist_internal.old_predictions(interval, timestamptz, int) IS
    'the next batch of old predictions; anew: whether they are the oldest and begin another pass; internal';

CREATE OR REPLACE FUNCTION mnist_internal.retain_predictions(retention interval, cutoff timestamptz, batch int)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old record;
    locked bigint[];
BEGIN
    SELECT o.* INTO old FROM mnist_internal.old_predictions(retention, cutoff, batch) o;
    IF old.ids IS NULL THEN
        RETURN false;
    END IF;
    SELECT array_agg(l.id) INTO locked
    FROM (
        SELECT p.id
        FROM @extschema@.mnist_prediction p
        WHERE p.id = ANY (old.ids)
            AND NOT EXISTS (SELECT FROM @extschema@.mnist_feedback f WHERE f.prediction_id = p.id)
        FOR UPDATE SKIP LOCKED) l;
    -- This statement has a new snapshot, and sees labels that were given before the row was locked.
    DELETE FROM @extschema@.mnist_prediction p
    WHERE p.id = ANY (locked) AND NOT EXISTS (SELECT FROM @extschema@.mnist_feedback f WHERE f.prediction_id = p.id);
    UPDATE @extschema@.mnist_retention t
    SET prediction_id = old.ids[cardinality(old.ids)], created_at = old.last_created_at,
        begun_at = CASE WHEN old.anew THEN clock_timestamp() ELSE t.begun_at END;
    RETURN cardinality(old.ids) = batch;
END
$$;
COMMENT ON FUNCTION mnist_internal.retain_predictions(interval, timestamptz, int) IS
    'delete those of a batch of old predictions that have no feedback; returns whether there may be more; internal';

CREATE OR REPLACE FUNCTION mnist_internal.retain(retention interval) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cutoff timestamptz := clock_timestamp() - retention;
    predictions constant int := 5000;               -- in a batch: about 0.2 s
    events constant int := 1000;
    old_run bigint;
    deleted bigint;
    more boolean;
BEGIN
    -- A transaction that keeps one snapshot would not see feedback that commits while it deletes.
    IF current_setting('transaction_isolation') NOT LIKE 'read%'
        OR (SELECT o.ids IS NULL FROM mnist_internal.old_predictions(retention, cutoff, 1) o)
            AND NOT EXISTS (SELECT FROM mnist_internal.old_events(cutoff, 100))
            AND mnist_internal.old_trials(cutoff) IS NULL
        OR NOT mnist_internal.try_retention_lock()
    THEN
        RETURN false;
    END IF;
    more := mnist_internal.retain_predictions(retention, cutoff, predictions);

    DELETE FROM @extschema@.mnist_event e
    WHERE e.id IN (SELECT o.id FROM mnist_internal.old_events(cutoff, events) AS o (id));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    more := more OR deleted > 0;

    old_run := mnist_internal.old_trials(cutoff);
    IF old_run IS NOT NULL THEN
        DELETE FROM @extschema@.mnist_metric m WHERE m.run_id = old_run AND m.trial > 0;
        DELETE FROM @extschema@.mnist_trial t WHERE t.run_id = old_run;
        more := true;
    END IF;
    RETURN more;
END
$$;
COMMENT ON FUNCTION mnist_internal.retain(interval) IS
    'delete a batch of old predictions without feedback, of old events, and an old run''s trials; returns whether '
    'there may be more; internal';

CREATE OR REPLACE PROCEDURE @extschema@.mnist_housekeep()
    LANGUAGE c
    AS 'MODULE_PATHNAME', 'mnist_housekeep';
COMMENT ON PROCEDURE @extschema@.mnist_housekeep() IS
    'call mnist_check, then delete what mnist_hil.retention allows, in batches with a commit after each, for at most '
    'mnist_hil.retention_budget; pg_cron calls this';
