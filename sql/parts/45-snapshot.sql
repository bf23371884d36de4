/*
 * Snapshots: the exact data of a training run.
 *
 * When a run begins it takes a snapshot: what feedback there is and how each word of it counts.  All its processes read
 * the feedback from there (mnist_run_feedback); what is said later has no part in the run.  When the samples are loaded,
 * mnist_run.data is given the number and hash of everything that was.  From both mnist_reproduce can repeat the run,
 * or tell what has changed.
 *
 * A snapshot stores what is new since the one before: the ids of the feedback that came, as ranges, because ids follow
 * each other; and what counts otherwise than before.  Most feedback counts in full, as what its annotator said, and so
 * needs no row; what does not has a row for all the snapshots in a row in which it counts the same.  Only the labels that
 * the label-noise filter excludes have a row in each run: it measures them anew each time.
 *
 * Feedback that is erased is gone from all snapshots, because mnist_run_feedback reads the rest of it from
 * mnist_feedback.  The processes of a run read under one database snapshot, and so does mnist_run.data: what is erased
 * while a run begins is either in all of them or in none.
 *
 * How feedback counts.  Everything goes by drawings: readings of the same pixels are one drawing, and each annotator's
 * newest word on it is one vote.  The majority labels the drawing; a tie leaves it out.  Votes are not weighed by how
 * often annotators agree with others: of two each has the other's record, and one of several has a good one cheaply, by
 * agreeing on what is easy.  A tie teaches nothing wrong, and a third annotator decides it; mnist_annotator_agreement
 * tells who ties out what others say.  Of drawings that one annotator alone has labelled, each annotator's share of the
 * run is limited (see mnist_internal.allowance); which of them count follows from the pixels' hashes, so that it is
 * nobody's choice and the same at every run.  Of what one annotator alone says the label-noise filter excludes what it
 * takes for wrong (see mnist_internal.filter_labels), to train on as to judge by.
 */

CREATE OR REPLACE FUNCTION mnist_internal.allowance(own bigint[], others bigint, annotator_share float8, annotator_labels int)
    RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- With the first (place - 1) annotators limited to x each and the rest in full, x is the share of all if
    -- x = share * (x * (place - 1) + rest).  It is the answer if the next annotator keeps within it.  Where the share
    -- is less than what each would have if all had the same, it is that.
    SELECT greatest(annotator_labels, (
        SELECT floor(x + 1e-6)::bigint
        FROM (
            SELECT o.n, o.place, s.share * o.rest / (1 - s.share * (o.place - 1)) AS x
            FROM (
                SELECT n, row_number() OVER (ORDER BY n DESC) AS place,
                    others + sum(n) OVER (ORDER BY n DESC ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS rest
                FROM unnest(own) AS n
                WHERE n > 0) o
            CROSS JOIN (SELECT greatest(annotator_share, 1.0 / nullif(count(*), 0)) AS share FROM unnest(own) AS n WHERE n > 0) s
            WHERE s.share * (o.place - 1) < 1) c
        WHERE x + 1e-6 >= n
        ORDER BY place
        LIMIT 1));
END;
COMMENT ON FUNCTION mnist_internal.allowance(bigint[], bigint, float8, int) IS
    'how many drawings an annotator may label alone: own are those of each annotator, others those that several agree on; internal';

CREATE OR REPLACE FUNCTION mnist_internal.words(
    annotator_share float8, annotator_labels int,
    OUT feedback_id bigint, OUT split text, OUT label smallint, OUT weight real, OUT reason text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000
BEGIN ATOMIC
    WITH word AS (
        SELECT f.id, f.pixels_sha256, f.held_out, f.annotator, f.label,
            f.id = max(f.id) OVER (PARTITION BY f.pixels_sha256, f.annotator) AS newest
        FROM @extschema@.mnist_label l
        CROSS JOIN LATERAL unnest(l.feedback_ids) AS u (id)
        JOIN @extschema@.mnist_feedback f ON f.id = u.id
    ), drawing AS (
        SELECT v.pixels_sha256, max(v.votes) AS votes,
            CASE WHEN count(*) FILTER (WHERE v.votes = v.most_votes) = 1
                THEN min(v.label) FILTER (WHERE v.votes = v.most_votes) END AS label
        FROM (
            SELECT w.pixels_sha256, w.label, count(*) AS votes,
                max(count(*)) OVER (PARTITION BY w.pixels_sha256) AS most_votes
            FROM word w
            WHERE w.newest
            GROUP BY w.pixels_sha256, w.label) v
        GROUP BY v.pixels_sha256
    ), told AS (
        SELECT w.id, w.pixels_sha256, w.held_out, w.annotator, d.label, d.votes,
            CASE
                WHEN NOT w.newest THEN 'superseded'
                WHEN d.label IS NULL THEN 'tie'
                WHEN d.label <> w.label THEN 'outvoted'
            END AS reason
        FROM word w
        JOIN drawing d USING (pixels_sha256)
    ), allowance AS (
        SELECT a.held_out, mnist_internal.allowance(array_agg(a.own), (
                SELECT count(DISTINCT t.pixels_sha256)
                FROM told t
                WHERE t.held_out = a.held_out AND t.reason IS NULL AND t.votes > 1),
            annotator_share, annotator_labels) AS drawings
        FROM (
            SELECT t.held_out, t.annotator, count(*) FILTER (WHERE t.reason IS NULL AND t.votes = 1) AS own
            FROM told t
            GROUP BY t.held_out, t.annotator) a
        GROUP BY a.held_out
    )
    SELECT r.id, CASE WHEN r.held_out THEN 'held_out' ELSE 'train' END, r.label,
        CASE WHEN r.why IS NULL THEN 1 ELSE 0 END::real, r.why
    FROM (
        SELECT t.*,
            CASE WHEN t.reason IS NULL AND t.votes = 1 AND a.drawings < row_number() OVER (
                    PARTITION BY t.held_out, t.annotator, t.reason IS NULL AND t.votes = 1 ORDER BY t.pixels_sha256)
                THEN 'share' ELSE t.reason
            END AS why
        FROM told t
        JOIN allowance a USING (held_out)) r;
END;
COMMENT ON FUNCTION mnist_internal.words(float8, int) IS
    'every word of feedback that counts by itself, and how it counts in a run that begins now; internal';

-- Ids that are in an earlier snapshot already are not added again: range_agg of all is what this one has.  To compile so
-- long a statement takes longer than to run it.
CREATE OR REPLACE FUNCTION mnist_internal.open_snapshot(run_id bigint, annotator_share float8, annotator_labels int) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET jit = off
BEGIN ATOMIC
    WITH word AS MATERIALIZED (
        SELECT w.feedback_id, w.label, w.weight, w.reason FROM mnist_internal.words(annotator_share, annotator_labels) w
    ), had AS MATERIALIZED (
        SELECT coalesce(range_agg(s.added), '{}') AS ids, coalesce(max(s.newest), 0) AS newest FROM mnist_internal.snapshot s
    ), exception AS MATERIALIZED (
        SELECT w.feedback_id, w.label, w.weight, w.reason FROM word w WHERE w.reason IS NOT NULL
        UNION ALL
        SELECT f.id, NULL::smallint, 0::real, 'replaced'
        FROM @extschema@.mnist_feedback f
        WHERE f.id <@ (SELECT h.ids FROM had h) AND NOT EXISTS (SELECT FROM word w WHERE w.feedback_id = f.id)
    ), ended AS (
        UPDATE mnist_internal.snapshot_exception o
        SET next_snapshot = open_snapshot.run_id
        WHERE o.next_snapshot IS NULL
            AND NOT EXISTS (
                SELECT FROM exception e
                WHERE e.feedback_id = o.feedback_id AND e.reason = o.reason AND e.weight = o.weight
                    AND e.label IS NOT DISTINCT FROM o.label)
    ), begun AS (
        INSERT INTO mnist_internal.snapshot_exception (feedback_id, first_snapshot, label, weight, reason)
        SELECT e.feedback_id, open_snapshot.run_id, e.label, e.weight, e.reason
        FROM exception e
        WHERE NOT EXISTS (
            SELECT FROM mnist_internal.snapshot_exception o
            WHERE o.next_snapshot IS NULL AND e.feedback_id = o.feedback_id AND e.reason = o.reason AND e.weight = o.weight
                AND e.label IS NOT DISTINCT FROM o.label)
    ), taken AS (
        INSERT INTO mnist_internal.snapshot (id, newest, added)
        SELECT open_snapshot.run_id, greatest(h.newest, max(w.feedback_id)),
            coalesce(range_agg(int8range(w.feedback_id, w.feedback_id, '[]')) FILTER (WHERE w.feedback_id IS NOT NULL), '{}')
        FROM had h
        LEFT JOIN word w ON NOT w.feedback_id <@ h.ids
        GROUP BY h.newest
        RETURNING id
    )
    INSERT INTO mnist_internal.run_snapshot (run_id, snapshot_id) SELECT t.id, t.id FROM taken t;
END;
COMMENT ON FUNCTION mnist_internal.open_snapshot(bigint, float8, int) IS
    'write down how all feedback there is counts in a run; internal';

CREATE OR REPLACE FUNCTION mnist_internal.copy_snapshot(run_id bigint, original bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    INSERT INTO mnist_internal.run_snapshot (run_id, snapshot_id)
    SELECT copy_snapshot.run_id, u.snapshot_id FROM mnist_internal.run_snapshot u WHERE u.run_id = original;
    INSERT INTO mnist_internal.run_excluded (run_id, feedback_id, doubted_as, doubt, label_probability,
        reference_share, annotator_share)
    SELECT copy_snapshot.run_id, d.feedback_id, d.doubted_as, d.doubt, d.label_probability, d.reference_share,
        d.annotator_share
    FROM mnist_internal.run_excluded d
    WHERE d.run_id = original;
END;
COMMENT ON FUNCTION mnist_internal.copy_snapshot(bigint, bigint) IS
    'have a run use the feedback of another, each word as it counted there; internal';

CREATE OR REPLACE VIEW mnist_internal.run_exception AS
    SELECT u.run_id, e.feedback_id, e.label, e.weight, e.reason, NULL::smallint AS doubted_as, NULL::real AS doubt,
        NULL::real AS label_probability, NULL::real AS reference_share, NULL::real AS annotator_share
    FROM mnist_internal.run_snapshot u
    JOIN mnist_internal.snapshot_exception e ON e.first_snapshot <= u.snapshot_id
        AND (e.next_snapshot IS NULL OR e.next_snapshot > u.snapshot_id)
UNION ALL
    SELECT d.run_id, d.feedback_id, f.label, 0::real, 'doubted', d.doubted_as, d.doubt, d.label_probability,
        d.reference_share, d.annotator_share
    FROM mnist_internal.run_excluded d
    JOIN @extschema@.mnist_feedback f ON f.id = d.feedback_id;
COMMENT ON VIEW mnist_internal.run_exception IS
    'the feedback that a run did not count in full, as in mnist_run_feedback, and what it passed over as replaced; internal';
COMMENT ON COLUMN mnist_internal.run_exception.run_id IS 'the run';
COMMENT ON COLUMN mnist_internal.run_exception.feedback_id IS 'the feedback';
COMMENT ON COLUMN mnist_internal.run_exception.label IS 'the digit that the drawing counted as';
COMMENT ON COLUMN mnist_internal.run_exception.weight IS 'how much the label counted';
COMMENT ON COLUMN mnist_internal.run_exception.reason IS 'why it counted less';
COMMENT ON COLUMN mnist_internal.run_exception.doubted_as IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_exception.doubt IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_exception.label_probability IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_exception.reference_share IS 'as in mnist_run_feedback';
COMMENT ON COLUMN mnist_internal.run_exception.annotator_share IS 'as in mnist_run_feedback';

CREATE OR REPLACE VIEW @extschema@.mnist_run_feedback AS
    SELECT u.run_id, f.id AS feedback_id, CASE WHEN f.held_out THEN 'held_out' ELSE 'train' END AS split,
        CASE WHEN e.feedback_id IS NULL THEN f.label ELSE e.label END AS label,
        coalesce(e.weight, 1) AS weight, e.reason, e.doubted_as, e.doubt, e.label_probability,
        e.reference_share, e.annotator_share
    FROM mnist_internal.run_snapshot u
    CROSS JOIN LATERAL (
        SELECT range_agg(s.added) AS ids FROM mnist_internal.snapshot s WHERE s.id <= u.snapshot_id) h
    CROSS JOIN LATERAL unnest(h.ids) AS i (ids)
    JOIN @extschema@.mnist_feedback f ON f.id >= lower(i.ids) AND f.id < upper(i.ids)
    LEFT JOIN mnist_internal.run_exception e ON e.run_id = u.run_id AND e.feedback_id = f.id
    WHERE e.reason IS DISTINCT FROM 'replaced';
COMMENT ON VIEW @extschema@.mnist_run_feedback IS
    'the feedback that a run had before it: each word on each drawing, how much it counted and, if less than in full, why';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.feedback_id IS 'the feedback; of several annotators of a reading each one''s';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.split IS 'train, or held_out: only judged by';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.label IS 'the digit that the drawing counted as: most annotators'' word; NULL in a tie';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.weight IS 'how much the word counted: 1 in full, 0 not at all';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.reason IS
    'why it counted less: superseded (by the annotator''s later word on the same drawing), tie, outvoted, share (the annotator had enough others) or doubted (excluded by the label-noise filter)';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.doubted_as IS
    'of an excluded label: the digit that it shows instead, by a model that had not seen the label';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.doubt IS 'the probability that this model gave that digit, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.label_probability IS 'the probability that it gave the label, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.reference_share IS
    'the share of base images showing the digit doubted_as that are given the label with as much probability, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_feedback.annotator_share IS
    'the share of the annotator''s corrections in this run of which the filter thinks the same, 0 .. 1';

-- The drawings of a run: what its processes load, in this order.
CREATE OR REPLACE FUNCTION mnist_internal.run_drawings(
    run_id bigint,
    OUT feedback_id bigint, OUT prediction_id bigint, OUT pixels_sha256 bytea, OUT held_out boolean,
    OUT label smallint, OUT weight real)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000
BEGIN ATOMIC
    SELECT DISTINCT ON (f.pixels_sha256)
        f.id, f.prediction_id, f.pixels_sha256, u.split = 'held_out', u.label, u.weight
    FROM @extschema@.mnist_run_feedback u
    JOIN @extschema@.mnist_feedback f ON f.id = u.feedback_id
    WHERE u.run_id = run_drawings.run_id AND u.weight > 0
    ORDER BY f.pixels_sha256, f.id DESC;
END;
COMMENT ON FUNCTION mnist_internal.run_drawings(bigint) IS
    'the drawings that a run trains on and is judged by, one row each; internal';

/*
 * The label-noise filter.  src/training_screen.c measured, for each drawing: the label that the live model predicts; of
 * the labels that it was not given the one that a model finds most probable which learnt from other feedback only, and
 * the probabilities that this model gives that one and the given one; and reference shares: of base images that show the
 * other label, the share that this model, and the live model, give the drawing's label with at least the probability that
 * the drawing has.
 *
 * The live model speaks for a label that it predicts, or whose reference share is 2.5 % at most.  The other model does if
 * the reference share is, and it finds the other label no more than thirty times as probable.  A correction, that is, a
 * label that the live model does not predict, is unsupported if neither speaks for it.  One in sixteen honest corrections
 * is, even of an annotator who has the hardest images; of wrong ones nearly all are.  So an annotator's unsupported
 * corrections are excluded if they are more than one in eight of the annotator's corrections: then they are more likely
 * wrong than not.  Half a one of four is added, because a share of few says little: where up to seven are all there is,
 * one of them is enough.  Only corrections count here: however many easy predictions somebody confirms, it changes
 * nothing.
 *
 * Not excluded, and not counted, are labels that another annotator agrees with, and labels that their annotator has
 * affirmed: said again after a run had excluded them.
 */
CREATE OR REPLACE FUNCTION mnist_internal.filter_labels(
    run_id bigint, feedback_ids bigint[], live_labels int[], other_labels int[], other_probabilities real[],
    label_probabilities real[], reference_shares real[], live_reference_shares real[])
    RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH agreed AS (
        SELECT f.pixels_sha256
        FROM @extschema@.mnist_run_feedback u
        JOIN @extschema@.mnist_feedback f ON f.id = u.feedback_id
        WHERE u.run_id = filter_labels.run_id AND u.weight > 0
        GROUP BY f.pixels_sha256
        HAVING count(*) > 1
    ), excluded_before AS (
        SELECT f.pixels_sha256, f.annotator, f.label, min(f.id) AS id
        FROM mnist_internal.run_excluded x
        JOIN @extschema@.mnist_feedback f ON f.id = x.feedback_id
        GROUP BY f.pixels_sha256, f.annotator, f.label
    ), opinion AS (
        SELECT o.*, f.annotator, o.live_share > 0.025
            AND (o.reference_share > 0.025 OR o.other_probability > 30 * o.label_probability) AS unsupported
        FROM unnest(feedback_ids, live_labels, other_labels, other_probabilities, label_probabilities, reference_shares,
                live_reference_shares)
            AS o (feedback_id, live_label, other_label, other_probability, label_probability, reference_share, live_share)
        JOIN @extschema@.mnist_feedback f ON f.id = o.feedback_id
        LEFT JOIN agreed a ON a.pixels_sha256 = f.pixels_sha256
        LEFT JOIN excluded_before e ON e.pixels_sha256 = f.pixels_sha256 AND e.annotator = f.annotator AND e.label = f.label
            AND e.id < f.id
        WHERE o.live_label <> f.label AND a.pixels_sha256 IS NULL AND e.id IS NULL
    ), annotator AS (
        SELECT o.annotator, count(*) FILTER (WHERE o.unsupported) / count(*)::float8 AS share
        FROM opinion o
        GROUP BY o.annotator
        HAVING (count(*) FILTER (WHERE o.unsupported) + 0.5) / (count(*) + 4) > 0.125
    ), excluded AS (
        INSERT INTO mnist_internal.run_excluded (run_id, feedback_id, doubted_as, doubt, label_probability,
            reference_share, annotator_share)
        SELECT filter_labels.run_id, o.feedback_id, o.other_label, o.other_probability, o.label_probability,
            o.reference_share, a.share
        FROM opinion o
        JOIN annotator a USING (annotator)
        WHERE o.unsupported
        RETURNING 1
    )
    SELECT count(*) FROM excluded;
END;
COMMENT ON FUNCTION mnist_internal.filter_labels(bigint, bigint[], int[], int[], real[], real[], real[], real[]) IS
    'exclude the labels of a run''s feedback for which no model speaks; returns how many; internal';

---------------------------------------------------------------- what a run's data was

CREATE OR REPLACE FUNCTION mnist_internal.feedback_digest(run_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'train', count(*) FILTER (WHERE NOT d.held_out),
        'held_out', count(*) FILTER (WHERE d.held_out),
        'sha256', encode(sha256(coalesce(
            string_agg(d.pixels_sha256 || set_byte('\x00', 0, d.label) || float4send(d.weight), ''::bytea
                ORDER BY d.pixels_sha256), '')), 'hex'))
    FROM mnist_internal.run_drawings(run_id) d;
END;
COMMENT ON FUNCTION mnist_internal.feedback_digest(bigint) IS
    'number of drawings of a run''s feedback, and SHA-256 over their pixels'' hashes, labels and weights; internal';

CREATE OR REPLACE FUNCTION mnist_internal.data(run_id bigint, dataset_ids int[]) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'datasets', (
            SELECT jsonb_agg(
                jsonb_build_object('name', d.name, 'source', d.source) || (
                    SELECT jsonb_object_agg(s.split, encode(mnist_internal.split_digest(d.id, s.split), 'hex'))
                    FROM unnest(ARRAY['train', 'validation', 'test']) AS s (split))
                ORDER BY array_position(dataset_ids, d.id), d.id)
            FROM @extschema@.mnist_dataset d
            WHERE dataset_ids IS NULL OR d.id = ANY (dataset_ids)),
        'feedback', mnist_internal.feedback_digest(run_id),
        'rules', jsonb_build_object(
            'held_out', 'feedback whose pixels'' SHA-256 begins with a byte that 5 divides',
            'validation', 'of IDX files the last twelfth of split train, else images whose pixels'' SHA-256 has a second byte that 12 divides',
            'duplicates', 'equal pixels count once: feedback before base data, test before validation before train'));
END;
COMMENT ON FUNCTION mnist_internal.data(bigint, int[]) IS
    'what a run''s data is, for mnist_run.data; the data sets: NULL for all; internal';

CREATE OR REPLACE FUNCTION mnist_internal.data_sha256(data jsonb) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT sha256(convert_to(concat_ws(' ', string_agg(concat_ws(' ', coalesce(d.item->>'train', '-'),
        coalesce(d.item->>'validation', '-'), coalesce(d.item->>'test', '-')), ' ' ORDER BY d.place),
        data->'feedback'->>'sha256'), 'UTF8'))
    FROM jsonb_array_elements(data->'datasets') WITH ORDINALITY AS d (item, place);
END;
COMMENT ON FUNCTION mnist_internal.data_sha256(jsonb) IS 'one hash over the hashes in mnist_run.data; internal';

---------------------------------------------------------------- what was left out

-- Only drawings on which not all readings' labels agree need a closer look: the planner takes an array to be short.
CREATE OR REPLACE VIEW @extschema@.mnist_label_conflict AS
    SELECT d.pixels_sha256,
        d.prediction_ids,
        CASE WHEN count(*) FILTER (WHERE v.votes = v.most_votes) = 1
            THEN min(v.label) FILTER (WHERE v.votes = v.most_votes) END AS label,
        jsonb_object_agg(v.label::text, v.annotators) AS votes,
        d.held_out
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
        SELECT w.label, count(*) AS votes, array_agg(w.annotator ORDER BY w.annotator) AS annotators,
            max(count(*)) OVER () AS most_votes, count(*) OVER () AS labels
        FROM (
            SELECT DISTINCT ON (f.annotator) f.annotator, f.label
            FROM @extschema@.mnist_feedback f
            WHERE f.prediction_id = ANY (d.prediction_ids)
            ORDER BY f.annotator, f.id DESC) w
        GROUP BY w.label) v
    WHERE v.labels > 1
    GROUP BY d.pixels_sha256, d.prediction_ids, d.held_out;
COMMENT ON VIEW @extschema@.mnist_label_conflict IS
    'drawings on which annotators contradict each other: the majority labels them, a tie leaves them out';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.pixels_sha256 IS 'the drawing: SHA-256 of the image brought to MNIST''s form';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.prediction_ids IS 'the readings of it that have feedback';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.label IS 'the digit that most annotators say it shows; NULL in a tie: not trained on';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.votes IS 'each digit that somebody says it shows, and who';
COMMENT ON COLUMN @extschema@.mnist_label_conflict.held_out IS 'never trained on, only judged by';

CREATE OR REPLACE VIEW @extschema@.mnist_set_aside AS
    SELECT f.prediction_id, f.id AS feedback_id, f.annotator, f.label, f.predicted_label, u.reason, u.weight,
        u.doubted_as, u.doubt, CASE WHEN f.held_out THEN 'held_out' ELSE 'train' END AS split, u.run_id
    FROM mnist_internal.run_exception u
    JOIN @extschema@.mnist_feedback f ON f.id = u.feedback_id
    JOIN @extschema@.mnist_label l ON l.prediction_id = f.prediction_id
    WHERE u.run_id = (SELECT max(r.id) FROM @extschema@.mnist_run r WHERE r.status = 'succeeded' AND r.reproduces IS NULL)
        AND u.reason NOT IN ('superseded', 'replaced') AND NOT l.new;
COMMENT ON VIEW @extschema@.mnist_set_aside IS
    'feedback that the newest completed run did not count in full, and why, until somebody says more of the reading';
COMMENT ON COLUMN @extschema@.mnist_set_aside.prediction_id IS 'the prediction; mnist_correct by another annotator decides';
COMMENT ON COLUMN @extschema@.mnist_set_aside.feedback_id IS 'the feedback';
COMMENT ON COLUMN @extschema@.mnist_set_aside.annotator IS 'who said so';
COMMENT ON COLUMN @extschema@.mnist_set_aside.label IS 'the digit that it shows, says the annotator';
COMMENT ON COLUMN @extschema@.mnist_set_aside.predicted_label IS 'the digit that was predicted';
COMMENT ON COLUMN @extschema@.mnist_set_aside.reason IS
    'tie, outvoted, share (the annotator had enough others) or doubted (excluded by the label-noise filter: see mnist_doubted)';
COMMENT ON COLUMN @extschema@.mnist_set_aside.weight IS 'how much it counted, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_set_aside.doubted_as IS 'the digit that it shows instead, by a model that had not seen the label';
COMMENT ON COLUMN @extschema@.mnist_set_aside.doubt IS 'the probability that this model gave that digit, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_set_aside.split IS 'train or held_out';
COMMENT ON COLUMN @extschema@.mnist_set_aside.run_id IS 'the run';

CREATE OR REPLACE VIEW @extschema@.mnist_doubted AS
    SELECT f.prediction_id, f.id AS feedback_id, f.annotator, f.label, f.predicted_label, u.doubted_as, u.doubt,
        u.label_probability, u.reference_share, u.annotator_share, f.held_out,
        (SELECT min(r.finished_at)
            FROM mnist_internal.run_excluded e
            JOIN @extschema@.mnist_run r ON r.id = e.run_id
            WHERE e.feedback_id = f.id AND r.status = 'succeeded') AS since,
        u.run_id,
        format('A model that had not seen this label gives %s a probability of %s and %s one of %s; of base images that show a %s, '
            '%s %% are given %s with as much. Of the labels by which %s contradicts the live model, %s %% are like that.',
            u.doubted_as, round(u.doubt::numeric, 3), f.label, round(u.label_probability::numeric, 3), u.doubted_as,
            round(100 * u.reference_share::numeric, 1), f.label, f.annotator, round(100 * u.annotator_share::numeric)) AS why
    FROM mnist_internal.run_excluded u
    JOIN @extschema@.mnist_feedback f ON f.id = u.feedback_id
    JOIN @extschema@.mnist_label l ON l.prediction_id = f.prediction_id
    WHERE u.run_id = (SELECT max(r.id) FROM @extschema@.mnist_run r WHERE r.status = 'succeeded' AND r.reproduces IS NULL)
        AND NOT l.new;
COMMENT ON VIEW @extschema@.mnist_doubted IS
    'labels that the label-noise filter excluded from the newest completed run, and that wait: for another annotator''s, or for their own to affirm them';
COMMENT ON COLUMN @extschema@.mnist_doubted.prediction_id IS
    'the prediction; mnist_correct with the same label by anybody makes it count, and be new';
COMMENT ON COLUMN @extschema@.mnist_doubted.feedback_id IS 'the feedback';
COMMENT ON COLUMN @extschema@.mnist_doubted.annotator IS 'who said so';
COMMENT ON COLUMN @extschema@.mnist_doubted.label IS 'the digit that it shows, says the annotator';
COMMENT ON COLUMN @extschema@.mnist_doubted.predicted_label IS 'the digit that was predicted';
COMMENT ON COLUMN @extschema@.mnist_doubted.doubted_as IS 'the digit that it shows instead, by a model that had not seen the label';
COMMENT ON COLUMN @extschema@.mnist_doubted.doubt IS 'the probability that this model gave that digit, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_doubted.label_probability IS 'the probability that it gave the label, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_doubted.reference_share IS
    'the share of base images showing the digit doubted_as that are given the label with as much probability, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_doubted.annotator_share IS
    'the share of the annotator''s corrections in that run of which the filter thinks the same, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_doubted.held_out IS 'not to train on, but to judge by';
COMMENT ON COLUMN @extschema@.mnist_doubted.since IS 'when the first run ended that excluded it';
COMMENT ON COLUMN @extschema@.mnist_doubted.run_id IS 'the newest run that did';
COMMENT ON COLUMN @extschema@.mnist_doubted.why IS 'the same in a sentence';

CREATE OR REPLACE VIEW @extschema@.mnist_dataset_conflict AS
    SELECT s.pixels_sha256,
        array_agg(format('%s, %s %s: %s', d.name, s.split, s.ordinal, s.label)
            ORDER BY s.dataset_id, s.split, s.ordinal) AS images
    FROM @extschema@.mnist_sample s
    JOIN @extschema@.mnist_dataset d ON d.id = s.dataset_id
    WHERE s.pixels_sha256 = ANY (ARRAY(
        SELECT c.pixels_sha256 FROM @extschema@.mnist_sample c GROUP BY c.pixels_sha256 HAVING min(c.label) <> max(c.label)))
    GROUP BY s.pixels_sha256;
COMMENT ON VIEW @extschema@.mnist_dataset_conflict IS
    'equal images of the data sets with different labels: runs leave them out';
COMMENT ON COLUMN @extschema@.mnist_dataset_conflict.pixels_sha256 IS 'SHA-256 of the pixels';
COMMENT ON COLUMN @extschema@.mnist_dataset_conflict.images IS 'where they are, and their labels';
