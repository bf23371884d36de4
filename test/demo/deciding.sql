\set ECHO queries
\pset footer off

SELECT condition, value, threshold, met FROM mnist_retrain_decision;
