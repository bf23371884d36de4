-- The extension, and digits that it draws itself as base data; :images says how many.
\set ECHO queries
CREATE EXTENSION mnist_hil;

SELECT mnist_import_synthetic('synthetic', n => :images);
SELECT d.name, s.split, count(*) AS images
FROM mnist_dataset d JOIN mnist_sample s ON s.dataset_id = d.id
GROUP BY 1, 2 ORDER BY 1, 2;

\set ECHO none
ANALYZE mnist_sample;
\ir style.sql
