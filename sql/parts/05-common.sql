/*
 * What the parts below share.
 *
 * Functions whose names begin with mnist_hil_ are internal: nobody but the extension's owner may call them, unless
 * their comment says otherwise (see 90-privileges.sql).
 */

CREATE FUNCTION mnist_hil_invoker() RETURNS name
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT coalesce(nullif(current_setting('role'), 'none'), session_user)::name
$$;
COMMENT ON FUNCTION mnist_hil_invoker() IS
    'the role on whose behalf a SECURITY DEFINER function acts: that of SET ROLE, else the session''s; internal';

CREATE FUNCTION mnist_hil_refuse() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'restrict_violation',
        MESSAGE = format('%s of %I is not allowed', TG_OP, TG_TABLE_NAME),
        DETAIL = 'Its rows are facts: they are added, never changed.',
        HINT = TG_ARGV[0];
END
$$;
COMMENT ON FUNCTION mnist_hil_refuse() IS
    'trigger that keeps a table append-only; its argument is the hint; internal';
