\set ECHO queries
\pset footer off

\echo 'Somebody writes at a tilt of 50 degrees. The model has never seen that:'
\echo
\pset tuples_only on
\pset format unaligned
SELECT mnist_ascii(image) FROM demo_digit WHERE purpose = 'correct' AND truth = 4 LIMIT 1;
\pset format aligned
\pset tuples_only off
CREATE TABLE demo_prediction AS
SELECT p.id, d.truth, p.label
FROM demo_digit AS d, LATERAL mnist_predict(d.image) AS p
WHERE d.purpose = 'correct';
SELECT count(*) AS predictions, sum((label <> truth)::int) AS wrong FROM demo_prediction;

\echo 'Accuracy of the live model in percent, on test images and on other digits of that style:'
\echo
SELECT * FROM demo_accuracy;

\echo 'Each prediction gets the digit that it really is:'
\echo
SELECT count(mnist_correct(id, truth)) AS corrections FROM demo_prediction;
SELECT label, failures, new_failures FROM mnist_failure_counts ORDER BY label;
