/*
 * Models from and for other programs.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_export(version int, format text DEFAULT 'onnx') RETURNS bytea
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_export';
COMMENT ON FUNCTION @extschema@.mnist_export(int, text) IS
    'a model as a file for other programs: onnx, or safetensors, which mnist_import accepts';

CREATE OR REPLACE FUNCTION mnist_internal.read_safetensors(
    file bytea, INOUT architecture text, OUT weights bytea)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_read_safetensors';
COMMENT ON FUNCTION mnist_internal.read_safetensors(bytea, text) IS
    'check a safetensors file; returns the architecture''s name, and the weights as mnist_model stores them; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_import(weights bytea, architecture text) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    model record;
    new_version int;
BEGIN
    PERFORM mnist_internal.refuse_null('{weights,architecture}', mnist_import.weights IS NULL,
        mnist_import.architecture IS NULL);
    SELECT f.architecture, f.weights, d.network, d.parameters
    INTO STRICT model
    FROM mnist_internal.read_safetensors(mnist_import.weights, mnist_import.architecture) AS f,
        mnist_internal.describe(f.weights) AS d;

    INSERT INTO @extschema@.mnist_model (version, architecture, network, parameters, weights, weights_sha256,
        created_by)
    VALUES (mnist_internal.next_version(), model.architecture, model.network, model.parameters, model.weights,
        sha256(model.weights), mnist_internal.invoker())
    RETURNING version INTO new_version;
    RETURN new_version;
EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION USING
            ERRCODE = 'serialization_failure',
            MESSAGE = 'could not import the model due to a concurrent change of mnist_model',
            HINT = 'Retry the transaction.';
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_import(bytea, text) IS
    'add a model from a safetensors file, as mnist_export writes it, with an architecture''s name or description; '
    'returns its version, which is not live';
