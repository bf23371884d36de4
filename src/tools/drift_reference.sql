-- drift_reference.sql: prints sql/bundled/drift_reference.sql, the drift reference of the bundled model.
-- Called by drift_reference.sh, with MNIST imported as "mnist".
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
-- An array as a literal over several lines, each of which ends at a comma.
CREATE FUNCTION pg_temp.wrapped(list text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(quote_literal(line[1]), E'\n        ' ORDER BY n)
    FROM regexp_matches(list, '.{1,96}(?:,|$)', 'g') WITH ORDINALITY AS m (line, n)
$$;
BEGIN;
SELECT mnist_internal.drift_store(1, 'bundled',
    array_agg(mnist_internal.features(s.pixels, 1) ORDER BY s.ordinal)) AS reference
FROM mnist_sample s JOIN mnist_dataset d ON d.id = s.dataset_id
WHERE d.name = 'mnist' AND s.split = 'validation' \gset
SELECT format($part$/*
 * The drift reference of the bundled model: the features of its predictions on MNIST's validation images.  Written by
 * src/tools/drift_reference.sh.  It is left out where the bundled model is not the one that it was made for.
 */

INSERT INTO @extschema@.mnist_drift_reference (id, model_version, source, readings)
SELECT 1, m.version, 'bundled', %s
FROM @extschema@.mnist_model m
WHERE m.version = 1
    AND m.weights_sha256 = '%s'
    AND NOT EXISTS (SELECT FROM @extschema@.mnist_drift_reference r WHERE r.id = 1);

INSERT INTO @extschema@.mnist_drift_histogram (reference_id, feature, edges, counts)
SELECT r.id, h.*
FROM @extschema@.mnist_drift_reference r
CROSS JOIN (VALUES$part$, r.readings, m.weights_sha256)
FROM mnist_drift_reference r JOIN mnist_model m ON m.version = r.model_version WHERE r.id = :reference;
SELECT string_agg(format(E'    (%L,\n        %s::real[],\n        %s::bigint[])', f.name,
    pg_temp.wrapped(h.edges::text), pg_temp.wrapped(h.counts::text)), E',\n' ORDER BY f.place)
FROM mnist_drift_histogram h JOIN mnist_feature f ON f.name = h.feature WHERE h.reference_id = :reference;
SELECT ') AS h
WHERE r.id = 1
    AND NOT EXISTS (SELECT FROM @extschema@.mnist_drift_histogram o WHERE o.reference_id = 1);';
ROLLBACK;
