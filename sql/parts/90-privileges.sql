/*
 * Who may do what: nobody anything, but for what is said here and what the README has an administrator grant.
 *
 * PUBLIC keeps what neither stores, changes nor reveals anything that is stored: reading an image, and bringing one
 * into another form.  A few internal functions are among it, because the functions of a view run with the rights of
 * who reads the view.
 */
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT d.objid
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.refclassid = 'pg_catalog.pg_extension'::regclass
            AND e.extname = 'mnist_hil'
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine);
    END LOOP;
END
$$;

-- With their arguments: others may have functions of the same names in this schema.
GRANT EXECUTE ON FUNCTION @extschema@.mnist_classify(bytea), @extschema@.mnist_probabilities(bytea),
    @extschema@.mnist_preprocess(bytea), @extschema@.mnist_png(bytea, int), @extschema@.mnist_ascii(bytea),
    @extschema@.mnist_draw(int, bigint, int), @extschema@.mnist_features(bytea), @extschema@.mnist_explain(bytea, int),
    @extschema@.mnist_explanation(bytea, int)
    TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.cache, mnist_internal.process_alive TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.settings TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.check_job TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.wilson, mnist_internal.newcombe, mnist_internal.newcombe_paired, mnist_internal.mcnemar TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.sparkline TO PUBLIC;
