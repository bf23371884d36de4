/*
 * The schedule: pg_cron calls mnist_housekeep, which calls mnist_check.
 *
 * pg_cron is optional, and it is installed in one database of the server, which need not be this one.  Nothing here
 * depends on its objects, so that pg_cron can be dropped and created again.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_schedule(schedule text DEFAULT '*/5 * * * *') RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_schedule';
COMMENT ON FUNCTION @extschema@.mnist_schedule(text) IS
    'have pg_cron call mnist_housekeep as the caller, on this schedule, which replaces an earlier one; returns the '
    'job''s id';

CREATE OR REPLACE FUNCTION @extschema@.mnist_unschedule() RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_unschedule';
COMMENT ON FUNCTION @extschema@.mnist_unschedule() IS
    'remove the job that calls mnist_housekeep from pg_cron; returns false if there was none';

CREATE OR REPLACE FUNCTION mnist_internal.check_job_name() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_check_job_name';
COMMENT ON FUNCTION mnist_internal.check_job_name() IS 'the name of this database''s job in pg_cron; internal';

CREATE OR REPLACE FUNCTION mnist_internal.check_job() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schedule text;
BEGIN
    IF EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') AND has_schema_privilege('cron', 'USAGE') THEN
        EXECUTE 'SELECT j.schedule FROM cron.job j WHERE j.jobname = $1 AND j.active ORDER BY j.jobid LIMIT 1'
            INTO schedule USING mnist_internal.check_job_name();
    END IF;
    RETURN schedule;
END
$$;
COMMENT ON FUNCTION mnist_internal.check_job() IS
    'the schedule of mnist_check in this database''s pg_cron; NULL: there is none; internal, but open to readers of '
    'mnist_status';

GRANT EXECUTE ON FUNCTION mnist_internal.check_job TO PUBLIC;
