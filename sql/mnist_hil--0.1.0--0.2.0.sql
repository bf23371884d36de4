\echo Use "ALTER EXTENSION mnist_hil UPDATE TO '0.2.0'" to load this file. \quit

/*
 * From 0.1.0 to 0.2.0: what the install script, which is run after this, cannot do because it only adds and replaces.
 * What is dropped here and made anew there keeps the privileges granted on it (95-upgraded.sql).
 */
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA mnist_internal;

---------------------------------------------------------------- internals move to a schema of their own

-- mnist_hil_x becomes mnist_internal.x.  It stays the same object, so what rests on it stays, and who may use it.
DO $$
DECLARE
    moved record;
BEGIN
    FOR moved IN
        SELECT i.type, i.identity, o.name, o.arguments
        FROM pg_depend d
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        JOIN (
            SELECT p.tableoid AS class, p.oid, p.proname AS name,
                format('(%s)', pg_get_function_identity_arguments(p.oid)) AS arguments
            FROM pg_proc p
            UNION ALL
            SELECT c.tableoid, c.oid, c.relname, ''
            FROM pg_class c) AS o ON o.class = d.classid AND o.oid = d.objid
        CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
        WHERE d.deptype = 'e' AND e.extname = 'mnist_hil' AND o.name LIKE 'mnist\_hil\_%'
    LOOP
        EXECUTE format('ALTER %s %s SET SCHEMA mnist_internal', moved.type, moved.identity);
        EXECUTE format('ALTER %s mnist_internal.%I%s RENAME TO %I', moved.type, moved.name, moved.arguments,
            substr(moved.name, length('mnist_hil_') + 1));
    END LOOP;
END
$$;

-- Privileges as they are, before anything is dropped: 95-upgraded.sql puts them back.
CREATE TABLE mnist_internal.saved_privileges AS
SELECT d.classid AS class, i.identity, concat_ws('.', quote_ident(i.schema), quote_ident(o.name)) AS name, o.acl, p.initprivs AS init_acl
FROM pg_depend d
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
JOIN (
    SELECT p.tableoid AS class, p.oid, p.proname AS name, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
    FROM pg_proc p
    UNION ALL
    SELECT c.tableoid, c.oid, c.relname,
        coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
    FROM pg_class c) AS o ON o.class = d.classid AND o.oid = d.objid
LEFT JOIN pg_init_privs p ON p.classoid = d.classid AND p.objoid = d.objid AND p.objsubid = 0
CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
WHERE d.deptype = 'e' AND e.extname = 'mnist_hil';

---------------------------------------------------------------- what is gone, or returns something else

DROP FUNCTION @extschema@.mnist_reproduce(bigint);
DROP TYPE @extschema@.mnist_reproduction;
DROP FUNCTION mnist_internal.doubt(bigint, bigint[], int[], int[], real[], real[]);
DROP FUNCTION mnist_internal.retain(interval);
DROP FUNCTION mnist_internal.retain_events(timestamptz, int);
DROP FUNCTION mnist_internal.retain_predictions(timestamptz, int);
-- Views use it until they are replaced; 95-upgraded.sql drops what is called replaced_x.
ALTER FUNCTION mnist_internal.cache() RENAME TO replaced_cache;

---------------------------------------------------------------- tables

-- A decision more.
ALTER TABLE @extschema@.mnist_run
    DROP CONSTRAINT mnist_run_decision_check,
    ADD CONSTRAINT mnist_run_decision_check CHECK (decision IN ('promoted', 'rejected', 'awaiting approval', 'approved',
        'not promoted', 'promotion pending'));

-- How far the deletion of old predictions came, which was an id, is a time and an id.
ALTER TABLE @extschema@.mnist_retention ADD COLUMN created_at timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE @extschema@.mnist_retention ADD COLUMN begun_at timestamptz NOT NULL DEFAULT '-infinity';
UPDATE @extschema@.mnist_retention SET prediction_id = 0;

---------------------------------------------------------------- which feedback a run used: the table becomes a view

/*
 * mnist_run_feedback had a row for each run and each word of feedback.  What it says goes over to the tables that the
 * install script describes (10-tables.sql, 45-snapshot.sql).
 */
CREATE SCHEMA IF NOT EXISTS mnist_internal;
CREATE TABLE mnist_internal.snapshot (
    id      bigint PRIMARY KEY,
    newest  bigint NOT NULL,
    added   int8multirange NOT NULL CHECK (NOT lower_inf(added) AND NOT upper_inf(added))
);
CREATE TABLE mnist_internal.run_snapshot (
    run_id       bigint PRIMARY KEY REFERENCES @extschema@.mnist_run ON DELETE CASCADE,
    snapshot_id  bigint NOT NULL REFERENCES mnist_internal.snapshot
);
CREATE TABLE mnist_internal.snapshot_exception (
    feedback_id     bigint NOT NULL,
    first_snapshot  bigint NOT NULL,
    next_snapshot   bigint CHECK (next_snapshot > first_snapshot),
    label           smallint CHECK (label BETWEEN 0 AND 9),
    weight          real NOT NULL CHECK (weight >= 0 AND weight < 1),
    reason          text NOT NULL CHECK (reason IN ('superseded', 'tie', 'outvoted', 'share', 'replaced')),
    PRIMARY KEY (feedback_id, first_snapshot)
);
CREATE TABLE mnist_internal.run_excluded (
    run_id       bigint NOT NULL REFERENCES @extschema@.mnist_run ON DELETE CASCADE,
    feedback_id  bigint NOT NULL,
    doubted_as   smallint NOT NULL CHECK (doubted_as BETWEEN 0 AND 9),
    doubt        real NOT NULL CHECK (doubt BETWEEN 0 AND 1),
    label_probability real CHECK (label_probability BETWEEN 0 AND 1),
    reference_share   real CHECK (reference_share BETWEEN 0 AND 1),
    annotator_share   real CHECK (annotator_share BETWEEN 0 AND 1),
    PRIMARY KEY (run_id, feedback_id)
);

-- Runs that reproduce another have its snapshot; all others one of their own.
CREATE TEMP TABLE mnist_upgrade_run ON COMMIT DROP AS
SELECT o.id, row_number() OVER (ORDER BY o.id) AS n, lead(o.id) OVER (ORDER BY o.id) AS next
FROM (
    SELECT r.id
    FROM @extschema@.mnist_run r
    WHERE r.reproduces IS NULL AND EXISTS (SELECT FROM @extschema@.mnist_run_feedback u WHERE u.run_id = r.id)) o;

INSERT INTO mnist_internal.snapshot (id, newest, added)
SELECT r.id, max(max(f.feedback_id)) OVER (ORDER BY r.id),
    coalesce(range_agg(int8range(f.feedback_id, f.feedback_id, '[]')) FILTER (WHERE f.first_run = r.id), '{}')
FROM mnist_upgrade_run r
JOIN (
    SELECT u.run_id, u.feedback_id, min(u.run_id) OVER (PARTITION BY u.feedback_id) AS first_run
    FROM @extschema@.mnist_run_feedback u
    JOIN mnist_upgrade_run o ON o.id = u.run_id) f ON f.run_id = r.id
GROUP BY r.id;

INSERT INTO mnist_internal.run_snapshot (run_id, snapshot_id)
WITH RECURSIVE origin (run_id, snapshot_id) AS (
    SELECT s.id, s.id FROM mnist_internal.snapshot s
    UNION ALL
    SELECT r.id, o.snapshot_id FROM @extschema@.mnist_run r JOIN origin o ON r.reproduces = o.run_id
)
SELECT o.run_id, o.snapshot_id
FROM origin o
WHERE o.run_id = o.snapshot_id OR EXISTS (SELECT FROM @extschema@.mnist_run_feedback u WHERE u.run_id = o.run_id);

-- Runs in a row in which feedback counted the same make one row.
INSERT INTO mnist_internal.snapshot_exception (feedback_id, first_snapshot, next_snapshot, label, weight, reason)
SELECT i.feedback_id, a.id, b.next, i.label, i.weight, i.reason
FROM (
    SELECT s.feedback_id, s.label, s.weight, s.reason, min(s.n) AS first, max(s.n) AS last
    FROM (
        SELECT e.*, e.n - row_number() OVER (PARTITION BY e.feedback_id, e.label, e.weight, e.reason ORDER BY e.n) AS island
        FROM (
            SELECT u.feedback_id, r.n, u.label, u.weight, u.reason
            FROM @extschema@.mnist_run_feedback u
            JOIN mnist_upgrade_run r ON r.id = u.run_id
            WHERE u.reason <> 'doubted'
            UNION ALL
            SELECT f.feedback_id, r.n, NULL, 0, 'replaced'
            FROM (
                SELECT u.feedback_id, min(o.n) AS n
                FROM @extschema@.mnist_run_feedback u
                JOIN mnist_upgrade_run o ON o.id = u.run_id
                GROUP BY u.feedback_id) f
            JOIN mnist_upgrade_run r ON r.n > f.n
            WHERE NOT EXISTS (
                SELECT FROM @extschema@.mnist_run_feedback u WHERE u.run_id = r.id AND u.feedback_id = f.feedback_id)) e) s
    GROUP BY s.feedback_id, s.label, s.weight, s.reason, s.island) i
JOIN mnist_upgrade_run a ON a.n = i.first
JOIN mnist_upgrade_run b ON b.n = i.last;

INSERT INTO mnist_internal.run_excluded (run_id, feedback_id, doubted_as, doubt)
SELECT u.run_id, u.feedback_id, u.doubted_as, u.doubt
FROM @extschema@.mnist_run_feedback u
WHERE u.reason = 'doubted';

DROP TABLE mnist_upgrade_run;
DROP VIEW @extschema@.mnist_set_aside;
ALTER EXTENSION mnist_hil DROP TABLE @extschema@.mnist_run_feedback;
DROP TABLE @extschema@.mnist_run_feedback;
DROP FUNCTION IF EXISTS mnist_internal.feedback_used(), @extschema@.mnist_hil_feedback_used();

---------------------------------------------------------------- counts, and images by their hash

CREATE TABLE mnist_internal.tally (
    label            smallint,
    predicted_label  smallint,
    new              boolean,
    labels           bigint NOT NULL DEFAULT 0,
    feedback         bigint NOT NULL DEFAULT 0
);
INSERT INTO mnist_internal.tally (label, predicted_label, new, labels)
SELECT l.label, l.predicted_label, l.new, count(*)
FROM @extschema@.mnist_label l
WHERE l.label IS NOT NULL
GROUP BY 1, 2, 3;
INSERT INTO mnist_internal.tally (feedback) SELECT count(*) FROM @extschema@.mnist_feedback f;

DROP INDEX @extschema@.mnist_label_new, @extschema@.mnist_label_new_failures;
ALTER TABLE @extschema@.mnist_dataset ADD COLUMN images int NOT NULL DEFAULT 0 CHECK (images >= 0);
UPDATE @extschema@.mnist_dataset d
SET images = (SELECT count(*) FROM @extschema@.mnist_sample s WHERE s.dataset_id = d.id);
ALTER TABLE @extschema@.mnist_sample ADD COLUMN pixels_sha256 bytea NOT NULL GENERATED ALWAYS AS (sha256(pixels)) STORED;
