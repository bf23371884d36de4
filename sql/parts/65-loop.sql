/*
 * The loop: what decides when to train, and keeps house.
 */

CREATE FUNCTION mnist_hil_retrain_by_check(reasons text, attempt int, retry_of bigint) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_retrain_by_check';
COMMENT ON FUNCTION mnist_hil_retrain_by_check(text, int, bigint) IS
    'mnist_retrain(wait => false), recorded as decided by mnist_check for these reasons (a text[] as text); internal';

CREATE FUNCTION mnist_hil_close_orphan(orphan bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    UPDATE mnist_run r
    SET status = 'failed', finished_at = clock_timestamp(), sqlstate = '57P02',
        error = 'its process ended without a word, as in a crash of the server'
    WHERE r.id = orphan AND r.status = 'running' AND NOT mnist_hil_process_alive(r.pid, r.process_started_at);
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION mnist_hil_close_orphan(bigint) IS
    'close the record of a run whose process is gone; whether it was open; internal';
