/*
 * Features: what is measured of every reading and kept with it, to watch for drift.
 */

CREATE OR REPLACE FUNCTION mnist_internal.feature_catalog(OUT place int, OUT name text, OUT kind text, OUT description text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'mnist_hil_feature_catalog' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE ROWS 20;
COMMENT ON FUNCTION mnist_internal.feature_catalog() IS
    'the features kept with every reading; internal, but open to readers of mnist_feature';

CREATE OR REPLACE VIEW @extschema@.mnist_feature AS
    SELECT c.place, c.name, c.kind, c.description FROM mnist_internal.feature_catalog() AS c;
COMMENT ON VIEW @extschema@.mnist_feature IS 'what is measured of every reading, a row a feature';
COMMENT ON COLUMN @extschema@.mnist_feature.place IS 'where it stands in mnist_prediction.features, from 1';
COMMENT ON COLUMN @extschema@.mnist_feature.name IS 'its name';
COMMENT ON COLUMN @extschema@.mnist_feature.kind IS 'continuous, category (a digit) or flag (0 or 1)';
COMMENT ON COLUMN @extschema@.mnist_feature.description IS 'what it is';

CREATE OR REPLACE FUNCTION @extschema@.mnist_features(image bytea, OUT feature text, OUT value real) RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100 ROWS 20;
COMMENT ON FUNCTION @extschema@.mnist_features(bytea) IS
    'the features of an image and of the live model''s reading of it, by name; stores nothing';

CREATE OR REPLACE FUNCTION mnist_internal.features(image bytea, version int) RETURNS real[]
    AS 'MODULE_PATHNAME', 'mnist_hil_features' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION mnist_internal.features(bytea, int) IS
    'the features of a model''s reading of an image, in the order of mnist_prediction.features; internal';
