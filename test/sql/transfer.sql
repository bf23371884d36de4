-- also: not preloaded
-- Models as files: out, in again, and what is refused.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

CREATE TEMP VIEW prediction AS
SELECT array_agg(mnist_probabilities(mnist_draw(n % 10, n)) ORDER BY n) AS probabilities
FROM generate_series(1, 20) AS n;

-- Out and in again: a new version of the same weights, which is not live; once it is, it reads the same, bit for bit.
CREATE TEMP TABLE before AS SELECT probabilities FROM prediction;
CREATE TEMP TABLE file AS SELECT mnist_export(1, 'safetensors') AS safetensors, mnist_export(1) AS onnx, network
    FROM mnist_model WHERE version = 1;
SELECT mnist_import(safetensors, network) FROM file;
SELECT version FROM mnist_live;
SELECT m.version, m.parent_version, m.run_id, m.validation_accuracy, m.test_accuracy,
    m.created_by = session_user AS by_me,
    (m.network, m.parameters, m.weights, m.weights_sha256) = (b.network, b.parameters, b.weights,
        b.weights_sha256) AS same
FROM mnist_model m, mnist_model b WHERE m.version = 2 AND b.version = 1;
SELECT mnist_activate(2);
SELECT r.probabilities = b.probabilities AS same_predictions FROM prediction r, before b;
SELECT mnist_export(2, 'safetensors') = safetensors AS same_file FROM file;

-- Other weights are other predictions: a file of a linear model, put together by hand as any program may do it.
CREATE FUNCTION pg_temp.safetensors(header text, data bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(set_byte('\x00', 0, ((octet_length(header)::bigint >> (8 * i)) & 255)::int), '' ORDER BY i) ||
        convert_to(header, 'UTF8') || data
    FROM generate_series(0, 7) AS i
$$;
-- 784 x 10 weights of zero and ten biases, of which that of the digit is 8: always that digit, whatever the image.
CREATE FUNCTION pg_temp.always(digit int) RETURNS bytea LANGUAGE sql AS $$
    SELECT decode(repeat('00', 7840 * 4), 'hex') ||
        (SELECT string_agg(CASE WHEN i = digit THEN '\x00000041'::bytea ELSE '\x00000000' END, '' ORDER BY i)
         FROM generate_series(0, 9) AS i)
$$;
CREATE FUNCTION pg_temp.softmax(data bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT pg_temp.safetensors('{"__metadata__":{"format_version":"1","network":"dense 10"},' ||
        '"layers.0.weight":{"dtype":"F32","shape":[784,10],"data_offsets":[0,31360]},' ||
        '"layers.0.bias":{"dtype":"F32","shape":[10],"data_offsets":[31360,31400]}}', data)
$$;
SELECT mnist_import(pg_temp.softmax(pg_temp.always(7)), 'softmax');
SELECT mnist_import(pg_temp.softmax(pg_temp.always(4)), 'Dense 10');
SELECT version, architecture, network, parameters FROM mnist_model WHERE version IN (3, 4) ORDER BY version;
SELECT mnist_activate(3);
SELECT mnist_classify(mnist_draw(2)), (mnist_probabilities(mnist_draw(2)))[8] > 0.99 AS sure;
SELECT mnist_activate(4);
SELECT mnist_classify(mnist_draw(2));
SELECT mnist_rollback();
SELECT mnist_classify(mnist_draw(2));

-- A network without a name.
SELECT mnist_import(pg_temp.safetensors('{"__metadata__":{"format_version":"1","network":"maxpool 28, dense 10"},' ||
    '"layers.1.weight":{"dtype":"F32","shape":[1,10],"data_offsets":[0,40]},' ||
    '"layers.1.bias":{"dtype":"F32","shape":[10],"data_offsets":[40,80]}}', decode(repeat('00', 80), 'hex')),
    'maxpool 28, dense 10');
SELECT architecture, network, parameters FROM mnist_model WHERE version = 5;
SELECT mnist_export(5) IS NOT NULL AS onnx, mnist_export(5, 'SafeTensors') IS NOT NULL AS safetensors;

-- ONNX says whose it is, of which network, and is as large as its weights and a little more.
SELECT position(convert_to('mnist_hil', 'UTF8') IN onnx) BETWEEN 1 AND 10 AS producer,
    position(convert_to(e.extversion, 'UTF8') IN onnx) BETWEEN 10 AND 30 AS producer_version,
    position(convert_to(f.network, 'UTF8') IN onnx) > 0 AS network,
    octet_length(onnx) BETWEEN octet_length(m.weights) AND octet_length(m.weights) + 10000 AS size
FROM file f, pg_extension e, mnist_model m WHERE e.extname = 'mnist_hil' AND m.version = 1;
SELECT mnist_export(1) = onnx AS same_file FROM file;

-- Export: what is refused.
SELECT public.outcome('SELECT mnist_export(99)');
SELECT public.outcome('SELECT mnist_export(-1, ''safetensors'')');
SELECT public.outcome('SELECT mnist_export(1, ''pickle'')');
SELECT mnist_export(NULL) IS NULL AND mnist_export(1, NULL) IS NULL AS nothing;
UPDATE mnist_model SET weights = NULL WHERE version = 2;
SELECT public.outcome('SELECT mnist_export(2)');
SELECT public.outcome('SELECT mnist_export(2, ''safetensors'')');

-- Import: what is refused, and leaves nothing.
SELECT public.outcome('SELECT mnist_import(NULL, ''softmax'')');
SELECT public.outcome('SELECT mnist_import('''', NULL)');
SELECT public.outcome('SELECT mnist_import('''', ''softmax'')');
SELECT public.outcome('SELECT mnist_import(''\x00'', ''dense'')');
SELECT public.outcome('SELECT mnist_import(''\x00'', ''dense 4096, dense 4096, dense 10'')');
SELECT public.outcome($$SELECT mnist_import(onnx, network) FROM file$$)
    LIKE '22P03: safetensors file is damaged or none: %' AS onnx;
SELECT public.outcome($$SELECT mnist_import(weights, network) FROM mnist_model WHERE version = 1$$)
    LIKE '22P03: %' AS blob;
SELECT public.outcome($$SELECT mnist_import(safetensors, 'keras_cnn') FROM file$$)
    LIKE '22023: safetensors file is of network "%", not "conv 32 3x3, relu, %' AS other_network;
SELECT public.outcome($$SELECT mnist_import(substr(safetensors, 1, length(safetensors) - 1), network) FROM file$$)
    LIKE '22P03: %' AS truncated;
SELECT public.outcome($$SELECT mnist_import(safetensors || '\x00', network) FROM file$$);
SELECT public.outcome($$SELECT mnist_import(pg_temp.softmax(decode(repeat('ff', 31400), 'hex')), 'softmax')$$);
SELECT public.outcome($$SELECT mnist_import(pg_temp.safetensors(
    '{"__metadata__":{"format_version":"9","network":"dense 10"}}', ''), 'softmax')$$);
SELECT public.outcome($$SELECT mnist_import(pg_temp.safetensors(
    '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,0]}}', ''), 'softmax')$$);
SELECT public.outcome($$SELECT mnist_import(pg_temp.safetensors(
    '{"__metadata__":{"format_version":"1"', ''), 'softmax')$$);
SELECT count(*), max(version) FROM mnist_model;

-- Who imported it is who called; neither function is open to PUBLIC.
CREATE ROLE regress_mnist_importer;
GRANT EXECUTE ON FUNCTION mnist_import TO regress_mnist_importer;
SET ROLE regress_mnist_importer;
SELECT mnist_import(pg_temp.softmax(pg_temp.always(1)), 'softmax');
SELECT public.outcome('SELECT mnist_export(1)');
SELECT public.outcome('SELECT * FROM mnist_internal.read_safetensors('''', ''softmax'')');
RESET ROLE;
SELECT version, architecture, created_by FROM mnist_model WHERE version = 6;
GRANT EXECUTE ON FUNCTION mnist_export TO regress_mnist_importer;
SET ROLE regress_mnist_importer;
SELECT substr(f, length(f) - 31399) = pg_temp.always(1) AS as_imported FROM mnist_export(6, 'safetensors') AS f;
RESET ROLE;

-- An import that is rolled back was never made.
BEGIN;
SELECT mnist_import(pg_temp.softmax(pg_temp.always(1)), 'softmax');
SELECT length(mnist_export(7)) > 0 AS exported;
ROLLBACK;
SELECT public.outcome('SELECT mnist_export(7)');
SELECT mnist_import(pg_temp.softmax(pg_temp.always(1)), 'softmax');

DROP VIEW prediction;
DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_importer;
