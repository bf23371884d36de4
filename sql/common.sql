/*
 * What several subjects share: the calling role, append-only tables, the version of the loaded library, the settings,
 * and the names of the schemas.
 */

CREATE OR REPLACE FUNCTION mnist_internal.invoker() RETURNS name
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(nullif(current_setting('role'), 'none'), session_user)::name;
END;
COMMENT ON FUNCTION mnist_internal.invoker() IS
    'the role for which a SECURITY DEFINER function acts: that of SET ROLE, else the session user; internal';

CREATE OR REPLACE FUNCTION mnist_internal.refuse_null(arguments text[], VARIADIC nulls boolean[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF true = ANY (nulls) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('%s must not be null', arguments[array_position(nulls, true)]);
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.refuse_null(text[], boolean[]) IS
    'fail if one of a function''s arguments is null; arguments: their names; nulls: which of them are; internal';

CREATE OR REPLACE FUNCTION mnist_internal.refuse() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        IF mnist_internal.untouched() THEN          -- a restore replaces the bundled model (restore.sql)
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

-- After an upgrade of the files the server still runs the library that it loaded before.
DO $$
DECLARE
    fits boolean := false;
BEGIN
    BEGIN
        CREATE OR REPLACE FUNCTION mnist_internal.library_version() RETURNS text
            LANGUAGE c STABLE PARALLEL SAFE
            AS 'MODULE_PATHNAME', 'mnist_hil_library_version';
        SELECT mnist_internal.library_version() = e.extversion INTO fits
        FROM pg_extension e
        WHERE e.extname = 'mnist_hil';
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
COMMENT ON FUNCTION mnist_internal.library_version() IS
    'the version of the library that the server has loaded; internal';

CREATE OR REPLACE FUNCTION mnist_internal.settings(
    OUT fail_threshold int, OUT min_new_labels int, OUT accuracy_floor float8, OUT drift_threshold float8,
    OUT retry_delay interval, OUT retries int, OUT keep_models int, OUT retention interval)
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_settings';
COMMENT ON FUNCTION mnist_internal.settings() IS
    'the current settings of the loop; internal, but open to readers of views';

GRANT EXECUTE ON FUNCTION mnist_internal.settings TO PUBLIC;

---------------------------------------------------------------- the schemas keep their names

/*
 * Function bodies contain the names of the extension's schema and of mnist_internal, so these cannot be renamed.  The
 * event trigger gets the oid of the schema after ALTER SCHEMA.  If the old name no longer leads to that oid, the schema
 * was renamed; otherwise something else was altered, such as its owner.  The function runs with the rights of the role
 * that issued the command, and needs no privilege on the extension's objects.
 */
CREATE OR REPLACE FUNCTION mnist_internal.keep_schema() RETURNS event_trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    renamed text;
BEGIN
    SELECT c.name INTO renamed
    FROM pg_event_trigger_ddl_commands() AS d
    JOIN pg_namespace n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid
    JOIN (
        SELECT e.extnamespace AS oid, '@extschema@' AS name FROM pg_extension e WHERE e.extname = 'mnist_hil'
        UNION ALL
        SELECT m.objid, 'mnist_internal'
        FROM pg_depend m
        JOIN pg_extension e ON m.refclassid = 'pg_extension'::regclass AND m.refobjid = e.oid
        WHERE m.classid = 'pg_namespace'::regclass AND m.deptype = 'e' AND e.extname = 'mnist_hil') AS c
        ON c.oid = n.oid
    WHERE to_regnamespace(c.name) IS DISTINCT FROM n.oid::regnamespace;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('schema %s cannot be renamed because extension "mnist_hil" is in it', renamed),
            DETAIL = 'The bodies of the extension''s functions hold the name of the schema.',
            HINT = 'To rename it, restore a dump of the database in which the name was replaced.';
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.keep_schema() IS
    'event trigger that refuses to rename the extension''s schema and mnist_internal; internal';

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_event_trigger t
        JOIN pg_depend d ON d.classid = 'pg_event_trigger'::regclass AND d.objid = t.oid AND d.deptype = 'e'
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        WHERE t.evtname = 'mnist_hil_keep_schema' AND e.extname = 'mnist_hil')
    THEN
        CREATE EVENT TRIGGER mnist_hil_keep_schema ON ddl_command_end WHEN TAG IN ('ALTER SCHEMA')
            EXECUTE FUNCTION mnist_internal.keep_schema();
    END IF;
END
$$;
COMMENT ON EVENT TRIGGER mnist_hil_keep_schema IS
    'refuses to rename the schemas of extension mnist_hil, because function bodies contain their names';
