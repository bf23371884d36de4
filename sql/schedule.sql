/*
 * The schedules: pg_cron calls mnist_housekeep, which calls mnist_check, and mnist_report.
 *
 * pg_cron is optional, and it is installed in one database of the server, which need not be this one.  Nothing here
 * depends on its objects, so that pg_cron can be dropped and created again.
 *
 * If pg_cron is in this database, its table cron.job_run_details shows whether checks arrive and succeed.  That table
 * has a row for each run of any job and an index on runid alone.  So only its newest 10,000 rows are read, from the
 * newest backwards.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_schedule(schedule text DEFAULT '*/5 * * * *') RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_schedule';
COMMENT ON FUNCTION @extschema@.mnist_schedule(text) IS
    'have pg_cron call mnist_housekeep as the caller, on this schedule, which replaces an earlier one of any role; '
    'returns the job''s id, and warns if the job may not be able to log in';

CREATE OR REPLACE FUNCTION @extschema@.mnist_unschedule() RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_unschedule';
COMMENT ON FUNCTION @extschema@.mnist_unschedule() IS
    'remove the job that calls mnist_housekeep from pg_cron, whoever scheduled it; returns false if there was none';

CREATE OR REPLACE FUNCTION @extschema@.mnist_schedule_report(schedule text DEFAULT '0 6 * * *',
    kind text DEFAULT 'full') RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_schedule_report';
COMMENT ON FUNCTION @extschema@.mnist_schedule_report(text, text) IS
    'have pg_cron call mnist_report(kind) as the caller, on this schedule, which replaces an earlier one of any role; '
    'returns the job''s id, and warns if the job may not be able to log in';

CREATE OR REPLACE FUNCTION @extschema@.mnist_unschedule_report() RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_unschedule_report';
COMMENT ON FUNCTION @extschema@.mnist_unschedule_report() IS
    'remove the job that calls mnist_report from pg_cron, whoever scheduled it; returns false if there was none';

CREATE OR REPLACE FUNCTION mnist_internal.check_job_name() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_check_job_name';
COMMENT ON FUNCTION mnist_internal.check_job_name() IS 'the name of this database''s job in pg_cron; internal';

---------------------------------------------------------------- when a schedule was due

CREATE OR REPLACE FUNCTION mnist_internal.schedule_field(field text, low int, high int, names text[]) RETURNS int[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item text;
    part text[];
    first int;
    last int;
    step int;
    numbers int[] := '{}';
BEGIN
    IF field = '*' THEN
        RETURN ARRAY(SELECT n FROM generate_series(high, low, -1) AS n);
    END IF;
    FOREACH item IN ARRAY string_to_array(lower(field), ',') LOOP
        -- *, 3, mon, 1-5, mon-fri, and a step behind * or a range
        part := regexp_match(item, '^(?:(\*)|(\d{1,2}|[a-z]{3})(?:-(\d{1,2}|[a-z]{3}))?)(?:/(\d{1,2}))?$');
        first := CASE WHEN part[1] = '*' THEN low
            WHEN part[2] ~ '^\d' THEN part[2]::int
            ELSE array_position(names, part[2]) + low - 1 END;
        last := CASE WHEN part[1] = '*' THEN high
            WHEN part[3] ~ '^\d' THEN part[3]::int
            WHEN part[3] IS NOT NULL THEN array_position(names, part[3]) + low - 1
            ELSE first END;
        step := coalesce(part[4]::int, 1);
        IF first < low OR last > high OR first > last OR step = 0 OR first IS NULL OR last IS NULL
            OR part[4] IS NOT NULL AND part[1] IS NULL AND part[3] IS NULL
        THEN
            RETURN NULL;
        END IF;
        numbers := numbers || ARRAY(SELECT n FROM generate_series(first, last, step) AS n);
    END LOOP;
    RETURN ARRAY(SELECT DISTINCT n FROM unnest(numbers) AS n ORDER BY n DESC);
END
$$;
COMMENT ON FUNCTION mnist_internal.schedule_field(text, int, int, text[]) IS
    'the numbers that a field of a cron schedule stands for, the highest first; names: of the numbers from low on; '
    'NULL: not understood; internal';

CREATE OR REPLACE FUNCTION mnist_internal.schedule_due(schedule text, at timestamptz, n int, zone text DEFAULT 'GMT')
    RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words text[] := regexp_split_to_array(btrim(
        CASE lower(btrim(schedule))
            WHEN '@hourly' THEN '0 * * * *'
            WHEN '@daily' THEN '0 0 * * *'
            WHEN '@midnight' THEN '0 0 * * *'
            WHEN '@weekly' THEN '0 0 * * 0'
            WHEN '@monthly' THEN '0 0 1 * *'
            WHEN '@yearly' THEN '0 0 1 1 *'
            WHEN '@annually' THEN '0 0 1 1 *'
            ELSE schedule END, E' \t'), '[ \t]+');
    minutes int[];
    hours int[];
    days int[];
    months int[];
    weekdays int[];
    either boolean;
    here timestamp := at AT TIME ZONE zone;
    day date;
    hour int;
    minute int;
    moment timestamp;
    left_over int := n;
BEGIN
    IF words[1] ~ '^[1-9]\d?$' AND lower(words[2]) IN ('second', 'seconds') AND words[3] IS NULL THEN
        RETURN at - n * words[1]::int * interval '1 second';
    END IF;
    IF cardinality(words) <> 5 THEN
        RETURN NULL;
    END IF;
    minutes := mnist_internal.schedule_field(words[1], 0, 59, '{}');
    hours := mnist_internal.schedule_field(words[2], 0, 23, '{}');
    days := mnist_internal.schedule_field(words[3], 1, 31, '{}');
    months := mnist_internal.schedule_field(words[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
    weekdays := mnist_internal.schedule_field(words[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
    IF minutes IS NULL OR hours IS NULL OR days IS NULL OR months IS NULL OR weekdays IS NULL THEN
        RETURN NULL;
    END IF;
    -- A day must be one of the days or of the weekdays where both are given, and else both.
    either := words[3] NOT LIKE '*%' AND words[5] NOT LIKE '*%';
    FOR ago IN 0 .. 800 LOOP
        day := here::date - ago;
        CONTINUE WHEN extract(month FROM day)::int <> ALL (months)
            OR CASE WHEN either
                THEN extract(day FROM day)::int <> ALL (days)
                    AND NOT ARRAY[extract(dow FROM day)::int, extract(isodow FROM day)::int] && weekdays
                ELSE extract(day FROM day)::int <> ALL (days)
                    OR NOT ARRAY[extract(dow FROM day)::int, extract(isodow FROM day)::int] && weekdays END;
        FOREACH hour IN ARRAY hours LOOP
            CONTINUE WHEN day + make_time(hour, 0, 0) > here;
            FOREACH minute IN ARRAY minutes LOOP
                moment := day + make_time(hour, minute, 0);
                CONTINUE WHEN moment > here;
                left_over := left_over - 1;
                IF left_over = 0 THEN
                    RETURN moment AT TIME ZONE zone;
                END IF;
            END LOOP;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.schedule_due(text, timestamptz, int, text) IS
    'when a schedule of pg_cron was due, up to a time: the n-th newest such minute; NULL: more than 800 days ago, or '
    'the schedule is not understood; internal';

---------------------------------------------------------------- whether checks arrive

/*
 * A due time counts when a minute has passed since, because pg_cron takes a moment to begin a job.
 *
 * The statements name pg_cron's tables, which need not exist: PL/pgSQL looks them up when it first runs a statement,
 * and keeps its plan.  Other scans are off, because plans must follow the index on runid whatever the statistics of
 * cron.job_run_details, which mostly has none.
 */
CREATE OR REPLACE FUNCTION mnist_internal.check_job(OUT schedule text, OUT job_id bigint, OUT last_check timestamptz,
    OUT last_check_status text, OUT failing_since timestamptz, OUT last_start timestamptz, OUT overdue boolean,
    OUT is_this boolean)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
DECLARE
    job record;
    oldest bigint;
    finished record;
    newest record;
    success record;
    scheduled_at timestamptz;
    due timestamptz;
    recent boolean;
    at timestamptz := clock_timestamp() - interval '1 minute';
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') OR NOT has_schema_privilege('cron', 'USAGE')
    THEN
        RETURN;
    END IF;
    SELECT j.jobid, j.schedule, j.active INTO job
    FROM cron.job j
    WHERE j.jobname = mnist_internal.check_job_name()
    ORDER BY j.active DESC, j.jobid
    LIMIT 1;
    IF job.jobid IS NULL THEN
        RETURN;
    END IF;
    schedule := CASE WHEN job.active THEN job.schedule END;
    job_id := job.jobid;

    oldest := (SELECT max(d.runid) - 10000 FROM cron.job_run_details d);
    SELECT d.runid, d.status, d.job_pid, d.start_time INTO newest
    FROM cron.job_run_details d
    WHERE d.jobid = job.jobid AND d.runid > oldest
    ORDER BY d.runid DESC
    LIMIT 1;
    is_this := newest.status IS NOT DISTINCT FROM 'running' AND newest.job_pid = pg_backend_pid();
    last_start := CASE WHEN NOT is_this THEN newest.start_time END;
    IF newest.runid IS NOT NULL THEN
        SELECT d.runid, d.status, coalesce(d.end_time, d.start_time) AS at INTO finished
        FROM cron.job_run_details d
        WHERE d.jobid = job.jobid AND d.runid > oldest AND d.runid <= newest.runid
            AND d.status IN ('succeeded', 'failed')
        ORDER BY d.runid DESC
        LIMIT 1;
        last_check := finished.at;
        last_check_status := finished.status;
        IF last_start IS NULL THEN
            SELECT d.start_time INTO last_start
            FROM cron.job_run_details d
            WHERE d.jobid = job.jobid AND d.runid > oldest AND d.runid < newest.runid AND d.start_time IS NOT NULL
            ORDER BY d.runid DESC
            LIMIT 1;
        END IF;
    END IF;

    -- The second newest due time is at least this long ago, so that mostly it need not be computed.
    recent := last_start >= at - interval '1 minute'
        * CASE WHEN job.schedule ~ '^\*/([2-6]|10|12|15|20|30) ' THEN substring(job.schedule FROM 3 FOR 2)::int
            WHEN job.schedule ~ 'sec' THEN 0
            ELSE 1 END;
    IF last_check_status = 'failed' OR recent IS NOT TRUE THEN
        -- when the job was made: no check was due before
        SELECT e.created_at INTO scheduled_at
        FROM @extschema@.mnist_event e
        WHERE e.kind = 'checks_scheduled' AND (e.detail ->> 'job_id')::bigint = job.jobid
        ORDER BY e.id DESC
        LIMIT 1;
    END IF;
    IF last_check_status = 'failed' THEN
        SELECT d.runid, d.end_time INTO success
        FROM cron.job_run_details d
        WHERE d.jobid = job.jobid AND d.runid > oldest AND d.status = 'succeeded'
        ORDER BY d.runid DESC
        LIMIT 1;
        -- pg_cron records no time for a job that could not connect
        SELECT coalesce(d.start_time, success.end_time, scheduled_at, d.end_time) INTO failing_since
        FROM cron.job_run_details d
        WHERE d.jobid = job.jobid AND d.runid > coalesce(success.runid, oldest) AND d.status = 'failed'
        ORDER BY d.runid
        LIMIT 1;
    END IF;

    IF coalesce(current_setting('cron.log_run', true), 'on') = 'off' THEN
        RETURN;
    ELSIF recent THEN
        overdue := false;
    ELSIF last_start IS NOT NULL OR scheduled_at IS NOT NULL THEN
        due := mnist_internal.schedule_due(job.schedule, at, 2,
            coalesce(current_setting('cron.timezone', true), 'GMT'));
        overdue := CASE
            WHEN last_start >= due THEN false
            WHEN greatest(last_start, scheduled_at) < due THEN true END;
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.check_job() IS
    'the job of mnist_check in this database''s pg_cron: its schedule (NULL if it is not active), its last finished '
    'run, since when its runs have failed, when its newest run began other than the one that calls this function '
    '(is_this), and whether two runs that were due did not begin; NULL: there is none, or unknown; internal, but open '
    'to readers of mnist_status';

GRANT EXECUTE ON FUNCTION mnist_internal.check_job TO PUBLIC;

-- A run of the job finds out that there was a gap before it, and ends the gap.
CREATE OR REPLACE FUNCTION mnist_internal.watch_checks() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job record;
    detail jsonb;
BEGIN
    SELECT c.* INTO job FROM mnist_internal.check_job() AS c;
    IF job.job_id IS NULL THEN
        RETURN;
    END IF;
    detail := jsonb_strip_nulls(jsonb_build_object('job_id', job.job_id, 'schedule', job.schedule,
        'last_start', job.last_start, 'last_check', job.last_check, 'failing_since', job.failing_since));
    IF job.overdue THEN
        PERFORM mnist_internal.note_state(true, 'checks_stopped', 'checks_resumed',
            format('no check began at the last two times that were due%s',
                ', the last one at ' || date_trunc('second', job.last_start)), detail);
    END IF;
    IF job.is_this OR NOT job.overdue THEN
        PERFORM mnist_internal.note_state(false, 'checks_stopped', 'checks_resumed',
            format('checks begin again on schedule %s', job.schedule), detail);
    END IF;
    IF job.last_check_status IS NOT NULL THEN
        PERFORM mnist_internal.note_state(job.last_check_status = 'failed', 'checks_failing', 'checks_recovered',
            CASE job.last_check_status WHEN 'failed' THEN format('scheduled checks fail since %s',
                coalesce(date_trunc('second', job.failing_since)::text, 'an unknown time'))
                ELSE 'scheduled checks succeed again' END, detail);
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.watch_checks() IS
    'store an event when scheduled checks stop to begin or begin again, and when they fail or succeed again; internal';

---------------------------------------------------------------- making the job

CREATE OR REPLACE FUNCTION mnist_internal.note_schedule(job text, id bigint, schedule text, role text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM mnist_internal.event(
        CASE WHEN job = 'report' AND schedule = '' THEN 'reports_unscheduled'
            WHEN job = 'report' THEN 'reports_scheduled'
            WHEN schedule = '' THEN 'checks_unscheduled'
            ELSE 'checks_scheduled' END,
        format(CASE schedule WHEN '' THEN '%1$ss are not scheduled any more, by role %3$s'
            ELSE '%1$ss are scheduled as %2$s, by role %3$s' END, job, schedule, role),
        jsonb_strip_nulls(jsonb_build_object('job_id', id, 'schedule', nullif(schedule, ''), 'role', role)));
END
$$;
COMMENT ON FUNCTION mnist_internal.note_schedule(text, bigint, text, text) IS
    'store an event about a schedule that was made, or removed if it is empty; job: check or report; internal';

-- What pg_hba.conf says about a connection from this server to itself.  Libpq takes the first address of "localhost"
-- that accepts a connection, and does not try another one if the authentication fails.
CREATE OR REPLACE FUNCTION mnist_internal.login_rule(login name, target inet, OUT line int, OUT method text,
    OUT options text[])
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT r.line_number, r.auth_method, r.options INTO line, method, options
    FROM pg_hba_file_rules() WITH ORDINALITY AS r
    WHERE r.error IS NULL
        AND CASE WHEN target IS NULL THEN r.type = 'local'
            ELSE r.type = 'host' OR r.type = CASE current_setting('ssl') WHEN 'on' THEN 'hostssl' ELSE 'hostnossl' END
            END
        AND (r.database && ARRAY['all', current_database()::text]
            OR (r.database @> '{sameuser}' AND login = current_database())
            OR EXISTS (
                SELECT FROM pg_roles g
                WHERE (r.database @> '{samerole}' AND g.rolname = current_database()
                        OR '+' || g.rolname = ANY (r.database))
                    AND pg_has_role(login, g.oid, 'MEMBER')))
        AND (r.user_name && ARRAY['all', login::text]
            OR EXISTS (
                SELECT FROM pg_roles g
                WHERE '+' || g.rolname = ANY (r.user_name) AND pg_has_role(login, g.oid, 'MEMBER')))
        AND CASE WHEN target IS NULL OR r.address IN ('all', 'samehost', 'samenet', 'localhost') THEN true
            -- host names have no netmask
            WHEN r.netmask IS NULL OR r.address !~ '^[0-9A-Fa-f.:]+$' OR family(r.address::inet) <> family(target)
            THEN false
            ELSE (r.address::inet & r.netmask::inet) = (target & r.netmask::inet) END
    ORDER BY r.ordinality
    LIMIT 1;
END
$$;
COMMENT ON FUNCTION mnist_internal.login_rule(name, inet) IS
    'the first line of pg_hba.conf that applies if a role connects to this database from this server, to an address, '
    'or to the socket if it is NULL; internal';

CREATE OR REPLACE FUNCTION mnist_internal.login_problem(role name, job bigint, host text, workers boolean, os_user text)
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    addresses inet[] := CASE WHEN host LIKE '/%' OR host LIKE '@%' THEN ARRAY[NULL::inet]
        WHEN lower(host) = 'localhost' THEN '{127.0.0.1,::1}'
        WHEN host ~ '^[0-9.]+$|:' THEN ARRAY[host::inet] END;
    address inet;
    rule record;
    found_one boolean := false;
    needed int := 3 + current_setting('mnist_hil.training_workers')::int;
BEGIN
    IF NOT has_database_privilege(role, current_database(), 'CONNECT') THEN
        RETURN format('Role "%s" lacks the privilege CONNECT on database "%s".', role, current_database());
    END IF;
    IF workers THEN
        -- pg_cron's own worker, that of logical replication, the job, and the processes of a run
        IF current_setting('max_worker_processes')::int < needed THEN
            RETURN format('Jobs run in background workers, and max_worker_processes is %s: a job that begins a run '
                'needs %s.', current_setting('max_worker_processes'), needed);
        END IF;
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user AND r.rolsuper) OR addresses IS NULL
        OR (SELECT c.last_check_status FROM mnist_internal.check_job() AS c WHERE c.job_id = job) = 'succeeded'
    THEN
        RETURN NULL;                -- nobody can tell, or it has logged in
    END IF;
    IF addresses[1] IS NOT NULL AND current_setting('listen_addresses') = '' THEN
        RETURN format('pg_cron connects to host "%s", and the server does not listen on TCP (listen_addresses).', host);
    END IF;
    FOREACH address IN ARRAY addresses LOOP
        SELECT l.* INTO rule FROM mnist_internal.login_rule(role, address) AS l;
        CONTINUE WHEN rule.line IS NULL;
        found_one := true;
        CONTINUE WHEN rule.method = 'trust'
            OR (rule.method = 'peer' AND rule.options IS NULL AND role = os_user);
        RETURN format('pg_cron connects to host "%s" as role "%s", and line %s of pg_hba.conf asks for %s.',
            host, role, rule.line, rule.method);
    END LOOP;
    IF NOT found_one THEN
        RETURN format('pg_cron connects to host "%s" as role "%s", and no line of pg_hba.conf allows that.', host,
            role);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.login_problem(name, bigint, text, boolean, text) IS
    'why a job of this role may not be able to log in; host: cron.host; workers: cron.use_background_workers; os_user: '
    'as which the server runs; NULL: nothing is known against it; internal';
