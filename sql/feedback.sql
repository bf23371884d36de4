/*
 * Feedback: the labels that annotators give to predictions, and the label that results for each prediction.
 *
 * mnist_feedback keeps every label that an annotator gave.  mnist_label has one row for each labelled prediction;
 * triggers keep it up to date, because computing 100,000 labels on every query would take too long.  A lock on the
 * prediction serialises two annotators of the same prediction, so that the second one counts the vote of the first.
 *
 * A label is new if no completed run has used it; snapshot.sql determines that.
 */

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_feedback_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_feedback (
    id               bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_feedback_id_seq'),
    prediction_id    bigint NOT NULL REFERENCES @extschema@.mnist_prediction,
    label            smallint NOT NULL CHECK (label BETWEEN 0 AND 9),
    predicted_label  smallint NOT NULL,
    model_version    int NOT NULL,
    annotator        name NOT NULL,
    challenge_id     bigint,
    challenger_label smallint,
    pixels_sha256    bytea NOT NULL CHECK (octet_length(pixels_sha256) = 32),
    held_out         boolean NOT NULL GENERATED ALWAYS AS (get_byte(pixels_sha256, 0) % 5 = 0) STORED,
    created_at       timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE @extschema@.mnist_feedback_id_seq OWNED BY @extschema@.mnist_feedback.id;
CREATE INDEX IF NOT EXISTS mnist_feedback_newest ON @extschema@.mnist_feedback (prediction_id, annotator, id DESC);

COMMENT ON TABLE @extschema@.mnist_feedback IS
    'the labels that annotators gave to predictions; rows never change: the newest row of an annotator on a '
    'prediction counts';
COMMENT ON COLUMN @extschema@.mnist_feedback.id IS 'the feedback';
COMMENT ON COLUMN @extschema@.mnist_feedback.prediction_id IS 'the prediction';
COMMENT ON COLUMN @extschema@.mnist_feedback.label IS 'the digit that the image shows, according to the annotator';
COMMENT ON COLUMN @extschema@.mnist_feedback.predicted_label IS 'the predicted digit';
COMMENT ON COLUMN @extschema@.mnist_feedback.model_version IS 'the model that made it';
COMMENT ON COLUMN @extschema@.mnist_feedback.challenge_id IS
    'the challenge that was under way at the prediction, or NULL';
COMMENT ON COLUMN @extschema@.mnist_feedback.challenger_label IS
    'the digit that the challenger predicted in shadow mode, or NULL';
COMMENT ON COLUMN @extschema@.mnist_feedback.annotator IS 'the role that gave the label';
COMMENT ON COLUMN @extschema@.mnist_feedback.pixels_sha256 IS 'SHA-256 of the image brought to MNIST''s form';
COMMENT ON COLUMN @extschema@.mnist_feedback.held_out IS
    'held out: never trained on, used only to compare models; follows from the pixels, one in five';
COMMENT ON COLUMN @extschema@.mnist_feedback.created_at IS 'when its transaction began';

CREATE OR REPLACE TRIGGER mnist_feedback_refuse BEFORE UPDATE OR TRUNCATE ON @extschema@.mnist_feedback
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.refuse(
        'To change your mind, call mnist_correct again; to erase a person''s data, use mnist_erase.');

SELECT pg_extension_config_dump('@extschema@.mnist_feedback', '');
SELECT pg_extension_config_dump('@extschema@.mnist_feedback_id_seq', '');

CREATE TABLE IF NOT EXISTS @extschema@.mnist_label (
    prediction_id    bigint PRIMARY KEY,
    label            smallint CHECK (label BETWEEN 0 AND 9),
    predicted_label  smallint NOT NULL,
    model_version    int NOT NULL,
    challenge_id     bigint,
    challenger_label smallint,
    votes            int NOT NULL CHECK (votes > 0),
    annotators       int NOT NULL CHECK (annotators >= votes),
    new              boolean NOT NULL,
    pixels_sha256    bytea NOT NULL,
    held_out         boolean NOT NULL,
    feedback_ids     bigint[] NOT NULL,
    predicted_at     timestamptz,
    confidence       real
) WITH (fillfactor = 80);

-- The labels that no run has used: for marking them as used, and for the accuracy of the newest ones.
CREATE INDEX IF NOT EXISTS mnist_label_new ON @extschema@.mnist_label (prediction_id) WHERE new;
CREATE INDEX IF NOT EXISTS mnist_label_shared ON @extschema@.mnist_label (prediction_id) WHERE annotators > 1;
-- For mnist_label_conflict, to find images with different labels.
CREATE INDEX IF NOT EXISTS mnist_label_by_pixels ON @extschema@.mnist_label (pixels_sha256)
    INCLUDE (label, votes, annotators);

COMMENT ON TABLE @extschema@.mnist_label IS
    'the labelled predictions: the result of mnist_feedback, one row a prediction, kept up to date by triggers';
COMMENT ON COLUMN @extschema@.mnist_label.prediction_id IS 'the prediction';
COMMENT ON COLUMN @extschema@.mnist_label.label IS
    'the label that most annotators gave, counting the newest label of each; NULL in a tie';
COMMENT ON COLUMN @extschema@.mnist_label.predicted_label IS 'the predicted digit';
COMMENT ON COLUMN @extschema@.mnist_label.model_version IS 'the model that made it';
COMMENT ON COLUMN @extschema@.mnist_label.challenge_id IS 'the challenge that was under way at the prediction, or NULL';
COMMENT ON COLUMN @extschema@.mnist_label.challenger_label IS
    'the digit that the challenger predicted in shadow mode, or NULL';
COMMENT ON COLUMN @extschema@.mnist_label.votes IS
    'the number of annotators who gave the label; in a tie, of those who gave each of the most frequent labels';
COMMENT ON COLUMN @extschema@.mnist_label.annotators IS 'the number of annotators who labelled the prediction';
COMMENT ON COLUMN @extschema@.mnist_label.new IS 'whether it includes feedback that no completed run has used';
COMMENT ON COLUMN @extschema@.mnist_label.pixels_sha256 IS 'SHA-256 of the image brought to MNIST''s form';
COMMENT ON COLUMN @extschema@.mnist_label.held_out IS 'held out: never trained on, used only to compare models';
COMMENT ON COLUMN @extschema@.mnist_label.feedback_ids IS
    'the rows of mnist_feedback that count, the newest of each annotator';
COMMENT ON COLUMN @extschema@.mnist_label.predicted_at IS 'when the prediction was made';
COMMENT ON COLUMN @extschema@.mnist_label.confidence IS 'the model''s probability of the predicted digit, 0 .. 1';

CREATE OR REPLACE FUNCTION @extschema@.mnist_correct(id bigint, label int) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    feedback_id bigint;
BEGIN
    IF mnist_correct.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'id must not be null',
            HINT = 'Give the id that mnist_predict returned; it is NULL where mnist_hil.log_predictions is off.';
    END IF;
    IF mnist_correct.label IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'label must not be null',
            HINT = 'Give the digit that the image shows, 0 to 9.';
    END IF;
    IF mnist_correct.label NOT BETWEEN 0 AND 9 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('label %s is out of range', mnist_correct.label),
            HINT = 'Give the digit that the image shows, 0 to 9.';
    END IF;

    INSERT INTO @extschema@.mnist_feedback (prediction_id, label, predicted_label, model_version, challenge_id,
        challenger_label, annotator, pixels_sha256)
    SELECT p.id, mnist_correct.label, p.label, p.model_version, p.challenge_id, s.label,
        mnist_internal.invoker(), coalesce(p.pixels_sha256, sha256(mnist_internal.pixels(p.image)))
    FROM @extschema@.mnist_prediction p
    LEFT JOIN @extschema@.mnist_shadow s ON s.prediction_id = p.id
    WHERE p.id = mnist_correct.id
    FOR KEY SHARE OF p
    RETURNING mnist_feedback.id INTO feedback_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'no_data_found',
            MESSAGE = format('prediction %s does not exist', mnist_correct.id),
            DETAIL = 'It was never stored, its transaction has not committed, or it was deleted.',
            HINT = 'Give the id that mnist_predict returned.';
    END IF;
    RETURN feedback_id;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_correct(bigint, int) IS
    'label a prediction with the digit that the image shows; replaces the caller''s earlier label, or affirms a '
    'label that mnist_doubted shows; returns the id of the feedback';

---------------------------------------------------------------- the resulting labels

-- The majority rule, for single predictions (mnist_label) and for all predictions of the same pixels.
CREATE OR REPLACE FUNCTION mnist_internal.majority(labels smallint[], OUT label smallint, OUT votes bigint)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT CASE WHEN count(*) FILTER (WHERE v.votes = v.most_votes) = 1
            THEN min(v.label) FILTER (WHERE v.votes = v.most_votes) END,
        max(v.votes)
    FROM (
        SELECT u.label, count(*) AS votes, max(count(*)) OVER () AS most_votes
        FROM unnest(labels) AS u (label)
        GROUP BY u.label) v;
END;
COMMENT ON FUNCTION mnist_internal.majority(smallint[]) IS
    'the label that most annotators gave, from one label of each annotator, and how many gave it; label NULL: a tie; '
    'internal, but open to readers of mnist_label_conflict';
GRANT EXECUTE ON FUNCTION mnist_internal.majority TO PUBLIC;

-- The plan is generic because planning takes several times as long as resolving one prediction, and the plan has no
-- join whose order matters.
CREATE OR REPLACE FUNCTION mnist_internal.resolve(predictions bigint[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO @extschema@.mnist_label AS l (prediction_id, label, predicted_label, model_version, challenge_id,
        challenger_label, votes, annotators, new, pixels_sha256, held_out, feedback_ids, predicted_at, confidence)
    SELECT r.prediction_id, m.label, r.predicted_label, r.model_version, r.challenge_id, r.challenger_label, m.votes,
        r.annotators, true, r.pixels_sha256, r.held_out, r.feedback_ids,
        (SELECT p.created_at FROM @extschema@.mnist_prediction p WHERE p.id = r.prediction_id),
        (SELECT p.confidence FROM @extschema@.mnist_prediction p WHERE p.id = r.prediction_id)
    FROM (
        SELECT n.prediction_id,
            array_agg(n.label) AS labels,
            (array_agg(n.predicted_label ORDER BY n.id DESC))[1] AS predicted_label,
            (array_agg(n.model_version ORDER BY n.id DESC))[1] AS model_version,
            (array_agg(n.challenge_id ORDER BY n.id DESC))[1] AS challenge_id,
            (array_agg(n.challenger_label ORDER BY n.id DESC))[1] AS challenger_label,
            count(*) AS annotators,
            (array_agg(n.pixels_sha256 ORDER BY n.id DESC))[1] AS pixels_sha256,
            (array_agg(n.held_out ORDER BY n.id DESC))[1] AS held_out,
            array_agg(n.id ORDER BY n.id DESC) AS feedback_ids
        FROM (
            SELECT DISTINCT ON (f.prediction_id, f.annotator) f.*
            FROM @extschema@.mnist_feedback f
            WHERE f.prediction_id = ANY (predictions)
            ORDER BY f.prediction_id, f.annotator, f.id DESC) n
        GROUP BY n.prediction_id) r
    CROSS JOIN LATERAL mnist_internal.majority(r.labels) AS m
    ON CONFLICT (prediction_id) DO UPDATE SET
        label = excluded.label, predicted_label = excluded.predicted_label, model_version = excluded.model_version,
        challenge_id = excluded.challenge_id, challenger_label = excluded.challenger_label, votes = excluded.votes,
        annotators = excluded.annotators, new = excluded.new,
        pixels_sha256 = excluded.pixels_sha256, held_out = excluded.held_out, feedback_ids = excluded.feedback_ids,
        predicted_at = excluded.predicted_at, confidence = excluded.confidence;
END
$$;
COMMENT ON FUNCTION mnist_internal.resolve(bigint[]) IS
    'write the labels that result from the feedback on these predictions to mnist_label, as new; internal';

-- Added feedback is new, unless it comes from a dump whose snapshots were restored before it: note_used handles that.
CREATE OR REPLACE FUNCTION mnist_internal.feedback_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changes bigint;
    predictions bigint[];
    oldest bigint;
    compact boolean;
BEGIN
    SELECT count(*), array_agg(DISTINCT c.prediction_id), min(c.id), bool_or(c.id % 1000 = 0)
    INTO changes, predictions, oldest, compact
    FROM changed c;
    IF changes = 0 THEN
        RETURN NULL;
    END IF;
    PERFORM FROM @extschema@.mnist_prediction p
    WHERE p.id IN (SELECT c.prediction_id FROM changed c)
    ORDER BY p.id
    FOR NO KEY UPDATE;

    IF TG_OP = 'DELETE' THEN
        DELETE FROM mnist_internal.snapshot_exception e WHERE e.feedback_id IN (SELECT c.id FROM changed c);
        DELETE FROM mnist_internal.run_excluded e WHERE e.feedback_id IN (SELECT c.id FROM changed c);
        DELETE FROM @extschema@.mnist_label l WHERE l.prediction_id = ANY (predictions);
        changes := -changes;
    END IF;
    PERFORM mnist_internal.resolve(predictions);
    IF TG_OP = 'DELETE' OR oldest <= (SELECT s.newest FROM mnist_internal.snapshot s ORDER BY s.id DESC LIMIT 1) THEN
        PERFORM mnist_internal.note_used(predictions);
    END IF;
    INSERT INTO mnist_internal.tally (feedback) VALUES (changes);
    IF compact THEN
        PERFORM mnist_internal.compact_tally();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.feedback_changed() IS
    'trigger that updates mnist_label and counts feedback; internal';

CREATE OR REPLACE TRIGGER mnist_feedback_added AFTER INSERT ON @extschema@.mnist_feedback
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.feedback_changed();
CREATE OR REPLACE TRIGGER mnist_feedback_erased AFTER DELETE ON @extschema@.mnist_feedback
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.feedback_changed();

---------------------------------------------------------------- annotators who contradict each other

-- Only images with different labels are examined.  They are in an array, which the planner assumes to be short.
CREATE OR REPLACE VIEW @extschema@.mnist_label_conflict AS
    SELECT d.pixels_sha256, d.prediction_ids, m.label, v.votes, d.held_out
    FROM (
        SELECT l.pixels_sha256, l.held_out, array_agg(l.prediction_id ORDER BY l.prediction_id) AS prediction_ids
        FROM @extschema@.mnist_label l
        WHERE l.pixels_sha256 = ANY (ARRAY(
            SELECT c.pixels_sha256
            FROM @extschema@.mnist_label c
            GROUP BY c.pixels_sha256
            HAVING min(c.label) <> max(c.label) OR bool_or(c.votes < c.annotators)))
        GROUP BY l.pixels_sha256, l.held_out) d
    CROSS JOIN LATERAL (
        SELECT array_agg(n.label) AS labels, array_agg(n.annotator) AS annotators
        FROM (
            SELECT DISTINCT ON (f.annotator) f.annotator, f.label
            FROM @extschema@.mnist_feedback f
            WHERE f.prediction_id = ANY (d.prediction_ids)
            ORDER BY f.annotator, f.id DESC) n) a
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(g.label::text, g.annotators) AS votes, count(*) AS labels
        FROM (
            SELECT u.label, array_agg(u.annotator ORDER BY u.annotator) AS annotators
            FROM unnest(a.labels, a.annotators) AS u (label, annotator)
            GROUP BY u.label) g) v
    CROSS JOIN LATERAL mnist_internal.majority(a.labels) AS m
    WHERE v.labels > 1;
COMMENT ON VIEW @extschema@.mnist_label_conflict IS
    'images to which annotators gave different labels: the majority labels them, a tie leaves them out';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.pixels_sha256 IS 'SHA-256 of the image in MNIST''s form';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.prediction_ids IS 'the predictions of the image that have feedback';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.label IS
    'the label that most annotators gave; NULL in a tie: not trained on';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.votes IS 'each label that was given, and its annotators';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.held_out IS
    'held out: never trained on, used only to compare models';

---------------------------------------------------------------- counts

/*
 * Counts of labels and feedback that can be read in constant time.  A single counter row would make annotators wait for
 * each other.  Instead, each statement that changes mnist_label or mnist_feedback inserts rows with the differences,
 * and the counts are the sums.  So transactions do not wait, and changes that are rolled back do not count.  From time
 * to time a transaction that adds feedback replaces the rows by their sums, so that there are never many more than a
 * thousand.
 */
CREATE TABLE IF NOT EXISTS mnist_internal.tally (
    label            smallint,
    predicted_label  smallint,
    new              boolean,
    labels           bigint NOT NULL DEFAULT 0,
    feedback         bigint NOT NULL DEFAULT 0
);
-- There is no key, because rows may be equal.  Without this, a publication of all tables would refuse DELETE.
ALTER TABLE mnist_internal.tally REPLICA IDENTITY FULL;
COMMENT ON TABLE mnist_internal.tally IS
    'changes of the numbers of labels and of feedback, to be summed up; triggers on mnist_label and mnist_feedback '
    'add them; internal';
COMMENT ON COLUMN mnist_internal.tally.labels IS 'change of the number of rows of mnist_label with these values';
COMMENT ON COLUMN mnist_internal.tally.feedback IS 'change of the number of rows of mnist_feedback';

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
        -- INSERT ... ON CONFLICT DO UPDATE fires this trigger, too, mostly with no rows.
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

-- Of two concurrent calls each takes the rows that the other has not locked.  In a REPEATABLE READ transaction it is an
-- error if another transaction has replaced rows since the snapshot.  Then there is nothing left to do.
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
COMMENT ON FUNCTION mnist_internal.compact_tally() IS
    'replace the rows of mnist_internal.tally by their sums; internal';
