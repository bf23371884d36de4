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

GRANT EXECUTE ON FUNCTION mnist_classify, mnist_probabilities, mnist_preprocess, mnist_png, mnist_ascii, mnist_draw,
    mnist_features, mnist_explain, mnist_explanation
    TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_hil_cache, mnist_hil_process_alive TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_hil_settings TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_hil_check_job TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_hil_wilson, mnist_hil_newcombe, mnist_hil_newcombe_paired, mnist_hil_mcnemar TO PUBLIC;
GRANT EXECUTE ON FUNCTION mnist_hil_sparkline TO PUBLIC;
