\set ECHO queries
\pset footer off

\pset expanded on
SELECT id, status, promoted, verdict, model_version, date_trunc('second', finished_at - started_at) AS took
FROM mnist_run WHERE id = :run;
\pset expanded off
SELECT * FROM demo_accuracy;

\echo 'Back to the model before, and forth again; each is one statement:'
\echo
SELECT mnist_rollback('the demo shows it');
SELECT * FROM demo_accuracy;
SELECT version AS trained FROM mnist_model WHERE run_id = :run \gset
SELECT mnist_activate(:trained, 'the demo is over');
SELECT * FROM demo_accuracy;
\pset format wrapped
\pset columns 110
SELECT id, version, action, reason, deployed_by, deployed_at::timestamp(0) FROM mnist_deployment ORDER BY id;
