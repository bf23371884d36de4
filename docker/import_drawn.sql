-- Import digits that the extension draws.  entrypoint.sh runs it.
SELECT mnist_import_synthetic('synthetic', n => 12000);
ANALYZE mnist_sample;
