/*
 * Predictions: the table, the functions that predict, the features that are kept with every prediction to watch for
 * drift, and the explanation of a prediction.
 */

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_prediction_id_seq CACHE 1;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_prediction (
    id             bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_prediction_id_seq'),
    created_at     timestamptz NOT NULL DEFAULT now(),
    image          bytea NOT NULL,
    label          smallint NOT NULL CHECK (label BETWEEN 0 AND 9),
    confidence     real NOT NULL,
    probabilities  real[] NOT NULL,
    model_version  int NOT NULL,
    features       real[],
    pixels_hash    bigint,
    challenge_id   bigint,                                          -- of mnist_challenger
    pixels_sha256  bytea CHECK (octet_length(pixels_sha256) = 32)
);
ALTER TABLE @extschema@.mnist_prediction ALTER COLUMN image SET STORAGE EXTERNAL;
-- No image is to be found among the planner's samples, in pg_stats.
ALTER TABLE @extschema@.mnist_prediction ALTER COLUMN image SET STATISTICS 0;
ALTER SEQUENCE @extschema@.mnist_prediction_id_seq OWNED BY @extschema@.mnist_prediction.id;

COMMENT ON TABLE @extschema@.mnist_prediction IS 'every reading that mnist_predict stored';
COMMENT ON COLUMN @extschema@.mnist_prediction.id IS 'the reading; what mnist_correct is given';
COMMENT ON COLUMN @extschema@.mnist_prediction.created_at IS 'when its transaction began';
COMMENT ON COLUMN @extschema@.mnist_prediction.image IS 'the image, as it came in';
COMMENT ON COLUMN @extschema@.mnist_prediction.label IS 'the digit read';
COMMENT ON COLUMN @extschema@.mnist_prediction.confidence IS 'the probability of that digit, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_prediction.probabilities IS 'the probabilities of the digits 0 .. 9; they sum to 1';
COMMENT ON COLUMN @extschema@.mnist_prediction.model_version IS 'the model that read it';
COMMENT ON COLUMN @extschema@.mnist_prediction.features IS 'what was measured of it, in the order of mnist_feature.place';
COMMENT ON COLUMN @extschema@.mnist_prediction.pixels_hash IS
    'of predictions that 0.1.0 stored, another hash than pixels_sha256; else NULL: it is here so that dumps of 0.1.0 restore';
COMMENT ON COLUMN @extschema@.mnist_prediction.challenge_id IS 'the challenge that was under way, or NULL';
COMMENT ON COLUMN @extschema@.mnist_prediction.pixels_sha256 IS
    'SHA-256 of the image in MNIST''s form, by which to find equal images; NULL for predictions that 0.1.0 stored';

SELECT pg_extension_config_dump('@extschema@.mnist_prediction', '');
SELECT pg_extension_config_dump('@extschema@.mnist_prediction_id_seq', '');

---------------------------------------------------------------- reading digits

/*
 * mnist_predict and mnist_predict_batch need no right on the tables: they store the reading as the extension's owner,
 * in C (see reading.c for why not by SECURITY DEFINER).
 */
CREATE OR REPLACE FUNCTION @extschema@.mnist_predict(
    image bytea, OUT id bigint, OUT label smallint, OUT confidence real, OUT probabilities real[], OUT model_version int)
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 200;
COMMENT ON FUNCTION @extschema@.mnist_predict(bytea) IS 'read a digit with the live model and store the image and the reading';

CREATE OR REPLACE FUNCTION @extschema@.mnist_predict_batch(
    images bytea[], OUT id bigint, OUT label smallint, OUT confidence real, OUT probabilities real[], OUT model_version int)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 200 ROWS 100;
COMMENT ON FUNCTION @extschema@.mnist_predict_batch(bytea[]) IS 'read many digits at once: a row per element, in order; each is stored';

CREATE OR REPLACE FUNCTION @extschema@.mnist_classify(image bytea) RETURNS smallint
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_classify(bytea) IS 'the digit that the live model reads; stores nothing';

CREATE OR REPLACE FUNCTION @extschema@.mnist_probabilities(image bytea) RETURNS real[]
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_probabilities(bytea) IS 'the live model''s probability for each digit, 0 to 9; stores nothing';

GRANT EXECUTE ON FUNCTION @extschema@.mnist_classify(bytea), @extschema@.mnist_probabilities(bytea) TO PUBLIC;

---------------------------------------------------------------- features

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

GRANT EXECUTE ON FUNCTION mnist_internal.feature_catalog, @extschema@.mnist_features(bytea) TO PUBLIC;

---------------------------------------------------------------- explanations

/*
 * Some 500 readings a call, hence the cost.  Not STRICT, because a label of NULL stands for the digit read; an image
 * of NULL gives NULL.
 */
CREATE OR REPLACE FUNCTION @extschema@.mnist_explain(image bytea, label int DEFAULT NULL) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.mnist_explain(bytea, int) IS
    'a PNG of the digit as the network sees it: orange pixels speak for the label (NULL: the digit read), blue ones against it';

CREATE OR REPLACE FUNCTION @extschema@.mnist_explanation(image bytea, label int DEFAULT NULL) RETURNS real[]
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.mnist_explanation(bytea, int) IS
    'what each of the 784 pixels says for the label (NULL: the digit read): by how much erasing it lowers the label''s log odds';

GRANT EXECUTE ON FUNCTION @extschema@.mnist_explain(bytea, int), @extschema@.mnist_explanation(bytea, int) TO PUBLIC;
