/*
 * Numbers of labels and feedback (mnist_internal.tally).
 *
 * Every statement that changes mnist_label or mnist_feedback inserts rows that say by how much: transactions wait for
 * nobody, and what is rolled back does not count.  Now and then somebody who adds feedback replaces the rows by their
 * sums, so that there are never many more than a thousand to sum up, whatever they add up to.
 */

CREATE OR REPLACE FUNCTION mnist_internal.label_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO mnist_internal.tally (label, predicted_label, new, labels)
        SELECT l.label, l.predicted_label, l.new, count(*)
        FROM after l
        WHERE l.label IS NOT NULL
        GROUP BY 1, 2, 3;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO mnist_internal.tally (label, predicted_label, new, labels)
        SELECT l.label, l.predicted_label, l.new, -count(*)
        FROM before l
        WHERE l.label IS NOT NULL
        GROUP BY 1, 2, 3;
    ELSIF EXISTS (SELECT FROM after) THEN
        -- INSERT ... ON CONFLICT comes here, too, mostly with nothing.
        INSERT INTO mnist_internal.tally (label, predicted_label, new, labels)
        SELECT l.label, l.predicted_label, l.new, sum(l.n)
        FROM (
            SELECT a.label, a.predicted_label, a.new, 1 AS n FROM after a
            UNION ALL
            SELECT b.label, b.predicted_label, b.new, -1 FROM before b) l
        WHERE l.label IS NOT NULL
        GROUP BY 1, 2, 3
        HAVING sum(l.n) <> 0;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.label_changed() IS 'trigger that counts labels; internal';

CREATE OR REPLACE TRIGGER mnist_label_added AFTER INSERT ON @extschema@.mnist_label
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.label_changed();
CREATE OR REPLACE TRIGGER mnist_label_changed AFTER UPDATE ON @extschema@.mnist_label
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.label_changed();
CREATE OR REPLACE TRIGGER mnist_label_removed AFTER DELETE ON @extschema@.mnist_label
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.label_changed();

-- Of two at once each takes the rows that the other has not locked.  Under REPEATABLE READ rows that another one has
-- replaced since the snapshot was taken are an error, which is no reason to fail: they are replaced.
CREATE OR REPLACE FUNCTION mnist_internal.compact_tally() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH gone AS (
        DELETE FROM mnist_internal.tally t
        WHERE t.ctid = ANY (ARRAY(SELECT f.ctid FROM mnist_internal.tally f FOR UPDATE SKIP LOCKED))
        RETURNING t.label, t.predicted_label, t.new, t.labels, t.feedback
    )
    INSERT INTO mnist_internal.tally (label, predicted_label, new, labels, feedback)
    SELECT g.label, g.predicted_label, g.new, sum(g.labels), sum(g.feedback)
    FROM gone g
    GROUP BY 1, 2, 3
    HAVING sum(g.labels) <> 0 OR sum(g.feedback) <> 0;
EXCEPTION WHEN serialization_failure THEN
    NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.compact_tally() IS 'replace the rows of mnist_internal.tally by their sums; internal';
