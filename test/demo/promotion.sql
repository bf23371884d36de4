\set ECHO queries
\pset footer off
\pset format wrapped
\pset columns 100

SELECT id, created_at::timestamp(0), kind, message FROM mnist_event ORDER BY id DESC LIMIT 1;
\pset expanded on
SELECT id AS run, trigger, reasons, status, promoted, model_version,
    date_trunc('second', finished_at - started_at) AS took
FROM mnist_run WHERE id = :run;
\pset expanded off
SELECT * FROM demo_accuracy;
