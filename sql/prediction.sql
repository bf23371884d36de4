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
    challenge_id   bigint,                                          -- refers to mnist_challenger
    pixels_sha256  bytea
);
-- PostgreSQL parses the constraints of a table for every INSERT that it executes, which is 4 % of a prediction's time.
-- So the length of the hash is a constraint only of mnist_feedback, which copies the hash.
ALTER TABLE @extschema@.mnist_prediction ALTER COLUMN image SET STORAGE EXTERNAL;
-- Images must not appear in the planner's samples, in pg_stats.
ALTER TABLE @extschema@.mnist_prediction ALTER COLUMN image SET STATISTICS 0;
ALTER SEQUENCE @extschema@.mnist_prediction_id_seq OWNED BY @extschema@.mnist_prediction.id;

COMMENT ON TABLE @extschema@.mnist_prediction IS 'all predictions that mnist_predict stored';
COMMENT ON COLUMN @extschema@.mnist_prediction.id IS 'the prediction; the argument of mnist_correct';
COMMENT ON COLUMN @extschema@.mnist_prediction.created_at IS 'when its transaction began';
COMMENT ON COLUMN @extschema@.mnist_prediction.image IS 'the image, as it was given';
COMMENT ON COLUMN @extschema@.mnist_prediction.label IS 'the predicted digit';
COMMENT ON COLUMN @extschema@.mnist_prediction.confidence IS 'the probability of that digit, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_prediction.probabilities IS 'the probabilities of the digits 0 .. 9; they sum to 1';
COMMENT ON COLUMN @extschema@.mnist_prediction.model_version IS 'the model that made it';
COMMENT ON COLUMN @extschema@.mnist_prediction.features IS 'its features, in the order of mnist_feature.place';
COMMENT ON COLUMN @extschema@.mnist_prediction.pixels_hash IS
    'a hash of the image, only of predictions that 0.1.0 stored, else NULL; the column remains so that dumps of 0.1.0 '
    'can be restored; see pixels_sha256';
COMMENT ON COLUMN @extschema@.mnist_prediction.challenge_id IS 'the challenge that was under way, or NULL';
COMMENT ON COLUMN @extschema@.mnist_prediction.pixels_sha256 IS
    'SHA-256 of the image in MNIST''s form, to find equal images; NULL for predictions that 0.1.0 stored';

SELECT pg_extension_config_dump('@extschema@.mnist_prediction', '');
SELECT pg_extension_config_dump('@extschema@.mnist_prediction_id_seq', '');

---------------------------------------------------------------- predicting

/*
 * Callers of mnist_predict and mnist_predict_batch need no privilege on the tables: C code stores the prediction as the
 * extension's owner (src/serve/predict.c explains why this is not done by SECURITY DEFINER).
 */
CREATE OR REPLACE FUNCTION @extschema@.mnist_predict(
    image bytea, OUT id bigint, OUT label smallint, OUT confidence real, OUT probabilities real[],
    OUT model_version int)
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 200;
COMMENT ON FUNCTION @extschema@.mnist_predict(bytea) IS
    'predict the digit that an image shows with the live model, and store image and prediction';

CREATE OR REPLACE FUNCTION @extschema@.mnist_predict_batch(
    images bytea[], OUT id bigint, OUT label smallint, OUT confidence real, OUT probabilities real[],
    OUT model_version int)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 200 ROWS 100;
COMMENT ON FUNCTION @extschema@.mnist_predict_batch(bytea[]) IS
    'predict many digits at once: one row for each element, in order; each is stored';

CREATE OR REPLACE FUNCTION @extschema@.mnist_classify(image bytea) RETURNS smallint
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_classify(bytea) IS 'the digit that the live model predicts; stores nothing';

CREATE OR REPLACE FUNCTION @extschema@.mnist_probabilities(image bytea) RETURNS real[]
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_probabilities(bytea) IS
    'the live model''s probability for each digit, 0 to 9; stores nothing';

GRANT EXECUTE ON FUNCTION @extschema@.mnist_classify(bytea), @extschema@.mnist_probabilities(bytea) TO PUBLIC;

---------------------------------------------------------------- features

CREATE OR REPLACE FUNCTION mnist_internal.feature_catalog(OUT place int, OUT name text, OUT kind text,
    OUT description text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'mnist_hil_feature_catalog' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE ROWS 20;
COMMENT ON FUNCTION mnist_internal.feature_catalog() IS
    'the features that are kept with each prediction; internal, but open to readers of mnist_feature';

CREATE OR REPLACE VIEW @extschema@.mnist_feature AS
    SELECT c.place, c.name, c.kind, c.description FROM mnist_internal.feature_catalog() AS c;
COMMENT ON VIEW @extschema@.mnist_feature IS 'the features that are kept with each prediction, one row a feature';
COMMENT ON COLUMN @extschema@.mnist_feature.place IS 'its position in mnist_prediction.features, from 1';
COMMENT ON COLUMN @extschema@.mnist_feature.name IS 'its name';
COMMENT ON COLUMN @extschema@.mnist_feature.kind IS 'continuous, category (a digit) or flag (0 or 1)';
COMMENT ON COLUMN @extschema@.mnist_feature.description IS 'what it is';

CREATE OR REPLACE FUNCTION @extschema@.mnist_features(image bytea, OUT feature text, OUT value real)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100 ROWS 20;
COMMENT ON FUNCTION @extschema@.mnist_features(bytea) IS
    'the features of an image and of the live model''s prediction of it, by name; stores nothing';

CREATE OR REPLACE FUNCTION mnist_internal.features(image bytea, version int) RETURNS real[]
    AS 'MODULE_PATHNAME', 'mnist_hil_features' LANGUAGE C STRICT STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION mnist_internal.features(bytea, int) IS
    'the features of a model''s prediction of an image, in the order of mnist_prediction.features; internal';

GRANT EXECUTE ON FUNCTION mnist_internal.feature_catalog, @extschema@.mnist_features(bytea) TO PUBLIC;

---------------------------------------------------------------- explanations

/*
 * A call makes some 500 predictions, hence the cost.  The functions are not STRICT, because a NULL label stands for the
 * predicted digit; a NULL image gives NULL.
 */
CREATE OR REPLACE FUNCTION @extschema@.mnist_explain(image bytea, label int DEFAULT NULL) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.mnist_explain(bytea, int) IS
    'a PNG of the digit as the network sees it: orange pixels are evidence for the label (NULL: the predicted '
    'digit), blue ones against it';

CREATE OR REPLACE FUNCTION @extschema@.mnist_explanation(image bytea, label int DEFAULT NULL) RETURNS real[]
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.mnist_explanation(bytea, int) IS
    'the evidence of each of the 784 pixels for the label (NULL: the predicted digit): by how much erasing it lowers '
    'the label''s log odds';

GRANT EXECUTE ON FUNCTION @extschema@.mnist_explain(bytea, int), @extschema@.mnist_explanation(bytea, int) TO PUBLIC;
