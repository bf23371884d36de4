\set ECHO queries
\pset footer off

-- What pg_cron did.
SELECT runid, command, status, return_message, start_time::timestamp(0)
FROM cron.job_run_details ORDER BY runid DESC LIMIT 3;
SELECT check_schedule, last_check::timestamp(0), last_check_status, last_run_status
FROM mnist_status;
