-- The extension, and MNIST as base data; :directory holds the four IDX files.
\set ECHO queries
CREATE EXTENSION mnist_hil;

\set ECHO none
SELECT :'directory' || '/train-images-idx3-ubyte' AS train_images,
    :'directory' || '/train-labels-idx1-ubyte' AS train_labels,
    :'directory' || '/t10k-images-idx3-ubyte' AS test_images,
    :'directory' || '/t10k-labels-idx1-ubyte' AS test_labels \gset
-- As published the files end in .gz.
SELECT CASE WHEN pg_stat_file(:'train_images', true) IS NULL THEN '.gz' ELSE '' END AS gz \gset
\set train_images :train_images :gz
\set train_labels :train_labels :gz
\set test_images :test_images :gz
\set test_labels :test_labels :gz
\set ECHO queries
SELECT mnist_import_idx('mnist', 'train',
    pg_read_binary_file(:'train_images'),
    pg_read_binary_file(:'train_labels'));
SELECT mnist_import_idx('mnist', 'test',
    pg_read_binary_file(:'test_images'),
    pg_read_binary_file(:'test_labels'));
SELECT d.name, s.split, count(*) AS images
FROM mnist_dataset d JOIN mnist_sample s ON s.dataset_id = d.id
GROUP BY 1, 2 ORDER BY 1, 2;

\set ECHO none
ANALYZE mnist_sample;
\ir style.sql
