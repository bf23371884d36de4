-- Import MNIST from directory :directory, which has the four IDX files, plain or gzipped.  entrypoint.sh runs it.
SELECT :'directory' || '/train-images-idx3-ubyte' AS train_images,
    :'directory' || '/train-labels-idx1-ubyte' AS train_labels,
    :'directory' || '/t10k-images-idx3-ubyte' AS test_images,
    :'directory' || '/t10k-labels-idx1-ubyte' AS test_labels \gset
SELECT CASE WHEN pg_stat_file(:'train_images', true) IS NULL THEN '.gz' ELSE '' END AS gz \gset
SELECT mnist_import_idx('mnist', 'train', pg_read_binary_file(:'train_images' || :'gz'),
    pg_read_binary_file(:'train_labels' || :'gz'));
SELECT mnist_import_idx('mnist', 'test', pg_read_binary_file(:'test_images' || :'gz'),
    pg_read_binary_file(:'test_labels' || :'gz'));
ANALYZE mnist_sample;
