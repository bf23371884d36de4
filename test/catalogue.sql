-- What the catalogs say of the extension: a line a fact, the same for two databases whose extensions are the same.
-- Numbers of objects are left out, names stand for them; columns count without those that were dropped.
SET search_path = pg_catalog;
SET client_min_messages = warning;
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid, (pg_identify_object(d.classid, d.objid, 0)).identity
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE d.deptype = 'e' AND e.extname = 'mnist_hil';
CREATE TEMP VIEW relation AS
SELECT c.*, m.identity FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;
CREATE FUNCTION pg_temp.privileges(acl aclitem[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
        a.privilege_type, CASE WHEN a.is_grantable THEN 'grantable' END), ', '
        ORDER BY a.grantee::regrole::text, a.privilege_type)
    FROM aclexplode(acl) AS a
$$;

CREATE TEMP VIEW fact (object, what, value) AS
SELECT m.identity, 'member', m.classid::regclass::text FROM member m
UNION ALL
SELECT m.identity, 'comment', obj_description(m.objid, m.classid::regclass::name) FROM member m
UNION ALL
SELECT 'extension', a.what, a.value
FROM pg_extension e, LATERAL (VALUES
    ('version', e.extversion),
    ('schema', e.extnamespace::regnamespace::text),
    ('owner', e.extowner::regrole::text),
    ('relocatable', e.extrelocatable::text)) AS a (what, value)
WHERE e.extname = 'mnist_hil'
UNION ALL
SELECT c.id::regclass::text, 'dumped', '"' || c.condition || '"'
FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS c (id, condition)
WHERE e.extname = 'mnist_hil'
UNION ALL
SELECT m.identity, a.what, a.value
FROM member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid, LATERAL (VALUES
    ('owner', n.nspowner::regrole::text),
    ('privileges', pg_temp.privileges(coalesce(n.nspacl, acldefault('n', n.nspowner))))) AS a (what, value)
-- routines
UNION ALL
SELECT m.identity, a.what, a.value
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid, LATERAL (VALUES
    ('definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END),
    ('aggregate', (SELECT to_jsonb(g) - 'aggfnoid' FROM pg_aggregate g WHERE g.aggfnoid = p.oid)::text),
    ('kind', concat_ws(' ', p.prokind, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof,
        p.procost, p.prorows)),
    ('arguments', pg_get_function_arguments(p.oid)),
    ('result', pg_get_function_result(p.oid)),
    ('owner', p.proowner::regrole::text),
    ('privileges', pg_temp.privileges(coalesce(p.proacl, acldefault('f', p.proowner))))) AS a (what, value)
-- tables, views, sequences
UNION ALL
SELECT c.identity, a.what, a.value
FROM relation c, LATERAL (VALUES
    ('kind', concat_ws(' ', c.relkind, c.relpersistence, c.relreplident, c.relrowsecurity, c.relforcerowsecurity)),
    ('options', c.reloptions::text),
    ('options of its TOAST table', (SELECT t.reloptions::text FROM pg_class t WHERE t.oid = c.reltoastrelid)),
    ('view', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END),
    ('sequence', (SELECT to_jsonb(s) - 'seqrelid' FROM pg_sequence s WHERE s.seqrelid = c.oid)::text),
    ('owner', c.relowner::regrole::text),
    ('privileges', pg_temp.privileges(coalesce(c.relacl,
        acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))))) AS a (what, value)
UNION ALL
SELECT c.identity, 'column ' || row_number() OVER (PARTITION BY c.oid ORDER BY t.attnum), concat_ws(' ', t.attname,
    format_type(t.atttypid, t.atttypmod), t.attnotnull, t.attstorage, t.attcompression, t.attidentity, t.attgenerated,
    t.attstattarget, t.attislocal, (SELECT array_agg(o) FROM unnest(t.attoptions) AS o WHERE o LIKE 'n\_distinct%'),
    t.attcollation::regcollation, pg_temp.privileges(t.attacl),
    'default', pg_get_expr(d.adbin, d.adrelid), 'comment', col_description(c.oid, t.attnum))
FROM relation c
JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = t.attnum
UNION ALL
SELECT c.identity, 'constraint ' || k.conname, concat_ws(' ', pg_get_constraintdef(k.oid), k.convalidated,
    k.condeferrable, obj_description(k.oid, 'pg_constraint'))
FROM relation c JOIN pg_constraint k ON k.conrelid = c.oid
UNION ALL
SELECT c.identity, 'index ' || i.indexrelid::regclass, concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid,
    i.indisclustered, i.indisreplident, x.reloptions, obj_description(x.oid, 'pg_class'))
FROM relation c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid
UNION ALL
SELECT c.identity, 'trigger ' || t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled,
    obj_description(t.oid, 'pg_trigger'))
FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
UNION ALL
SELECT c.identity, 'rule ' || r.rulename, concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled)
FROM relation c JOIN pg_rewrite r ON r.ev_class = c.oid
-- the rest
UNION ALL
SELECT m.identity, 'event trigger', concat_ws(' ', t.evtevent, t.evtfoid::regproc, t.evtenabled, t.evttags,
    t.evtowner::regrole)
FROM member m JOIN pg_event_trigger t ON m.classid = 'pg_event_trigger'::regclass AND m.objid = t.oid
UNION ALL
SELECT m.identity, 'initial privileges', pg_temp.privileges(i.initprivs)
FROM member m JOIN pg_init_privs i ON i.classoid = m.classid AND i.objoid = m.objid
-- what rests on what
UNION ALL
SELECT m.identity, format('depends on (%s)', d.deptype), pg_describe_object(d.refclassid, d.refobjid, 0)
FROM member m JOIN pg_depend d ON d.classid = m.classid AND d.objid = m.objid
WHERE d.deptype <> 'e';

SELECT DISTINCT format('%s: %s: %s', object, what, replace(value, E'\n', ' ')) COLLATE "C"
FROM fact WHERE value IS NOT NULL ORDER BY 1;
