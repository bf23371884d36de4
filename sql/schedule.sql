/*
 * The schedule: pg_cron calls mnist_housekeep, which calls mnist_check.
 *
 * pg_cron is optional, and it is installed in one database of the server, which need not be this one.  Nothing here
 * depends on its objects, so that it can be dropped and created.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_schedule(schedule text DEFAULT '*/5 * * * *') RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_schedule';
COMMENT ON FUNCTION @extschema@.mnist_schedule(text) IS
    'have pg_cron call mnist_housekeep as the caller, on this schedule, which replaces an earlier one; returns the job''s id';

CREATE OR REPLACE FUNCTION @extschema@.mnist_unschedule() RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_unschedule';
COMMENT ON FUNCTION @extschema@.mnist_unschedule() IS
    'have pg_cron call mnist_housekeep no more; false: it was not scheduled';

CREATE OR REPLACE FUNCTION mnist_internal.check_job_name() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_check_job_name';
COMMENT ON FUNCTION mnist_internal.check_job_name() IS 'what the job of this database is called; internal';

-- The numbers that a field of a cron schedule stands for; NULL if it is not understood.
CREATE OR REPLACE FUNCTION mnist_internal.cron_field(field text, low int, high int, names text[]) RETURNS int[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH item AS (
        SELECT regexp_match(i.item, '^(?:(\*)|(\d+|[a-z]{3})(?:-(\d+|[a-z]{3}))?)(?:/(\d+))?$') AS part
        FROM regexp_split_to_table(lower(field), ',') AS i (item)
    ), range AS (
        SELECT part IS NOT NULL AS understood,
            CASE WHEN part[1] IS NOT NULL THEN low
                ELSE coalesce(array_position(names, part[2]) + low - 1,
                    CASE WHEN part[2] ~ '^\d{1,4}$' THEN part[2]::int END) END AS first,
            CASE WHEN part[1] IS NOT NULL OR (part[3] IS NULL AND part[4] IS NOT NULL) THEN high
                ELSE coalesce(array_position(names, coalesce(part[3], part[2])) + low - 1,
                    CASE WHEN coalesce(part[3], part[2]) ~ '^\d{1,4}$' THEN coalesce(part[3], part[2])::int END) END AS last,
            coalesce(CASE WHEN part[4] ~ '^\d{1,4}$' THEN part[4]::int END, 1) AS step
        FROM item
    )
    SELECT CASE WHEN bool_and(r.understood AND r.first >= low AND r.last <= high AND r.first <= r.last AND r.step > 0)
        THEN (
            SELECT array_agg(DISTINCT n ORDER BY n)
            FROM range s, generate_series(s.first, s.last, greatest(s.step, 1)) AS n) END
    FROM range r;
END;
COMMENT ON FUNCTION mnist_internal.cron_field(text, int, int, text[]) IS
    'the numbers that a field of a cron schedule stands for, NULL if it is not understood; internal';

CREATE OR REPLACE FUNCTION mnist_internal.cron_next(schedule text, after timestamptz, zone text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words text[] := regexp_split_to_array(btrim(CASE lower(btrim(schedule))
        WHEN '@hourly' THEN '0 * * * *'
        WHEN '@daily' THEN '0 0 * * *'
        WHEN '@midnight' THEN '0 0 * * *'
        WHEN '@weekly' THEN '0 0 * * 0'
        WHEN '@monthly' THEN '0 0 1 * *'
        WHEN '@yearly' THEN '0 0 1 1 *'
        WHEN '@annually' THEN '0 0 1 1 *'
        ELSE schedule END), '\s+');
    minutes int[] := mnist_internal.cron_field(words[1], 0, 59, '{}');
    hours int[] := mnist_internal.cron_field(words[2], 0, 23, '{}');
    days int[] := mnist_internal.cron_field(words[3], 1, 31, '{}');
    months int[] := mnist_internal.cron_field(words[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
    weekdays int[] := mnist_internal.cron_field(words[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
    -- A day must be one of the days or of the weekdays where both are given, else it must be both.
    either boolean := words[3] NOT LIKE '*%' AND words[5] NOT LIKE '*%';
    here timestamp := date_trunc('minute', after AT TIME ZONE zone) + interval '1 minute';
    found timestamp;
BEGIN
    IF words[1] ~ '^[1-9]\d?$' AND words[2] IN ('second', 'seconds') AND words[3] IS NULL THEN
        RETURN after + words[1]::int * interval '1 second';
    END IF;
    IF cardinality(words) <> 5 OR minutes IS NULL OR hours IS NULL OR days IS NULL OR months IS NULL OR weekdays IS NULL
    THEN
        RETURN NULL;
    END IF;
    -- The first day that fits may be today and have no time left.
    SELECT d.day + make_interval(hours => h, mins => m) INTO found
    FROM (
        SELECT c.day
        FROM (
            SELECT here::date + i AS day,
                extract(month FROM here::date + i)::int = ANY (months) AS in_month,
                extract(day FROM here::date + i)::int = ANY (days) AS on_day,
                ARRAY[extract(dow FROM here::date + i)::int, extract(isodow FROM here::date + i)::int] && weekdays
                    AS on_weekday
            FROM generate_series(0, 8 * 366) AS i) c
        WHERE c.in_month AND CASE WHEN either THEN c.on_day OR c.on_weekday ELSE c.on_day AND c.on_weekday END
        ORDER BY c.day
        LIMIT 2) d,
        unnest(hours) AS h, unnest(minutes) AS m
    WHERE d.day + make_interval(hours => h, mins => m) >= here
    ORDER BY 1
    LIMIT 1;
    RETURN found AT TIME ZONE zone;
END
$$;
COMMENT ON FUNCTION mnist_internal.cron_next(text, timestamptz, text) IS
    'when a cron schedule comes due next after a time, NULL if it is not understood or never; internal';

CREATE OR REPLACE FUNCTION mnist_internal.check_job(OUT schedule text, OUT next_check timestamptz)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') OR NOT has_schema_privilege('cron', 'USAGE') THEN
        RETURN;
    END IF;
    EXECUTE 'SELECT j.schedule FROM cron.job j WHERE j.jobname = $1 AND j.active ORDER BY j.jobid LIMIT 1'
        INTO schedule USING mnist_internal.check_job_name();
    next_check := mnist_internal.cron_next(schedule, clock_timestamp(), coalesce(current_setting('cron.timezone', true), 'GMT'));
END
$$;
COMMENT ON FUNCTION mnist_internal.check_job() IS
    'the schedule of mnist_check in this database''s pg_cron, and when it comes due next; internal, but open to readers of mnist_status';

GRANT EXECUTE ON FUNCTION mnist_internal.check_job TO PUBLIC;
