/*
 * The end of an upgrade.  In a fresh installation it does nothing.
 */

-- The upgrade script renamed functions to mnist_internal.replaced_x because views used them.  Now no view does.
DO $$
DECLARE
    old regprocedure;
BEGIN
    FOR old IN
        SELECT p.oid
        FROM pg_proc p
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        WHERE e.extname = 'mnist_hil' AND p.pronamespace = 'mnist_internal'::regnamespace
            AND p.proname LIKE 'replaced\_%'
    LOOP
        EXECUTE format('DROP ROUTINE %s', old);
    END LOOP;
END
$$;

-- Convert 0.1.0's records of the feedback that runs used.
SELECT mnist_internal.take_run_feedback();

/*
 * Administrators grant and revoke privileges: an upgrade changes none of them.
 *
 * The upgrade script has saved the privileges on each object of the older version.  Some have changed since, because
 * the object was dropped and created again, or by the GRANTs of this script.  Privileges that a script grants are
 * initial privileges (pg_init_privs), which pg_dump leaves out, so the earlier initial privileges are restored, too.
 * If an object was created again, privileges on its columns are lost.
 */
DO $$
DECLARE
    changed record;
BEGIN
    IF to_regclass('mnist_internal.saved_privileges') IS NULL THEN
        RETURN;
    END IF;

    CREATE TABLE mnist_internal.object AS
    SELECT s.acl, s.init_acl, s.class, p.oid, 'ROUTINE' AS kind, p.oid::regprocedure::text AS name,
        coalesce(p.proacl, acldefault('f', p.proowner)) AS new_acl
    FROM mnist_internal.saved_privileges s
    JOIN pg_proc p ON p.oid = CASE WHEN s.class = 'pg_proc'::regclass
        THEN coalesce(to_regprocedure(s.identity)::oid, to_regproc(s.name)::oid) END
    UNION ALL
    SELECT s.acl, s.init_acl, s.class, c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        c.oid::regclass::text, coalesce(c.relacl,
            acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
    FROM mnist_internal.saved_privileges s
    JOIN pg_class c ON c.oid = CASE WHEN s.class = 'pg_class'::regclass THEN to_regclass(s.identity)::oid END;

    FOR changed IN
        WITH old AS (
            SELECT o.kind, o.name, a.grantee, a.privilege_type, a.is_grantable
            FROM mnist_internal.object o, aclexplode(o.acl) AS a
        ), new AS (
            SELECT o.kind, o.name, a.grantee, a.privilege_type, a.is_grantable
            FROM mnist_internal.object o, aclexplode(o.new_acl) AS a
        )
        SELECT 1 AS step, n.* FROM (SELECT * FROM new EXCEPT SELECT * FROM old) n
        UNION ALL
        SELECT 2, o.* FROM (SELECT * FROM old EXCEPT SELECT * FROM new) o
        ORDER BY 1
    LOOP
        EXECUTE format(
            CASE changed.step WHEN 1 THEN 'REVOKE %s ON %s %s FROM %s' ELSE 'GRANT %s ON %s %s TO %s%s' END,
            changed.privilege_type, changed.kind, changed.name,
            CASE changed.grantee WHEN 0 THEN 'PUBLIC' ELSE changed.grantee::regrole::text END,
            CASE WHEN changed.step = 2 AND changed.is_grantable THEN ' WITH GRANT OPTION' END);
    END LOOP;

    UPDATE pg_init_privs i
    SET initprivs = o.init_acl
    FROM mnist_internal.object o
    WHERE i.classoid = o.class AND i.objoid = o.oid AND i.objsubid = 0 AND o.init_acl <> i.initprivs;
    DELETE FROM pg_init_privs i
    USING mnist_internal.object o
    WHERE i.classoid = o.class AND i.objoid = o.oid AND i.objsubid = 0 AND o.init_acl IS NULL;
    -- From PostgreSQL 17 on pg_shdepend has the roles that initial privileges name.
    DELETE FROM pg_shdepend d
    USING mnist_internal.object o
    WHERE d.deptype = 'i' AND d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
        AND d.classid = o.class AND d.objid = o.oid AND d.objsubid = 0
        AND d.refobjid NOT IN (SELECT a.grantee FROM aclexplode(o.init_acl) AS a);

    DROP TABLE mnist_internal.object;
    DROP TABLE mnist_internal.saved_privileges;
END
$$;
