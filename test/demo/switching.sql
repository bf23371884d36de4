\set ECHO queries
\pset footer off

SELECT mnist_rollback('the demo shows it');
SELECT * FROM demo_accuracy;
\set ECHO none
SELECT version AS trained FROM mnist_model WHERE run_id = :run \gset
\set ECHO queries
SELECT mnist_activate(:trained, 'the demo is over');
SELECT * FROM demo_accuracy;
\pset format wrapped
\pset columns 100
SELECT id, version, action, reason, deployed_at::timestamp(0) FROM mnist_deployment ORDER BY id;
