-- The first start of a container: the extensions, and the schedule.  entrypoint.sh runs it.
CREATE EXTENSION pg_cron;
CREATE EXTENSION mnist_hil;

-- The job runs as mnist_trainer, which is no superuser.  On PostgreSQL 15 and 16 a job's role must be able to log in.
-- Nobody can log in as mnist_trainer, because it has no password unless MNIST_TRAINER_PASSWORD gives it one.
CREATE ROLE mnist_trainer LOGIN;
SELECT mnist_grant('trainer', 'mnist_trainer');
GRANT USAGE ON SCHEMA cron TO mnist_trainer;

SET SESSION AUTHORIZATION mnist_trainer;
SELECT mnist_schedule('* * * * *');
SELECT cron.schedule('mnist_history', '0 3 * * *',
    $$DELETE FROM cron.job_run_details WHERE end_time < now() - interval '7 days'$$);
