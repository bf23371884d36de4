-- also: not preloaded
-- Rules that every object of the extension keeps, those that do not exist yet included: every query must find nothing.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS mnist_hil CASCADE;
RESET client_min_messages;
CREATE SCHEMA "My Schema";
CREATE EXTENSION mnist_hil SCHEMA "My Schema";

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE d.deptype = 'e' AND e.extname = 'mnist_hil'
    -- From PostgreSQL 17 on also types of rows and of arrays, which come with their tables.
    AND NOT EXISTS (
        SELECT FROM pg_depend i WHERE d.classid = 'pg_type'::regclass AND i.classid = d.classid AND i.objid = d.objid
            AND i.deptype = 'i');
CREATE TEMP VIEW routine AS
SELECT p.* FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid;
CREATE TEMP VIEW relation AS
SELECT c.* FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

-- The views above see the extension.
SELECT (SELECT count(*) > 20 FROM routine) AS routines, (SELECT count(*) > 10 FROM relation) AS relations;

-- What users see bears the prefix and lies in the extension's schema; everything else lies in mnist_internal, which
-- nobody but the owner may use.
SELECT oid::regprocedure AS misplaced
FROM routine
WHERE CASE pronamespace WHEN '"My Schema"'::regnamespace THEN proname NOT LIKE 'mnist\_%' OR proname LIKE 'mnist\_hil%'
    ELSE pronamespace <> 'mnist_internal'::regnamespace END;
SELECT oid::regclass AS misplaced
FROM relation
WHERE CASE relnamespace WHEN '"My Schema"'::regnamespace THEN relname NOT LIKE 'mnist\_%' OR relname LIKE 'mnist\_hil%'
    ELSE relnamespace <> 'mnist_internal'::regnamespace END;
SELECT a.grantee::regrole AS may_use_internals, a.privilege_type
FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
WHERE n.nspname = 'mnist_internal' AND a.grantee <> n.nspowner;

-- What there is besides is looked at below, too.
SELECT DISTINCT m.classid::regclass AS kind FROM member m ORDER BY 1;
-- The event trigger looks at one command only.
SELECT t.evtname, t.evtevent, t.evtenabled, t.evttags, t.evtfoid::regproc
FROM pg_event_trigger t JOIN member m ON m.classid = 'pg_event_trigger'::regclass AND m.objid = t.oid;

-- Everything has a comment: functions, tables, views, and the columns that users see.
SELECT pg_describe_object(classid, objid, 0) AS no_comment
FROM member WHERE obj_description(objid, classid::regclass::name) IS NULL AND NOT EXISTS (
    SELECT FROM relation r WHERE classid = 'pg_class'::regclass AND r.oid = objid AND r.relkind = 'S');
SELECT oid::regprocedure AS no_comment FROM routine r WHERE obj_description(oid, 'pg_proc') IS NULL;
SELECT oid::regclass AS no_comment FROM relation r
WHERE relkind IN ('r', 'v', 'm') AND obj_description(oid, 'pg_class') IS NULL;
SELECT a.attrelid::regclass AS relation, a.attname AS no_comment
FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid
WHERE r.relkind IN ('r', 'v', 'm') AND r.relnamespace = '"My Schema"'::regnamespace
    AND a.attnum > 0 AND NOT a.attisdropped AND col_description(a.attrelid, a.attnum) IS NULL
ORDER BY a.attrelid::regclass::text, a.attnum;

-- No function looks for a name in a schema that others may write: its body is bound to what it calls when it is created
-- (BEGIN ATOMIC), or its path is pg_catalog alone.  C functions that run as the caller write qualified names.
SELECT oid::regprocedure AS search_path_not_pinned, prosecdef, proconfig
FROM routine r
WHERE (prosecdef OR prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c'))
    AND prokind <> 'a'
    AND prosqlbody IS NULL
    AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'));
SELECT oid::regprocedure AS other_search_path, setting
FROM routine r, unnest(r.proconfig) AS setting
WHERE setting LIKE 'search\_path=%' AND setting <> 'search_path=pg_catalog, pg_temp';

-- What PUBLIC may call writes nothing, and does not run as the owner.
SELECT oid::regprocedure AS open_to_public
FROM routine r
WHERE EXISTS (
        SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a
        WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
    AND (provolatile = 'v' OR prosecdef OR proparallel = 'u')
    AND oid::regproc NOT IN ('mnist_internal.cache', 'mnist_internal.process_alive',
        'mnist_internal.check_job')    -- they look, for views
ORDER BY 1;
-- This is all of it.
\pset footer off
SELECT proname AS open_to_public
FROM routine r
WHERE EXISTS (
    SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a WHERE a.grantee = 0)
ORDER BY proname COLLATE "C";
\pset footer on

-- Tables, views and sequences are open to nobody.
SELECT oid::regclass AS open_to_somebody
FROM relation r
WHERE EXISTS (
    SELECT FROM aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char",
        relowner))) AS a
    WHERE a.grantee <> relowner);
SELECT attrelid::regclass, attname AS open_to_somebody
FROM pg_attribute JOIN relation r ON r.oid = attrelid WHERE attacl IS NOT NULL;

-- A function that is VOLATILE is not PARALLEL SAFE.
SELECT oid::regprocedure AS wrongly_safe FROM routine WHERE provolatile = 'v' AND proparallel = 's';

-- pg_dump takes every table and every sequence along with all rows, but for what triggers fill from another table, and
-- how far retention came, which the restored database finds out anew.
SELECT c.id::regclass AS not_all_dumped, c.condition
FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS c (id, condition)
WHERE e.extname = 'mnist_hil' AND c.condition <> '';
SELECT r.oid::regclass AS not_dumped
FROM relation r, pg_extension e
WHERE r.relkind IN ('r', 'S') AND e.extname = 'mnist_hil' AND r.oid <> ALL (e.extconfig)
    AND r.relname NOT IN ('mnist_label', 'tally', 'metric', 'privilege', 'run_feedback_row', 'feedback_image');
-- Foreign keys make a chain that it can follow: no table refers to itself, nor two to each other.
WITH RECURSIVE reference AS (
    SELECT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid IN (SELECT oid FROM relation)
    UNION
    SELECT r.conrelid, c.confrelid
    FROM reference r JOIN pg_constraint c ON c.contype = 'f' AND c.conrelid = r.confrelid
)
SELECT conrelid::regclass AS refers_to_itself FROM reference WHERE conrelid = confrelid;

-- No view looks at system catalogs: pg_upgrade could not bring it over when they change.
SELECT DISTINCT v.oid::regclass AS view, d.refobjid::regclass AS catalog
FROM relation v
JOIN pg_rewrite w ON w.ev_class = v.oid
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
WHERE v.relkind IN ('v', 'm') AND d.refobjid < 16384;

-- Every table has a primary key, or its rows can be told to a subscriber nevertheless.
SELECT oid::regclass AS no_primary_key
FROM relation r
WHERE r.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = r.oid AND i.indisprimary)
    AND (SELECT c.relreplident FROM pg_class c WHERE c.oid = r.oid) <> 'f';

DROP EXTENSION mnist_hil;
DROP VIEW relation, routine, member;
DROP SCHEMA "My Schema";
