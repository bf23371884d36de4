-- When a schedule of pg_cron was due: against a twin that looks at every minute, and against times worked out by hand.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- Whether a value is in a field, worked out for each value by itself.
CREATE FUNCTION twin_field(field text, value int, names text[], base int) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT bool_or(
        value % coalesce(nullif(split_part(p.part, '/', 2), '')::int, 1)
            = coalesce(b.low, base) % coalesce(nullif(split_part(p.part, '/', 2), '')::int, 1)
        AND (b.low IS NULL OR value BETWEEN b.low AND b.high))
    FROM (
        SELECT n.part
        FROM regexp_split_to_table((
            -- names become numbers
            SELECT coalesce((
                WITH RECURSIVE named (i, text) AS (
                    SELECT 0, lower(field)
                    UNION ALL
                    SELECT i + 1, replace(text, names[i + 1], (i + base)::text) FROM named WHERE i < cardinality(names))
                SELECT text FROM named ORDER BY i DESC LIMIT 1), lower(field))), ',') AS n (part)) p
    CROSS JOIN LATERAL (
        SELECT nullif(split_part(split_part(p.part, '/', 1), '-', 1), '*')::int AS low,
            coalesce(nullif(split_part(split_part(p.part, '/', 1), '-', 2), ''),
                nullif(split_part(split_part(p.part, '/', 1), '-', 1), '*'))::int AS high) b
$$;
-- The three newest due times before each of two times, over two days.
CREATE TABLE schedule (schedule text);
INSERT INTO schedule VALUES ('* * * * *'), ('*/5 * * * *'), ('*/7 * * * *'), ('0 * * * *'), ('59 23 * * *'),
    ('0,15,31 * * * *'), ('5-9 * * * *'), ('5-20/4 * * * *'), ('0 */6 * * *'), ('30 1-23/5 * * *'),
    ('10,20 8-17 * * *'),
    ('0 6 * * *'), ('1 0 1 * *'), ('* * 28 2 *'), ('* * 28-31 * *'), ('0 12 * feb *'), ('0 12 * Feb,MAR *'),
    ('0 12 * jan-mar sun'), ('*/10 * * * sat,sun'), ('*/10 * * * sat'), ('0 0 * * 7'), ('0 0 * * 0'), ('0 0 * * 5-7'),
    ('0 0 1 * sun'), ('0 0 */2 * sun'), ('0 0 1 * */2'), ('3 4 29 2 fri-sat'), ('0-59/13,7 2,3-5/2,22 * 1-3 *'),
    ('0 0 1 mar *');
CREATE TABLE twin AS
SELECT s.schedule, w[3] LIKE '*%' OR w[5] LIKE '*%' AS both,
    ARRAY(SELECT v FROM generate_series(0, 59) AS v WHERE twin_field(w[1], v, '{}', 0)) AS minutes,
    ARRAY(SELECT v FROM generate_series(0, 23) AS v WHERE twin_field(w[2], v, '{}', 0)) AS hours,
    ARRAY(SELECT v FROM generate_series(1, 31) AS v WHERE twin_field(w[3], v, '{}', 1)) AS days,
    ARRAY(SELECT v FROM generate_series(1, 12) AS v
        WHERE twin_field(w[4], v, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}', 1)) AS months,
    ARRAY(SELECT v % 7 FROM generate_series(0, 7) AS v
        WHERE twin_field(w[5], v, '{sun,mon,tue,wed,thu,fri,sat}', 0)) AS weekdays
FROM schedule s, regexp_split_to_array(s.schedule, ' ') AS w;
SELECT s.schedule, at, found.due, expected.due AS expected
FROM twin s
CROSS JOIN unnest('{2026-03-01 12:34:56, 2028-03-01 00:00:30}'::timestamp[]) AS at
CROSS JOIN LATERAL (
    SELECT array_agg(d.due ORDER BY n) FILTER (WHERE d.due > at - interval '2 days') AS due
    FROM generate_series(1, 3) AS n
    CROSS JOIN LATERAL (
        SELECT mnist_internal.schedule_due(s.schedule, at AT TIME ZONE 'GMT', n) AT TIME ZONE 'GMT')
            AS d (due)) AS found
CROSS JOIN LATERAL (
    SELECT array_agg(m.minute ORDER BY m.minute DESC) AS due
    FROM (
        SELECT m.minute
        FROM generate_series(0, 2 * 1440 - 1) AS ago
        CROSS JOIN LATERAL (SELECT date_trunc('minute', at) - ago * interval '1 minute') AS m (minute)
        WHERE m.minute > at - interval '2 days' AND extract(minute FROM m.minute) = ANY (s.minutes)
            AND extract(hour FROM m.minute) = ANY (s.hours) AND extract(month FROM m.minute) = ANY (s.months)
            AND CASE WHEN s.both
                THEN extract(day FROM m.minute) = ANY (s.days) AND extract(dow FROM m.minute) = ANY (s.weekdays)
                ELSE extract(day FROM m.minute) = ANY (s.days) OR extract(dow FROM m.minute) = ANY (s.weekdays) END
        ORDER BY ago
        LIMIT 3) m) AS expected
WHERE found.due IS DISTINCT FROM expected.due;

-- Further back, in another time zone, and schedules that are not understood.
SELECT schedule, zone,
    mnist_internal.schedule_due(schedule, '2026-03-01 12:34:56+00', 1, zone) AT TIME ZONE 'GMT' AS newest,
    mnist_internal.schedule_due(schedule, '2026-03-01 12:34:56+00', 2, zone) AT TIME ZONE 'GMT' AS second
FROM (VALUES ('0 0 1 1 *', 'GMT'), ('@yearly', 'GMT'), ('@monthly', 'GMT'), ('@weekly', 'GMT'), ('@daily', 'GMT'),
    ('@Hourly', 'GMT'), ('0 0 29 2 *', 'GMT'), ('30 6 * * mon-fri', 'GMT'), ('30 6 * * mon-fri', 'America/New_York'),
    ('0 0 * * *', 'Asia/Kolkata'), ('10 seconds', 'GMT'), ('1 second', 'GMT'), (E' 5\t*  * * * ', 'GMT'),
    ('0 seconds', 'GMT'), ('@reboot', 'GMT'), ('never', 'GMT'), ('* * * *', 'GMT'), ('* * * * * *', 'GMT'),
    ('60 * * * *', 'GMT'), ('* 24 * * *', 'GMT'), ('* * 0 * *', 'GMT'), ('* * * 13 *', 'GMT'), ('* * * * 8', 'GMT'),
    ('5/10 * * * *', 'GMT'), ('*/0 * * * *', 'GMT'), ('9-5 * * * *', 'GMT'), ('1,,2 * * * *', 'GMT'),
    ('* * * foo *', 'GMT'), ('* * $ * *', 'GMT'), ('', 'GMT'), ('mon * * * *', 'GMT')) AS s (schedule, zone);

-- Reports of a kind that does not exist are not scheduled.
SELECT mnist_schedule_report('0 6 * * *', 'weekly');
SELECT mnist_schedule_report('0 6 * * *', NULL);
SELECT mnist_schedule_report(NULL);

DROP EXTENSION mnist_hil;
DROP TABLE schedule, twin;
DROP FUNCTION twin_field;
