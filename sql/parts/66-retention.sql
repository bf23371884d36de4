/*
 * Retention: what nobody needs any more goes, where mnist_hil.retention says so.
 *
 * mnist_check calls this, in small batches, so that it takes little time and few locks at once.  Readings go in the
 * order of their ids, which is nearly that of time; how far it came is kept, so that those that stay, because people
 * said something of them, are not looked at again each time.
 */

CREATE TABLE IF NOT EXISTS @extschema@.mnist_retention (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    prediction_id  bigint NOT NULL DEFAULT 0
);
INSERT INTO @extschema@.mnist_retention DEFAULT VALUES ON CONFLICT DO NOTHING;

COMMENT ON TABLE @extschema@.mnist_retention IS 'how far mnist_check came in deleting old readings; one row';
COMMENT ON COLUMN @extschema@.mnist_retention.one IS 'true';
COMMENT ON COLUMN @extschema@.mnist_retention.prediction_id IS 'readings up to this one are gone, or stay';

-- Of what holds for a while the newest event is kept: mnist_check goes by it.
CREATE OR REPLACE FUNCTION mnist_internal.retain_events(cutoff timestamptz, batch int) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    DELETE FROM @extschema@.mnist_event
    WHERE id IN (
        SELECT e.id
        FROM @extschema@.mnist_event e
        WHERE e.created_at < cutoff AND EXISTS (SELECT FROM @extschema@.mnist_event n WHERE n.kind = e.kind AND n.id > e.id)
        LIMIT batch);
END;
COMMENT ON FUNCTION mnist_internal.retain_events(timestamptz, int) IS 'delete a batch of old events; internal';

CREATE OR REPLACE FUNCTION mnist_internal.retain_predictions(cutoff timestamptz, batch int) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    examined bigint[];
    deleted bigint;
BEGIN
    SELECT array_agg(o.id) INTO examined
    FROM (
        -- The first reading that is too young ends the batch, though later ones may be older: their turn comes.
        SELECT p.id, bool_and(p.created_at < cutoff) OVER (ORDER BY p.id) AS old
        FROM (
            SELECT r.id, r.created_at
            FROM @extschema@.mnist_prediction r
            WHERE r.id > (SELECT t.prediction_id FROM @extschema@.mnist_retention t)
            ORDER BY r.id
            LIMIT batch) p) o
    WHERE o.old;
    IF examined IS NULL THEN
        RETURN 0;
    END IF;
    -- A reading that somebody is correcting is passed over; one that was corrected meanwhile is seen to be, because the
    -- next statement looks anew.
    PERFORM FROM @extschema@.mnist_prediction p WHERE p.id = ANY (examined) FOR UPDATE SKIP LOCKED;
    WITH gone AS (
        DELETE FROM @extschema@.mnist_prediction p
        WHERE p.id IN (SELECT q.id FROM @extschema@.mnist_prediction q WHERE q.id = ANY (examined) FOR UPDATE SKIP LOCKED)
            AND NOT EXISTS (SELECT FROM @extschema@.mnist_feedback f WHERE f.prediction_id = p.id)
        RETURNING p.id
    ), shadows AS (
        DELETE FROM @extschema@.mnist_shadow s USING gone WHERE s.prediction_id = gone.id
    )
    SELECT count(*) INTO deleted FROM gone;
    UPDATE @extschema@.mnist_retention SET prediction_id = (SELECT max(e) FROM unnest(examined) AS e);
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION mnist_internal.retain_predictions(timestamptz, int) IS
    'delete what has no feedback of a batch of old readings; internal';

CREATE OR REPLACE FUNCTION mnist_internal.retain(retention interval) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cutoff timestamptz := clock_timestamp() - retention;
    old_run bigint;
BEGIN
    IF NOT EXISTS (
            SELECT FROM @extschema@.mnist_prediction p
            WHERE p.created_at < cutoff AND p.id = (
                SELECT min(n.id) FROM @extschema@.mnist_prediction n WHERE n.id > (SELECT t.prediction_id FROM @extschema@.mnist_retention t)))
        AND NOT EXISTS (
            SELECT FROM @extschema@.mnist_event e
            WHERE e.created_at < cutoff AND EXISTS (SELECT FROM @extschema@.mnist_event n WHERE n.kind = e.kind AND n.id > e.id))
        AND NOT EXISTS (
            SELECT FROM @extschema@.mnist_run r
            WHERE r.finished_at < cutoff AND r.id = (SELECT min(t.run_id) FROM @extschema@.mnist_trial t))
        OR NOT mnist_internal.try_lock()
    THEN
        RETURN;
    END IF;
    PERFORM mnist_internal.retain_predictions(cutoff, 10000);
    PERFORM mnist_internal.retain_events(cutoff, 1000);

    SELECT r.id INTO old_run
    FROM @extschema@.mnist_run r
    WHERE r.finished_at < cutoff AND r.id = (SELECT min(t.run_id) FROM @extschema@.mnist_trial t);
    DELETE FROM @extschema@.mnist_metric m WHERE m.run_id = old_run AND m.trial > 0;
    DELETE FROM @extschema@.mnist_trial t WHERE t.run_id = old_run;
END
$$;
COMMENT ON FUNCTION mnist_internal.retain(interval) IS
    'delete a batch of old readings without feedback, old events, and an old run''s trials; internal';
