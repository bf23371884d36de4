-- also: not preloaded
-- Feedback: what is stored, what it comes to, what is refused, and that none is lost or rewritten.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- Predictions with labels of our own choice: the tests say nothing of the model.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
SELECT mnist_draw(i % 10, i), i % 10, 0.9, array_fill(0.1::real, ARRAY[10]), 1 FROM generate_series(1, 9) AS i;

-- One label: the row says which prediction of which model it is about, and what its pixels are.
SELECT mnist_correct(1, 7);
SELECT f.id, f.prediction_id, f.label, f.predicted_label, f.model_version, f.annotator = session_user AS by_me,
    f.pixels_sha256 = sha256(mnist_preprocess(p.image)) AS pixels,
    f.held_out = (get_byte(f.pixels_sha256, 0) % 5 = 0) AS split
FROM mnist_feedback f JOIN mnist_prediction p ON p.id = f.prediction_id;
SELECT prediction_id, label, predicted_label, votes, annotators, new, feedback_ids FROM mnist_label;

-- A prediction of mnist_predict is corrected in the transaction that made it, and both are undone together.
BEGIN;
SELECT mnist_correct(r.id, (r.label + 1) % 10) IS NOT NULL AS corrected FROM mnist_predict(mnist_draw(3)) AS r;
SELECT count(*) FROM mnist_label;
ROLLBACK;
SELECT count(*) AS labels, (SELECT count(*) FROM mnist_feedback) AS feedback FROM mnist_label;

-- The newest label of an annotator counts, the others stay on record.
SELECT mnist_correct(1, 2);
SELECT prediction_id, label, votes, annotators, feedback_ids FROM mnist_label;
SELECT id, label FROM mnist_feedback ORDER BY id;

-- Who speaks is the role that calls: that of SET ROLE, else that of the session.
CREATE ROLE regress_mnist_ann;
CREATE ROLE "regress mnist ""bob""";
GRANT EXECUTE ON FUNCTION mnist_correct TO regress_mnist_ann, "regress mnist ""bob""";
SET ROLE regress_mnist_ann;
SELECT mnist_correct(1, 7);
RESET ROLE;
-- Two against each other: a tie, which is no label.
SELECT label, votes, annotators, new, feedback_ids FROM mnist_label;
SET ROLE "regress mnist ""bob""";
SELECT mnist_correct(1, 7);
RESET ROLE;
SELECT label, votes, annotators, new, feedback_ids FROM mnist_label;
SELECT annotator FROM mnist_feedback WHERE id IN (SELECT max(id) FROM mnist_feedback);
-- Three of different minds are a tie, too; and one who comes round decides.
SET ROLE "regress mnist ""bob""";
SELECT mnist_correct(1, 8);
RESET ROLE;
SELECT label, votes, annotators FROM mnist_label;
SET ROLE regress_mnist_ann;
SELECT mnist_correct(1, 2);
RESET ROLE;
SELECT label, votes, annotators FROM mnist_label;

-- What is new is what no completed run has used; a later label makes a prediction new again.
SELECT count(mnist_correct(id, 5)) FROM mnist_prediction WHERE id BETWEEN 2 AND 6;
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at)
VALUES ('succeeded', 'fine_tune', 'default', 1, '{}', 'nobody', 0, now()) RETURNING id;
INSERT INTO mnist_internal.snapshot (id, newest, added)
SELECT 1, max(id), range_agg(int8range(id, id, '[]')) FROM mnist_label, unnest(feedback_ids) AS id
WHERE prediction_id <= 4;
INSERT INTO mnist_internal.run_snapshot VALUES (1, 1);
SELECT array_agg(prediction_id ORDER BY prediction_id) FILTER (WHERE new) AS new,
    array_agg(prediction_id ORDER BY prediction_id) FILTER (WHERE NOT new) AS used FROM mnist_label;
SELECT mnist_correct(3, 5) IS NOT NULL AS corrected;
SET ROLE regress_mnist_ann;
SELECT mnist_correct(4, 5) IS NOT NULL AS corrected;
RESET ROLE;
SELECT array_agg(prediction_id ORDER BY prediction_id) FILTER (WHERE new) AS new,
    array_agg(prediction_id ORDER BY prediction_id) FILTER (WHERE NOT new) AS used FROM mnist_label;

-- Many at once come to the same as one by one.
CREATE TEMP TABLE resolved AS TABLE mnist_label;
DELETE FROM mnist_label;
SELECT mnist_internal.resolve(array_agg(DISTINCT prediction_id)),
    mnist_internal.note_used(array_agg(DISTINCT prediction_id)) FROM mnist_feedback;
SELECT count(*) FROM (TABLE mnist_label EXCEPT TABLE resolved) AS different;
SELECT count(*) FROM (TABLE resolved EXCEPT TABLE mnist_label) AS missing;

-- What is refused, and nothing of it stored.
SELECT public.outcome('SELECT mnist_correct(NULL, 1)');
SELECT public.outcome('SELECT mnist_correct(1, NULL)');
SELECT public.outcome('SELECT mnist_correct(1, 10)');
SELECT public.outcome('SELECT mnist_correct(1, -1)');
SELECT public.outcome('SELECT mnist_correct(4711, 1)');
SELECT public.outcome('SELECT mnist_correct(-1, 1)');
UPDATE mnist_prediction SET pixels_sha256 = '\x00' WHERE id = 9;
SELECT split_part(public.outcome('SELECT mnist_correct(9, 1)'), chr(10), 1) AS outcome;
UPDATE mnist_prediction SET pixels_sha256 = NULL WHERE id = 9;
SELECT count(*) FROM mnist_feedback;

-- Feedback is never rewritten, not even by the owner, nor lost with the predictions.
SELECT public.outcome('UPDATE mnist_feedback SET label = 1');
SELECT public.outcome('TRUNCATE mnist_feedback CASCADE');
SET client_min_messages = warning;
SELECT public.outcome('TRUNCATE mnist_prediction CASCADE');
RESET client_min_messages;
SELECT public.outcome('DELETE FROM mnist_prediction WHERE id = 1') LIKE '23503: %' AS refused;

-- A person's data can be erased by the owner, and counts no more; predictions without feedback can go.
DELETE FROM mnist_feedback WHERE annotator = 'regress mnist "bob"';
SELECT label, votes, annotators FROM mnist_label WHERE prediction_id = 1;
SELECT prediction_id, new FROM mnist_label WHERE prediction_id = 1;
DELETE FROM mnist_feedback WHERE annotator = 'regress_mnist_ann' AND prediction_id = 4;
SELECT prediction_id, label, new FROM mnist_label WHERE prediction_id = 4;
DELETE FROM mnist_feedback WHERE prediction_id = 2;
SELECT count(*) AS labels, (SELECT count(*) FROM mnist_run_feedback) AS used FROM mnist_label;
DELETE FROM mnist_prediction WHERE id IN (2, 9);

DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_ann, "regress mnist ""bob""";
