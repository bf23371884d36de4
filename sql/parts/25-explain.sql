---------------------------------------------------------------- why a digit was read

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
