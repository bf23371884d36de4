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
    RAISE EXCEPTION USING
        ERRCODE = 'restrict_violation',
        MESSAGE = format('%s of %I is not allowed', TG_OP, TG_TABLE_NAME),
        DETAIL = 'Its rows are facts: they are added, never changed.',
        HINT = TG_ARGV[0];
END
$$;
COMMENT ON FUNCTION mnist_internal.refuse() IS
    'trigger that keeps a table append-only; its argument is the hint; internal';
