-- also: not preloaded
-- The settings: units, ranges, defaults, who may set them, and that they do what they say.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
LOAD 'mnist_hil';

SELECT name, vartype, unit, min_val, max_val, boot_val, context
FROM pg_settings WHERE name LIKE 'mnist_hil.%' AND name <> 'mnist_hil.shared_memory' ORDER BY name COLLATE "C";
-- shared_memory is fixed at server start where the library is preloaded.
SELECT name, vartype, unit, min_val, boot_val FROM pg_settings WHERE name = 'mnist_hil.shared_memory';
SELECT count(*) FILTER (WHERE short_desc IS NULL OR extra_desc IS NULL) AS without_description
FROM pg_settings WHERE name LIKE 'mnist_hil.%';

SET mnist_hil.max_image_pixels = 783;
SET mnist_hil.epochs = -1;
SET mnist_hil.training_workers = 0;

-- What is on record is not for applications to decide.
CREATE ROLE regress_mnist_app;
SET ROLE regress_mnist_app;
SET mnist_hil.log_predictions = off;
SET mnist_hil.max_image_pixels = 100000000;
SET mnist_hil.epochs = 3;
RESET mnist_hil.epochs;
RESET ROLE;
DROP ROLE regress_mnist_app;

-- An image of 100 x 100 is within 10,000 pixels and not within 9,999.
SET mnist_hil.max_image_pixels = 10000;
SELECT length(mnist_preprocess(mnist_draw(5, 1, 100)));
SET mnist_hil.max_image_pixels = 9999;
\set VERBOSITY sqlstate
SELECT length(mnist_preprocess(mnist_draw(5, 1, 100)));
\set VERBOSITY default
RESET mnist_hil.max_image_pixels;

-- log_predictions off: nothing is stored, the id is null, everything else is as ever.
SET mnist_hil.log_predictions = off;
SELECT id, label IS NOT NULL AS label, confidence = probabilities[label + 1] AS confidence, model_version
FROM mnist_predict(mnist_draw(4));
SELECT id, label IS NOT NULL AS label, model_version FROM mnist_predict_batch(ARRAY[mnist_draw(4), NULL]);
BEGIN READ ONLY;
SELECT id FROM mnist_predict(mnist_draw(4));
COMMIT;
SELECT count(*) FROM mnist_prediction;
RESET mnist_hil.log_predictions;
SELECT id FROM mnist_predict(mnist_draw(4));
SELECT count(*) FROM mnist_prediction;

DROP EXTENSION mnist_hil;
