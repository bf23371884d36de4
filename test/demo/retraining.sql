\set ECHO queries
\pset footer off
SELECT run_id FROM mnist_retrain(seed => 1, wait => false);
