-- One line while the demo waits for pg_cron: when it will run the job, and what it ran last.
SELECT to_char(clock_timestamp(), 'HH24:MI:SS') || '  '
    || CASE WHEN schedule = '* * * * *'
        THEN format('pg_cron runs the job in %s s',
            60 - extract(second FROM clock_timestamp())::int)
        ELSE format('pg_cron runs the job every %s', schedule) END
FROM cron.job;
