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

GRANT EXECUTE ON FUNCTION @extschema@.mnist_classify, @extschema@.mnist_probabilities, @extschema@.mnist_preprocess, @extschema@.mnist_png, @extschema@.mnist_ascii, @extschema@.mnist_draw,
    @extschema@.mnist_features, @extschema@.mnist_explain, @extschema@.mnist_explanation
    TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.cache, mnist_internal.process_alive TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.settings TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.check_job TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.wilson, mnist_internal.newcombe, mnist_internal.newcombe_paired, mnist_internal.mcnemar TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_internal.sparkline TO PUBLIC;
