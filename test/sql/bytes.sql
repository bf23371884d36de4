-- also: not preloaded
-- The bytes of an image: a limit on how many there are, and what of them is stored.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
LOAD 'mnist_hil';

-- A PNG, and the same with bytes behind its end, so that it has as many as wanted.
CREATE FUNCTION pg_temp.sized(png bytea, size int) RETURNS bytea LANGUAGE sql AS $$
    SELECT png || decode(repeat('2a', size - length(png)), 'hex')
$$;
CREATE TEMP TABLE png AS SELECT mnist_draw(7, 3, 100) AS image;

---------------------------------------------------------------- what follows the end of a PNG

SELECT label FROM mnist_predict((SELECT pg_temp.sized(image, 20000) FROM png));
SELECT count(*)
FROM mnist_predict_batch((SELECT ARRAY[image, pg_temp.sized(image, 100000), NULL,
    pg_temp.sized(image, length(image) + 1)] FROM png));
-- A value that is stored out of line, and compressed.
CREATE TEMP TABLE stored AS SELECT pg_temp.sized(image, 500000) AS image FROM png;
SELECT label FROM stored, mnist_predict(image);
SELECT count(*) AS stored, count(*) FILTER (WHERE p.image = png.image) AS without_the_rest FROM mnist_prediction p, png;
-- What stands before the end is stored as it came: here a text chunk.
SELECT label FROM mnist_predict((
    SELECT substr(image, 1, 33) || '\x0000000974455874' || convert_to('Author', 'UTF8') || '\x006d65' || '\x062070fa'
        || substr(image, 34) FROM png)) AS r;
SELECT length(p.image) - length(png.image) AS more FROM mnist_prediction p, png ORDER BY p.id DESC LIMIT 1;
-- Raw pixels, with whatever in them, are stored as they are.
SELECT id IS NOT NULL AS raw FROM mnist_predict(substr(decode(repeat('0049454e44ae42608200', 100), 'hex'), 1, 784));
SELECT length(image) FROM mnist_prediction ORDER BY id DESC LIMIT 1;

---------------------------------------------------------------- the limit

SHOW mnist_hil.max_image_bytes;
-- By default a megabyte: so many, and one more, in every function that takes an image.
CREATE TEMP TABLE at_limit AS SELECT pg_temp.sized(image, 1048576) AS allowed, pg_temp.sized(image, 1048577) AS refused
FROM png;
SELECT function, public.outcome(format('SELECT * FROM at_limit, %s(allowed)', function)) AS allowed,
    public.outcome(format('SELECT * FROM at_limit, %s(refused)', function)) AS refused
FROM unnest('{mnist_predict,mnist_classify,mnist_probabilities,mnist_preprocess,mnist_ascii,mnist_features,'
    'mnist_explain,mnist_explanation}'::text[]) AS function;
SELECT public.outcome('SELECT * FROM at_limit, mnist_predict_batch(ARRAY[allowed, refused])');
SELECT public.outcome('SELECT mnist_import_images(''large'', ''train'', ARRAY[refused], ARRAY[7]) FROM at_limit');

SET mnist_hil.max_image_bytes = '2kB';
SELECT public.outcome('SELECT mnist_classify(pg_temp.sized(image, 2048)) FROM png') AS allowed,
    public.outcome('SELECT mnist_classify(pg_temp.sized(image, 2049)) FROM png') AS refused;
SET mnist_hil.max_image_bytes = 784;
SELECT public.outcome('SELECT mnist_classify(mnist_internal.synthetic(3, 1))') AS raw_pixels;
SELECT left(public.outcome('SET mnist_hil.max_image_bytes = 783'), 5) AS too_low,
    public.outcome('SET mnist_hil.max_image_bytes = ''1GB''') AS highest;
SET mnist_hil.max_image_bytes = 784;

-- What is stored was allowed when it came: it can be corrected, and read again, whatever the limits are by now.
SET mnist_hil.max_image_pixels = 784;
SELECT mnist_correct(min(id), 7) IS NOT NULL AS corrected FROM mnist_prediction;
SELECT count(mnist_internal.features(image, 1)) FROM mnist_prediction;
SELECT public.outcome('SELECT mnist_classify(image) FROM png') AS but_not_anew;
RESET mnist_hil.max_image_pixels;
RESET mnist_hil.max_image_bytes;

-- Not for users to change.
CREATE ROLE regress_mnist_bytes;
SET ROLE regress_mnist_bytes;
SET mnist_hil.max_image_bytes = '1MB';
RESET ROLE;
DROP ROLE regress_mnist_bytes;

DROP EXTENSION mnist_hil;
