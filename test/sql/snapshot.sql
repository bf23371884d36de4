-- also: not preloaded
-- Which feedback runs used: the record says for each run what it would if every run had a row for all of its feedback,
-- and grows with what is new; erasure takes rows out of it.  And the counts: always those of the rows.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
\i :srcdir/sql/include/annotators.sql

-- The counts against the rows; nothing where they agree.
CREATE VIEW pg_temp.miscounted AS
SELECT s.feedback, s.labels, s.new_labels
FROM mnist_status s
WHERE (s.feedback, s.labels, s.new_labels) <> (
        (SELECT count(*) FROM mnist_feedback), (SELECT count(*) FROM mnist_label WHERE label IS NOT NULL),
        (SELECT count(*) FROM mnist_label WHERE label IS NOT NULL AND new))
    OR EXISTS (
        SELECT FROM mnist_failure_counts f
        WHERE (f.corrected, f.failures, f.new_labels, f.new_failures) <> (
            SELECT count(*), count(*) FILTER (WHERE l.label <> l.predicted_label), count(*) FILTER (WHERE l.new),
                count(*) FILTER (WHERE l.new AND l.label <> l.predicted_label)
            FROM mnist_label l WHERE l.label = f.label))
    OR EXISTS (
        SELECT FROM mnist_confusion c
        WHERE c.count <> (SELECT count(*) FROM mnist_label l
            WHERE l.label = c.label AND l.predicted_label = c.predicted))
    OR (SELECT value FROM mnist_retrain_decision WHERE condition = 'new_labels')
        <> (SELECT count(*) FROM mnist_label WHERE label IS NOT NULL AND new);

-- What a run should have on record: how each label counts at that moment, written down in full.
CREATE TEMP TABLE truth (run_id bigint, feedback_id bigint, split text, label smallint, weight real, reason text);
CREATE FUNCTION pg_temp.run(outcome text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    run bigint;
BEGIN
    INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at)
    VALUES ('running', 'fine_tune', 'default', 1, '{}', 'nobody', 0, now()) RETURNING id INTO run;
    INSERT INTO truth SELECT run, w.* FROM mnist_internal.label_weights(0.2, 3) w;
    PERFORM mnist_internal.open_snapshot(run, 0.2, 3);
    UPDATE mnist_run SET status = outcome WHERE id = run;
    IF outcome = 'succeeded' THEN
        PERFORM mnist_internal.note_all_used();
    END IF;
    RETURN run;
END
$$;
-- Rows on record that should not be, or the other way round.
CREATE VIEW pg_temp.wrong AS
SELECT 'missing' AS what, m.* FROM (TABLE truth EXCEPT SELECT run_id, feedback_id, split, label, weight, reason
    FROM mnist_run_feedback) m
UNION ALL
SELECT 'too much', m.* FROM (SELECT run_id, feedback_id, split, label, weight, reason
    FROM mnist_run_feedback EXCEPT TABLE truth) m;

-- 80 images, some of them read twice.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
SELECT mnist_draw(i % 10, i % 80), i % 10, 0.9, array_fill(0.1::real, ARRAY[10]), 1 FROM generate_series(1, 100) AS i;

SELECT pg_temp.run('succeeded');
SELECT count(pg_temp.correct_as('ann', i, (i + i / 7) % 10)), count(pg_temp.correct_as('bob', i, i % 10))
FROM generate_series(1, 20) AS i;
TABLE pg_temp.miscounted;
SELECT pg_temp.run('failed');
SELECT count(*) AS new FROM mnist_label WHERE new;
SELECT pg_temp.run('succeeded');
SELECT count(*) AS new FROM mnist_label WHERE new;
TABLE pg_temp.miscounted;
-- Some change their minds, somebody decides ties, ann labels many images that nobody else does.
SELECT count(pg_temp.correct_as('ann', i, i % 10)) FROM generate_series(7, 9) AS i;
SELECT count(pg_temp.correct_as('cat', i, (i + i / 7) % 10)) FROM generate_series(10, 16) AS i;
SELECT count(pg_temp.correct_as('ann', i, i % 10)) FROM generate_series(21, 70) AS i;
SELECT pg_temp.correct_as('bob', 71, 1), pg_temp.correct_as('cat', 72, 2);
SELECT count(pg_temp.correct_as('bob', i, (i + 1) % 10)) FROM generate_series(81, 85) AS i;
SELECT pg_temp.run('succeeded');
TABLE pg_temp.miscounted;
SELECT count(pg_temp.correct_as('bob', i, i % 10)) FROM generate_series(81, 85) AS i;
SELECT pg_temp.run('succeeded');
SELECT pg_temp.run('cancelled');
SELECT run_id, count(*) AS labels, string_agg(DISTINCT reason, ', ') AS reasons FROM truth GROUP BY 1 ORDER BY 1;
SELECT DISTINCT reason FROM mnist_internal.snapshot_exception ORDER BY 1;
TABLE pg_temp.wrong;

-- What is new is stored, and nothing for a run without anything new.
SELECT id, newest, added FROM mnist_internal.snapshot ORDER BY id;
SELECT count(*) FILTER (WHERE first_snapshot = 6) AS began, count(*) FILTER (WHERE next_snapshot = 6) AS ended
FROM mnist_internal.snapshot_exception;
-- No row of feedback was written, or locked, for it.
SELECT count(*) AS locked FROM mnist_feedback WHERE xmax <> 0;

-- A run that does another again has the same, exclusions by the label-noise filter included.
INSERT INTO mnist_internal.run_excluded
SELECT 3, min(feedback_id), 4, 0.9 FROM mnist_run_feedback WHERE run_id = 3 AND weight = 1 AND split = 'train';
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at,
    reproduces)
VALUES ('succeeded', 'fine_tune', 'default', 1, '{}', 'nobody', 0, now(), 3) RETURNING id \gset again_
SELECT mnist_internal.copy_snapshot(:again_id, 3);
SELECT count(*) AS different
FROM (SELECT * FROM mnist_run_feedback WHERE run_id = 3) a
FULL JOIN (SELECT * FROM mnist_run_feedback WHERE run_id = :again_id) b USING (feedback_id)
WHERE (a.split, a.label, a.weight, a.reason, a.doubted_as, a.doubt)
    IS DISTINCT FROM (b.split, b.label, b.weight, b.reason, b.doubted_as, b.doubt);
SELECT count(*), min(weight) AS weight, min(doubted_as) AS doubted_as FROM mnist_run_feedback WHERE reason = 'doubted';
DELETE FROM mnist_run WHERE id = :again_id;
DELETE FROM mnist_internal.run_excluded;
TABLE pg_temp.wrong;

-- Which models learnt from somebody's feedback, and its erasure: no record has it any more, all others are as they
-- were.
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256, run_id)
SELECT v, m.architecture, m.network, m.parameters, m.weights, m.weights_sha256, v
FROM mnist_model m, unnest('{3,4,5}'::int[]) AS v WHERE m.version = 1;
UPDATE mnist_run SET model_version = id WHERE id IN (3, 4, 5);
SELECT array_agg(run_id ORDER BY run_id) FILTER (WHERE learnt) AS cat
FROM mnist_internal.feedback_runs(ARRAY(SELECT id FROM mnist_feedback WHERE annotator = 'regress_mnist_cat'));
SELECT array_agg(run_id ORDER BY run_id) FILTER (WHERE learnt) AS bob
FROM mnist_internal.feedback_runs(ARRAY(SELECT id FROM mnist_feedback WHERE annotator = 'regress_mnist_bob'));
SELECT array_agg(run_id ORDER BY run_id) FILTER (WHERE learnt) AS held_out
FROM mnist_internal.feedback_runs(ARRAY(SELECT id FROM mnist_feedback WHERE held_out));
SELECT count(*) AS none FROM mnist_internal.feedback_runs('{}');
DELETE FROM mnist_feedback WHERE annotator = 'regress_mnist_bob';
TABLE pg_temp.miscounted;
DELETE FROM truth t WHERE NOT EXISTS (SELECT FROM mnist_feedback f WHERE f.id = t.feedback_id);
TABLE pg_temp.wrong;
SELECT count(*) AS traces FROM mnist_internal.snapshot_exception e
WHERE NOT EXISTS (SELECT FROM mnist_feedback f WHERE f.id = e.feedback_id);
-- What bob's labels contradicted counts otherwise from the next run on, and as before in the others.
SELECT pg_temp.run('succeeded') IS NOT NULL AS ran;
TABLE pg_temp.wrong;
TABLE pg_temp.miscounted;

-- A record that is restored before the feedback is taken note of, too, as it is the other way round.
CREATE TEMP TABLE kept AS SELECT id, prediction_id, label, predicted_label, model_version, annotator, pixels_sha256
FROM mnist_feedback;
CREATE TEMP TABLE labelled AS TABLE mnist_label;
SET session_replication_role = replica;
DELETE FROM mnist_feedback;
DELETE FROM mnist_label;
DELETE FROM mnist_internal.tally;
RESET session_replication_role;
INSERT INTO mnist_feedback (id, prediction_id, label, predicted_label, model_version, annotator,
    pixels_sha256) TABLE kept;
SELECT count(*) AS different
FROM (SELECT prediction_id, label, new FROM mnist_label EXCEPT SELECT prediction_id, label, new FROM labelled) d;
TABLE pg_temp.miscounted;

-- Counts of what is undone, and of many instalments, which are put together now and then.
BEGIN;
SELECT count(pg_temp.correct_as('cat', i, 1)) FROM generate_series(1, 9) AS i;
TABLE pg_temp.miscounted;
ROLLBACK;
TABLE pg_temp.miscounted;
SELECT count(pg_temp.correct_as('cat', 1 + i % 100, i % 10)) FROM generate_series(1, 2100) AS i;
TABLE pg_temp.miscounted;
SELECT count(*) < 3300 AS few FROM mnist_internal.tally;
SELECT mnist_internal.compact_tally();
SELECT count(*) <= 101 AS one_each, count(*) = count(DISTINCT (label, predicted_label, new)) AS distinct_rows
FROM mnist_internal.tally;
TABLE pg_temp.miscounted;

-- Rows of a dump of 0.1.0 can be restored into the view, but only where no run has a record yet: here nothing is
-- stored.
INSERT INTO mnist_run_feedback (run_id, feedback_id, split, weight) VALUES (1, 1, 'train', 1);
SELECT count(*) AS stored FROM mnist_internal.run_feedback_row;
CREATE TEMP TABLE old AS TABLE mnist_run_feedback;
TRUNCATE mnist_internal.snapshot, mnist_internal.run_snapshot, mnist_internal.snapshot_exception;
INSERT INTO mnist_run_feedback (run_id, feedback_id, split, label, weight, reason) SELECT run_id, feedback_id, split,
    label, weight, reason FROM old;
TABLE pg_temp.wrong;
SELECT count(*) AS stored FROM mnist_internal.run_feedback_row;
SELECT id, newest, added FROM mnist_internal.snapshot ORDER BY id;

-- A data set's images are counted as they are imported.
SELECT mnist_import_synthetic('a', 600), mnist_import_images('b', 'train', ARRAY[mnist_draw(1), mnist_draw(2)],
    '{1,2}');
SELECT mnist_import_images('b', 'test', ARRAY[mnist_draw(3)], '{3}');
SELECT name, images FROM mnist_dataset ORDER BY name;
SELECT samples = (SELECT count(*) FROM mnist_sample) AS agrees FROM mnist_status;
SELECT count(*) AS wrong FROM mnist_sample WHERE pixels_sha256 IS DISTINCT FROM sha256(pixels);

DROP VIEW pg_temp.wrong, pg_temp.miscounted;
DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_ann, regress_mnist_bob, regress_mnist_cat;
