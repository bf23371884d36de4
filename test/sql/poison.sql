-- Wrong labels: one annotator who is wrong three times in ten does not get a worse model live, and what that one says
-- is set aside for a second opinion; an honest style still teaches.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS mnist_hil CASCADE;
CREATE EXTENSION mnist_hil;
CREATE ROLE regress_mnist_careless;
CREATE ROLE regress_mnist_careful;
GRANT EXECUTE ON FUNCTION mnist_correct TO regress_mnist_careless, regress_mnist_careful;

-- A model of our own to begin with: a small network that reads drawn digits well, and lying ones badly.
SELECT mnist_import_synthetic('drawn', 3000, 7);
SELECT model_version FROM mnist_retrain('from_scratch', '{lenet5}', epochs => 6, seed => 1, promote => false) \gset
SELECT mnist_activate(:model_version) = :model_version AS activated;

CREATE FUNCTION pg_temp.lying(pixels bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(set_byte('\x00', 0, get_byte(pixels, (27 - i % 28) * 28 + i / 28)), ''::bytea ORDER BY i)
    FROM generate_series(0, 783) AS i
$$;
-- Digits to label and others to judge by, lying and upright; none of them is in the data set.
CREATE TABLE digit AS
SELECT i AS n, i % 10 AS label, i > 400 AS judges, pixels, pg_temp.lying(pixels) AS lying
FROM generate_series(1, 800) AS i, mnist_preprocess(mnist_draw(i % 10, 100000 + i)) AS pixels;
CREATE VIEW accuracy AS
SELECT avg((mnist_classify(pixels) = label)::int) AS upright, avg((mnist_classify(lying) = label)::int) AS lying
FROM digit WHERE judges;
SELECT upright AS upright_before, lying AS lying_before FROM accuracy \gset
SELECT :upright_before > 0.85 AS reads_upright, :lying_before < 0.6 AS misreads_lying;

---------------------------------------------------------------- wrong labels of upright digits

CREATE TABLE reading AS
SELECT d.n, d.label, get_byte(sha256(d.n::text::bytea), 3) < 77 AS wrong, p.id
FROM digit d, LATERAL mnist_predict(d.pixels) p WHERE NOT judges ORDER BY d.n;
GRANT SELECT ON reading TO regress_mnist_careless, regress_mnist_careful;
SET ROLE regress_mnist_careless;
SELECT count(mnist_correct(id, CASE WHEN wrong THEN (label + 1 + n / 10 % 9) % 10 ELSE label END)) AS said FROM reading;
RESET ROLE;
SELECT run_id, model_version FROM mnist_retrain(epochs => 2, seed => 1) \gset
SELECT upright >= :upright_before - 0.01 AS no_worse FROM accuracy;
-- What was set aside was wrong, nearly all of it, and nearly all that was wrong was set aside.
SELECT avg((r.wrong AND u.reason = 'doubted')::int) / avg(r.wrong::int) > 0.7 AS wrong_set_aside,
    avg((NOT r.wrong AND u.reason = 'doubted')::int) / avg((NOT r.wrong)::int) < 0.1 AS right_kept,
    count(*) FILTER (WHERE u.reason = 'doubted' AND (u.weight > 0 OR u.doubted_as = f.label OR u.doubt NOT BETWEEN 0.5 AND 1)) AS odd
FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id JOIN reading r ON r.id = f.prediction_id
WHERE u.run_id = :run_id AND u.split = 'train';
SELECT count(*) > 30 AS shown, count(DISTINCT annotator) AS annotators, min(reason) AS reason, count(*) FILTER (WHERE doubted_as IS NULL) AS unexplained
FROM mnist_set_aside;
-- A second annotator who agrees brings a label back, one who does not makes a tie.
SELECT prediction_id AS agreed, label AS agreed_label FROM mnist_set_aside ORDER BY prediction_id LIMIT 1 \gset
SELECT prediction_id AS denied, label AS denied_label FROM mnist_set_aside ORDER BY prediction_id OFFSET 1 LIMIT 1 \gset
SET ROLE regress_mnist_careful;
SELECT mnist_correct(:agreed, :agreed_label) < mnist_correct(:denied, (:denied_label + 1) % 10) AS said;
RESET ROLE;
SELECT count(*) AS shown FROM mnist_set_aside WHERE prediction_id IN (:agreed, :denied);
SELECT run_id FROM mnist_retrain(epochs => 1, seed => 1, promote => false) \gset
SELECT f.prediction_id = :agreed AS agreed, u.label = :agreed_label AS label, u.weight, u.reason, count(*)
FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id
WHERE u.run_id = :run_id AND f.prediction_id IN (:agreed, :denied) GROUP BY 1, 2, 3, 4 ORDER BY 1;

---------------------------------------------------------------- an honest style

DELETE FROM mnist_feedback;
SELECT mnist_activate(:model_version) IS NOT NULL AS activated \g /dev/null
SELECT upright AS upright_before, lying AS lying_before FROM accuracy \gset
UPDATE reading r SET id = p.id FROM digit d, LATERAL mnist_predict(d.lying) p WHERE d.n = r.n;
SET ROLE regress_mnist_careless;
SELECT count(mnist_correct(id, label)) AS said FROM reading;
RESET ROLE;
SELECT run_id, promoted FROM mnist_retrain(epochs => 4, seed => 1) \gset
SELECT :'promoted' AS promoted, lying >= (1 + :lying_before) / 2 AS learned_half_of_what_was_missing, upright >= :upright_before - 0.02 AS upright_kept FROM accuracy;
SELECT avg((u.reason IS NOT DISTINCT FROM 'doubted')::int) < 0.1 AS few_set_aside
FROM mnist_run_feedback u WHERE u.run_id = :run_id AND u.split = 'train';
-- It went live with a reference for drift of its own.
SELECT r.source, r.readings > 0 AS readings, count(*) AS features
FROM mnist_drift_reference r JOIN mnist_drift_histogram h ON h.reference_id = r.id
WHERE r.model_version = (SELECT version FROM mnist_live) GROUP BY r.id;

DROP TABLE reading, digit CASCADE;
DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_careless, regress_mnist_careful;
