-- The extension, and digits that it draws itself as base data.
\set ECHO queries
CREATE EXTENSION mnist_hil;

SELECT mnist_import_synthetic('synthetic', n => 30000);
SELECT d.name, s.split, count(*) AS images
FROM mnist_dataset d JOIN mnist_sample s ON s.dataset_id = d.id
GROUP BY 1, 2 ORDER BY 1, 2;

\set ECHO none
ANALYZE mnist_sample;
\ir style.sql
