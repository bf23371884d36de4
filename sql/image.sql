/*
 * Images: decoding, MNIST's form, and digits that the extension draws.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_preprocess(image bytea) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_preprocess(bytea) IS
    'an image in MNIST''s form: 28 x 28 bytes, ink bright on dark';

CREATE OR REPLACE FUNCTION mnist_internal.pixels(image bytea) RETURNS bytea
    AS 'MODULE_PATHNAME', 'mnist_hil_pixels' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION mnist_internal.pixels(bytea) IS
    'a stored image in MNIST''s form, regardless of the limits on images that are in force now; internal';

CREATE OR REPLACE FUNCTION mnist_internal.readable_pixels(image bytea) RETURNS bytea
    AS 'MODULE_PATHNAME', 'mnist_hil_readable_pixels' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION mnist_internal.readable_pixels(bytea) IS
    'mnist_internal.pixels, but NULL for an image that cannot be decoded; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_png(pixels bytea, scale int DEFAULT 1) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_png(bytea, int) IS '784 pixels as a PNG, each as a square of scale x scale';

CREATE OR REPLACE FUNCTION @extschema@.mnist_ascii(image bytea) RETURNS text
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.mnist_ascii(bytea) IS 'an image in MNIST''s form as 28 lines of 28 characters';

CREATE OR REPLACE FUNCTION @extschema@.mnist_draw(label int, seed bigint DEFAULT 1, side int DEFAULT 280) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION @extschema@.mnist_draw(int, bigint, int) IS
    'a digit as if drawn by hand on the canvas of a web page: a PNG with dark ink on a light background';

CREATE OR REPLACE FUNCTION mnist_internal.synthetic(label int, key bigint) RETURNS bytea
    AS 'MODULE_PATHNAME', 'mnist_hil_synthetic' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE COST 200;
COMMENT ON FUNCTION mnist_internal.synthetic(int, bigint) IS 'a synthetic digit in MNIST''s form';

GRANT EXECUTE ON FUNCTION @extschema@.mnist_preprocess(bytea), @extschema@.mnist_png(bytea, int),
    @extschema@.mnist_ascii(bytea), @extschema@.mnist_draw(int, bigint, int) TO PUBLIC;
