/*
 * What the parts below share.
 */

CREATE OR REPLACE FUNCTION mnist_internal.invoker() RETURNS name
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(nullif(current_setting('role'), 'none'), session_user)::name;
END;
COMMENT ON FUNCTION mnist_internal.invoker() IS
    'the role on whose behalf a SECURITY DEFINER function acts: that of SET ROLE, else the session''s; internal';

CREATE OR REPLACE FUNCTION mnist_internal.refuse() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        IF mnist_internal.untouched() THEN          -- a restore replaces the bundled model (80-dump.sql)
            RETURN NULL;
        END IF;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'restrict_violation',
        MESSAGE = format('%s of %I is not allowed', TG_OP, TG_TABLE_NAME),
        DETAIL = 'Its rows are facts: they are added, never changed.',
        HINT = TG_ARGV[0];
END
$$;
COMMENT ON FUNCTION mnist_internal.refuse() IS
    'trigger that keeps a table append-only; its argument is the hint; internal';

-- A server goes on with the library that it has loaded when the files are replaced.
DO $$
DECLARE
    fits boolean := false;
BEGIN
    BEGIN
        CREATE OR REPLACE FUNCTION mnist_internal.library_version() RETURNS text
            LANGUAGE c STABLE PARALLEL SAFE
            AS 'MODULE_PATHNAME', 'mnist_hil_library_version';
        SELECT mnist_internal.library_version() = e.extversion INTO fits FROM pg_extension e WHERE e.extname = 'mnist_hil';
    EXCEPTION
        WHEN undefined_function THEN            -- the library of 0.1.0
            NULL;
    END;
    IF NOT fits THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'the library that the server has loaded is of another version of extension "mnist_hil"',
            HINT = 'Restart the server, so that it loads the library that is installed now.';
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.library_version() IS 'the version of the library that the server has loaded; internal';
