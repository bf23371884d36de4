/*
 * PUBLIC has no privileges on the extension's objects except those that each subject grants.
 *
 * PUBLIC keeps the functions that neither store, change nor reveal stored data: to classify an image, and to convert
 * one.  It also has a few internal functions, because the functions of a view run with the rights of the role that
 * reads the view.  The grants stand with the functions.  All other functions still have the default privileges, that
 * is, no access control list; this block revokes them.
 */
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid
        FROM pg_depend d
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.deptype = 'e' AND e.extname = 'mnist_hil' AND p.proacl IS NULL
    LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine);
    END LOOP;
END
$$;
