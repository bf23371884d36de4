/*
 * Rows of 0.1.0, converted to snapshots.  In 0.1.0 mnist_run_feedback was a table with a row for each run and each
 * label.  Such rows come from an upgrade, or from a dump of 0.1.0, which pg_restore copies into the view.
 */

CREATE TABLE IF NOT EXISTS mnist_internal.run_feedback_row (
    run_id       bigint NOT NULL,
    feedback_id  bigint NOT NULL,
    label        smallint,
    weight       real NOT NULL,
    reason       text,
    doubted_as   smallint,
    doubt        real,
    PRIMARY KEY (run_id, feedback_id)
);
COMMENT ON TABLE mnist_internal.run_feedback_row IS
    'rows of 0.1.0''s mnist_run_feedback until they are converted; empty except in an upgrade, or while a dump of '
    '0.1.0 is restored; internal';

CREATE OR REPLACE FUNCTION mnist_internal.take_run_feedback() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM mnist_internal.run_feedback_row u) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM mnist_internal.snapshot s) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'mnist_run_feedback cannot be inserted into',
            DETAIL = 'There are runs already; they write down by themselves which feedback they used.',
            HINT = 'A dump of mnist_hil 0.1.0 is restored into a database of its own.';
    END IF;

    -- Runs that reproduce another run have its snapshot; all others have their own.
    INSERT INTO mnist_internal.snapshot (id, newest, added)
    SELECT u.run_id, max(max(u.feedback_id)) OVER (ORDER BY u.run_id),
        coalesce(range_agg(int8range(u.feedback_id, u.feedback_id, '[]')) FILTER (WHERE u.first_run = u.run_id), '{}')
    FROM (
        SELECT o.run_id, o.feedback_id, min(o.run_id) OVER (PARTITION BY o.feedback_id) AS first_run
        FROM mnist_internal.run_feedback_row o
        JOIN @extschema@.mnist_run r ON r.id = o.run_id
        WHERE r.reproduces IS NULL) u
    GROUP BY u.run_id;

    -- Consecutive runs in which feedback counted the same make one row.
    INSERT INTO mnist_internal.snapshot_exception (feedback_id, first_snapshot, next_snapshot, label, weight, reason)
    WITH run AS MATERIALIZED (
        SELECT s.id, row_number() OVER (ORDER BY s.id) AS n, lead(s.id) OVER (ORDER BY s.id) AS next
        FROM mnist_internal.snapshot s
    ), exception AS (
        SELECT u.feedback_id, r.n, u.label, u.weight, u.reason
        FROM mnist_internal.run_feedback_row u
        JOIN run r ON r.id = u.run_id
        WHERE u.reason <> 'doubted'
        UNION ALL
        SELECT f.feedback_id, r.n, NULL, 0, 'replaced'
        FROM (
            SELECT u.feedback_id, min(r.n) AS n
            FROM mnist_internal.run_feedback_row u
            JOIN run r ON r.id = u.run_id
            GROUP BY u.feedback_id) f
        JOIN run r ON r.n > f.n
        WHERE NOT EXISTS (
            SELECT FROM mnist_internal.run_feedback_row u WHERE u.run_id = r.id AND u.feedback_id = f.feedback_id)
    ), island AS (
        SELECT i.feedback_id, i.label, i.weight, i.reason, min(i.n) AS first, max(i.n) AS last
        FROM (
            SELECT e.*,
                e.n - row_number() OVER (PARTITION BY e.feedback_id, e.label, e.weight, e.reason ORDER BY e.n) AS island
            FROM exception e) i
        GROUP BY i.feedback_id, i.label, i.weight, i.reason, i.island
    )
    SELECT i.feedback_id, a.id, b.next, i.label, i.weight, i.reason
    FROM island i
    JOIN run a ON a.n = i.first
    JOIN run b ON b.n = i.last;

    INSERT INTO mnist_internal.run_excluded (run_id, feedback_id, doubted_as, doubt)
    SELECT u.run_id, u.feedback_id, u.doubted_as, u.doubt
    FROM mnist_internal.run_feedback_row u
    WHERE u.reason = 'doubted';

    INSERT INTO mnist_internal.run_snapshot (run_id, snapshot_id)
    WITH RECURSIVE origin (run_id, snapshot_id) AS (
        SELECT s.id, s.id FROM mnist_internal.snapshot s
        UNION ALL
        SELECT r.id, o.snapshot_id FROM @extschema@.mnist_run r JOIN origin o ON r.reproduces = o.run_id
    )
    SELECT o.run_id, o.snapshot_id
    FROM origin o
    WHERE o.run_id IN (SELECT u.run_id FROM mnist_internal.run_feedback_row u);
    TRUNCATE mnist_internal.run_feedback_row;
END
$$;
COMMENT ON FUNCTION mnist_internal.take_run_feedback() IS
    'convert the rows of 0.1.0''s mnist_run_feedback, in mnist_internal.run_feedback_row, to their present form; '
    'internal';

CREATE OR REPLACE FUNCTION mnist_internal.run_feedback_restored() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_LEVEL = 'STATEMENT' THEN
        PERFORM mnist_internal.take_run_feedback();
        RETURN NULL;
    END IF;
    INSERT INTO mnist_internal.run_feedback_row (run_id, feedback_id, label, weight, reason, doubted_as, doubt)
    VALUES (NEW.run_id, NEW.feedback_id, NEW.label, NEW.weight, NEW.reason, NEW.doubted_as, NEW.doubt);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION mnist_internal.run_feedback_restored() IS
    'trigger that takes the rows that a restore of a dump of 0.1.0 inserts into mnist_run_feedback; internal';

CREATE OR REPLACE TRIGGER mnist_run_feedback_row INSTEAD OF INSERT ON @extschema@.mnist_run_feedback
    FOR EACH ROW EXECUTE FUNCTION mnist_internal.run_feedback_restored();
CREATE OR REPLACE TRIGGER mnist_run_feedback_restored AFTER INSERT ON @extschema@.mnist_run_feedback
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.run_feedback_restored();
