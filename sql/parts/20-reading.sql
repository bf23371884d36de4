---------------------------------------------------------------- the model cache

/*
 * Row-level and ENABLE ALWAYS, so that a logical replica's apply worker fires it too; TRUNCATE needs no trigger, as it
 * invalidates the relation by itself.
 */
CREATE OR REPLACE FUNCTION mnist_internal.deployment_changed() RETURNS trigger
    AS 'MODULE_PATHNAME', 'mnist_hil_deployment_changed' LANGUAGE C;
COMMENT ON FUNCTION mnist_internal.deployment_changed() IS
    'makes every session look up the live model anew once the transaction commits';

CREATE OR REPLACE TRIGGER mnist_deployment_changed
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.mnist_deployment
    FOR EACH ROW EXECUTE FUNCTION mnist_internal.deployment_changed();
ALTER TABLE @extschema@.mnist_deployment ENABLE ALWAYS TRIGGER mnist_deployment_changed;

CREATE OR REPLACE FUNCTION mnist_internal.load(version int) RETURNS void
    AS 'MODULE_PATHNAME', 'mnist_hil_load' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mnist_internal.load(int) IS
    'check a version''s weights and bring them into the model cache, so that switching to it costs no session anything';

CREATE OR REPLACE FUNCTION mnist_internal.cache(
    OUT place text, OUT memory_size bigint, OUT memory_used bigint, OUT models int, OUT pinned int, OUT private int,
    OUT fallbacks bigint, OUT evictions bigint)
    AS 'MODULE_PATHNAME', 'mnist_hil_cache' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION mnist_internal.cache() IS
    'the model cache: where it is, bytes, models in it, those in use; copies that sessions keep, how many were made, evictions';

CREATE OR REPLACE FUNCTION mnist_internal.default_weights() RETURNS bytea
    AS 'MODULE_PATHNAME', 'mnist_hil_default_weights' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mnist_internal.default_weights() IS 'the bundled model''s weights, from the extension''s data file';

CREATE OR REPLACE FUNCTION mnist_internal.describe(weights bytea, OUT network text, OUT parameters int)
    AS 'MODULE_PATHNAME', 'mnist_hil_describe' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mnist_internal.describe(bytea) IS 'check a weights blob; its network and number of trainable parameters';

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

---------------------------------------------------------------- pictures

CREATE OR REPLACE FUNCTION @extschema@.mnist_preprocess(image bytea) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_preprocess(bytea) IS 'an image in MNIST''s form: 28 x 28 bytes, ink bright on dark';

CREATE OR REPLACE FUNCTION mnist_internal.pixels(image bytea) RETURNS bytea
    AS 'MODULE_PATHNAME', 'mnist_hil_pixels' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION mnist_internal.pixels(bytea) IS
    'a stored image in MNIST''s form, whatever limits on images are in force by now; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_png(pixels bytea, scale int DEFAULT 1) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_png(bytea, int) IS '784 pixels as a PNG, each as a square of scale x scale';

CREATE OR REPLACE FUNCTION @extschema@.mnist_ascii(image bytea) RETURNS text
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_ascii(bytea) IS 'an image in MNIST''s form as 28 lines of 28 characters';

CREATE OR REPLACE FUNCTION @extschema@.mnist_draw(label int, seed bigint DEFAULT 1, side int DEFAULT 280) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.mnist_draw(int, bigint, int) IS
    'a digit drawn as if by hand, as a canvas of a web page gives it: a PNG with dark ink on a light background';

CREATE OR REPLACE FUNCTION mnist_internal.synthetic(label int, key bigint) RETURNS bytea
    AS 'MODULE_PATHNAME', 'mnist_hil_synthetic' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION mnist_internal.synthetic(int, bigint) IS 'a synthetic digit in MNIST''s form';

