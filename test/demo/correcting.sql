\set ECHO queries
\pset footer off

\echo 'Somebody writes at a tilt of 50 degrees. The model has never seen that:'
\echo
\pset tuples_only on
\pset format unaligned
SELECT mnist_ascii(image) FROM demo_digit WHERE purpose = 'correct' AND truth = 4 LIMIT 1;
\pset format aligned
\pset tuples_only off
CREATE TABLE demo_reading AS
SELECT p.id, d.truth, p.label FROM demo_digit AS d, LATERAL mnist_predict(d.image) AS p WHERE d.purpose = 'correct';
SELECT count(*) AS readings, sum((label <> truth)::int) AS wrong FROM demo_reading;

\echo 'How well the live model reads, in percent: test images, and 1,000 other digits of that style:'
\echo
SELECT * FROM demo_accuracy;

\echo 'Each prediction gets the digit that it really is:'
\echo
SELECT count(mnist_correct(id, truth)) AS corrections FROM demo_reading;
SELECT label, failures, new_failures FROM mnist_failure_counts ORDER BY label;
