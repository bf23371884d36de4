\echo Use "ALTER EXTENSION mnist_hil UPDATE TO '0.2.0'" to load this file. \quit

/*
 * From 0.1.0 to 0.2.0.  The install script runs after this one, and only adds and replaces objects; this script makes
 * the other changes.  Objects that it drops and the install script creates again keep their privileges (upgraded.sql).
 */
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA mnist_internal;

---------------------------------------------------------------- internals move to a schema of their own

-- mnist_hil_x becomes mnist_internal.x.  It stays the same object, with its dependencies and privileges.
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

-- Save all privileges before anything is dropped; upgraded.sql restores them.
CREATE TABLE mnist_internal.saved_privileges AS
SELECT d.classid AS class, i.identity, concat_ws('.', i.schema, quote_ident(o.name)) AS name, o.acl,
    p.initprivs AS init_acl
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

---------------------------------------------------------------- dropped, or with another signature

DROP FUNCTION @extschema@.mnist_reproduce(bigint);
DROP TYPE @extschema@.mnist_reproduction;
DROP FUNCTION mnist_internal.doubt(bigint, bigint[], int[], int[], real[], real[]);
DROP FUNCTION mnist_internal.retain(interval);
DROP FUNCTION mnist_internal.retain_events(timestamptz, int);
DROP FUNCTION mnist_internal.retain_predictions(timestamptz, int);
DROP FUNCTION mnist_internal.enough_failures(int, int);
DROP FUNCTION mnist_internal.figure(text, text);
DROP FUNCTION mnist_internal.resolve(bigint[]);
DROP FUNCTION mnist_internal.run_drawings(bigint);
DROP FUNCTION mnist_internal.note_used(bigint[]);
DROP FUNCTION mnist_internal.words(float8, int);
DROP FUNCTION mnist_internal.drift_readings(int, boolean, int);
DROP FUNCTION mnist_internal.report_confusion();
DROP FUNCTION mnist_internal.cron_next(text, timestamptz, text);
DROP FUNCTION mnist_internal.cron_field(text, int, int, text[]);
DROP FUNCTION @extschema@.mnist_retrain(text, text[], int, bigint, boolean, text[], real, int, boolean, int, boolean,
    bigint, int, int);
DROP FUNCTION @extschema@.mnist_challenge(int, real, boolean, text);
-- Views use these until they are replaced; upgraded.sql drops functions called replaced_x.
ALTER FUNCTION mnist_internal.cache() RENAME TO replaced_cache;
ALTER FUNCTION mnist_internal.check_job() RENAME TO replaced_check_job;

-- In internal views only columns that need a comment still have one.
DO $$
DECLARE
    commented record;
BEGIN
    FOR commented IN
        SELECT a.attrelid::regclass AS view, a.attname AS name
        FROM pg_attribute a
        WHERE a.attnum > 0
            AND a.attrelid = ANY ('{mnist_internal.kept_model,mnist_internal.retry,mnist_internal.votes}'::regclass[])
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS NULL', commented.view, commented.name);
    END LOOP;
END
$$;

---------------------------------------------------------------- tables

-- The decision 'promotion pending' is new.
ALTER TABLE @extschema@.mnist_run
    DROP CONSTRAINT mnist_run_decision_check,
    ADD CONSTRAINT mnist_run_decision_check CHECK (decision IN ('promoted', 'rejected', 'awaiting approval', 'approved',
        'not promoted', 'promotion pending'));
ALTER TABLE @extschema@.mnist_run ADD COLUMN training_started_at timestamptz;

-- What the recipe and the time budget did.
ALTER TABLE @extschema@.mnist_run
    ADD COLUMN recipe_id bigint,
    ADD COLUMN time_budget interval,
    ADD COLUMN shortened text;

ALTER TABLE @extschema@.mnist_challenger ADD COLUMN promote_when_better boolean NOT NULL DEFAULT false;
ALTER TABLE @extschema@.mnist_challenger ADD COLUMN after_prediction bigint NOT NULL DEFAULT 0;

-- The hash that feedback copies is now computed when the prediction is stored.
ALTER TABLE @extschema@.mnist_prediction ADD COLUMN pixels_sha256 bytea;

-- The position of retention was an id; now it is a time and an id.
ALTER TABLE @extschema@.mnist_retention ADD COLUMN created_at timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE @extschema@.mnist_retention ADD COLUMN begun_at timestamptz NOT NULL DEFAULT '-infinity';
UPDATE @extschema@.mnist_retention SET prediction_id = 0;

---------------------------------------------------------------- which feedback a run used: the table becomes a view

-- mnist_run_feedback had a row for each run and each label; upgraded.sql converts these rows.
CREATE TABLE mnist_internal.run_feedback_row (
    run_id       bigint NOT NULL,
    feedback_id  bigint NOT NULL,
    label        smallint,
    weight       real NOT NULL,
    reason       text,
    doubted_as   smallint,
    doubt        real,
    PRIMARY KEY (run_id, feedback_id)
);
INSERT INTO mnist_internal.run_feedback_row (run_id, feedback_id, label, weight, reason, doubted_as, doubt)
SELECT u.run_id, u.feedback_id, u.label, u.weight, u.reason, u.doubted_as, u.doubt
FROM @extschema@.mnist_run_feedback u;
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
ALTER TABLE @extschema@.mnist_dataset ADD COLUMN images int CHECK (images >= 0);
UPDATE @extschema@.mnist_dataset d
SET images = (SELECT count(*) FROM @extschema@.mnist_sample s WHERE s.dataset_id = d.id);
ALTER TABLE @extschema@.mnist_sample ADD COLUMN pixels_sha256 bytea NOT NULL
    GENERATED ALWAYS AS (sha256(pixels)) STORED;
