\set ECHO queries
\pset footer off

CREATE EXTENSION IF NOT EXISTS pg_cron;
\set ECHO none
-- Since 1.5 pg_cron can run a job every few seconds.
SELECT CASE WHEN substring(extversion FROM '^\d+\.\d+')::numeric >= 1.5 THEN '10 seconds'
    ELSE '* * * * *' END AS schedule
FROM pg_extension WHERE extname = 'pg_cron' \gset
\set ECHO queries
SELECT mnist_schedule(:'schedule');
SELECT jobid, schedule, command FROM cron.job;
