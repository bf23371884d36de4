-- Wrong labels: one annotator who is wrong three times in ten does not get a worse model live, and what that one says
-- waits for a second label, or to be affirmed; confirmations of easy predictions do not help wrong labels in; an
-- honest
-- style still teaches.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
SET client_min_messages = warning;
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

CREATE TABLE prediction AS
SELECT d.n, d.label, get_byte(sha256(d.n::text::bytea), 3) < 77 AS wrong, p.id
FROM digit d, LATERAL mnist_predict(d.pixels) p WHERE NOT judges ORDER BY d.n;
GRANT SELECT ON prediction TO regress_mnist_careless, regress_mnist_careful;
SET ROLE regress_mnist_careless;
SELECT count(mnist_correct(id, CASE WHEN wrong THEN (label + 1 + n / 10 % 9) % 10 ELSE label END)) AS said
FROM prediction;
-- Given twice before a run has excluded it: that affirms nothing.
SELECT count(mnist_correct(id, (label + 1 + n / 10 % 9) % 10)) > 50 AS said_twice FROM prediction WHERE wrong;
RESET ROLE;
SELECT run_id, model_version FROM mnist_retrain(epochs => 2, seed => 1) \gset
SELECT upright >= :upright_before - 0.01 AS no_worse FROM accuracy;
-- What was excluded was wrong, nearly all of it, and nearly all that was wrong was excluded: to train on, and to judge
-- by.
SELECT u.split, avg((r.wrong AND u.reason = 'doubted')::int) / avg(r.wrong::int) > 0.7 AS wrong_excluded,
    avg((NOT r.wrong AND u.reason = 'doubted')::int) / avg((NOT r.wrong)::int) < 0.1 AS right_kept,
    count(*) FILTER (WHERE u.reason = 'doubted'
        AND (u.weight > 0 OR u.doubted_as = f.label OR NOT u.doubt + u.label_probability BETWEEN 0 AND 1.001
        OR u.reference_share IS NULL OR u.annotator_share < 0.125)) AS odd
FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id JOIN prediction r ON r.id = f.prediction_id
WHERE u.run_id = :run_id GROUP BY u.split ORDER BY u.split;
SELECT r.feedback_held_out_images = count(*) AS judged_by_the_others
FROM mnist_run r JOIN mnist_run_feedback u ON u.run_id = r.id AND u.split = 'held_out' AND u.weight > 0
WHERE r.id = :run_id GROUP BY r.id;
SELECT count(*) > 30 AS shown, count(DISTINCT annotator) AS annotators, min(reason) AS reason,
    count(*) FILTER (WHERE doubted_as IS NULL) AS unexplained
FROM mnist_set_aside;
SELECT count(*) = (SELECT count(*) FROM mnist_set_aside WHERE reason = 'doubted') AS all_shown,
    count(*) FILTER (WHERE held_out) > 0 AS held_out,
    count(*) FILTER (WHERE d.since <> r.finished_at OR d.run_id <> r.id) AS since_another_run,
    count(*) FILTER (WHERE d.why IS NULL) AS unexplained
FROM mnist_doubted d, mnist_run r WHERE r.id = :run_id;
SELECT regexp_replace(why, '[0-9][0-9.]*', 'N', 'g') AS why FROM mnist_doubted LIMIT 1;

-- The rule by itself, on labels that count in this run and nobody has given twice.
CREATE FUNCTION pg_temp.excluded(run_id bigint, corrections int, unsupported int, live real, own real, other real,
    share real)
    RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    SELECT mnist_internal.filter_labels(excluded.run_id, array_agg(o.id), array_agg((o.label + 1) % 10),
        array_agg((o.label + 1) % 10),
        array_agg(other), array_agg(own), array_agg(CASE WHEN o.place <= unsupported THEN share ELSE 0 END::real),
        array_agg(live))
    INTO n
    FROM (
        SELECT f.id, f.label, row_number() OVER (ORDER BY f.id) AS place
        FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id
        WHERE u.run_id = excluded.run_id AND u.weight > 0 AND u.split = 'train' ORDER BY f.id LIMIT corrections) o;
    RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = n;
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
    RETURN SQLERRM;
END
$$;
SELECT corrections, unsupported, live, own, other, share, pg_temp.excluded(:run_id, corrections, unsupported, live, own,
    other, share) AS excluded
FROM (VALUES (7, 1, 1, 0.1, 0.5, 1), (8, 1, 1, 0.1, 0.5, 1), (100, 12, 1, 0.1, 0.5, 1), (100, 13, 1, 0.1, 0.5, 1),
    (100, 100, 1, 0.1, 0.5, 1),
    (100, 100, 0.02, 0.1, 0.5, 1), (100, 100, 1, 0.1, 0.5, 0.02), (100, 100, 1, 0.01, 0.5, 0.02),
    (100, 100, 1, 0.02, 0.5, 0.02))
    AS c (corrections, unsupported, live, own, other, share);

---------------------------------------------------------------- waiting

-- What waits is not new, and does not have a run begin.
SELECT count(*) AS new FROM mnist_label WHERE new;
-- A second annotator who agrees brings a label back, one who does not makes a tie; so does its own, who affirms it.
SELECT prediction_id AS agreed, label AS agreed_label FROM mnist_doubted WHERE NOT held_out
ORDER BY prediction_id LIMIT 1 \gset
SELECT prediction_id AS denied, label AS denied_label FROM mnist_doubted WHERE NOT held_out
ORDER BY prediction_id OFFSET 1 LIMIT 1 \gset
CREATE TEMP TABLE affirmed AS
(SELECT prediction_id, label FROM mnist_doubted WHERE NOT held_out ORDER BY prediction_id OFFSET 2 LIMIT 5)
UNION ALL (SELECT prediction_id, label FROM mnist_doubted WHERE held_out ORDER BY prediction_id LIMIT 2);
GRANT SELECT ON affirmed TO regress_mnist_careless;
SELECT prediction_id AS changed, (label + 1) % 10 AS changed_label FROM mnist_doubted WHERE NOT held_out
ORDER BY prediction_id OFFSET 7 LIMIT 1 \gset
SET ROLE regress_mnist_careful;
SELECT mnist_correct(:agreed, :agreed_label) < mnist_correct(:denied, (:denied_label + 1) % 10) AS said;
SET ROLE regress_mnist_careless;
SELECT count(mnist_correct(prediction_id, label)) AS affirmed FROM affirmed;
SELECT mnist_correct(:changed, :changed_label) > 0 AS changed;
RESET ROLE;
SELECT count(*) AS shown FROM mnist_doubted
WHERE prediction_id IN (:agreed, :denied, :changed) OR prediction_id IN (SELECT prediction_id FROM affirmed);
SELECT count(*) FILTER (WHERE label IS NOT NULL) AS new, count(*) FILTER (WHERE label IS NULL) AS tied FROM mnist_label
WHERE new;
SELECT tied FROM mnist_annotator_agreement;
SELECT run_id FROM mnist_retrain(epochs => 1, seed => 1, promote => false) \gset
SELECT f.prediction_id = :agreed AS agreed, u.label = :agreed_label AS label, u.weight, u.reason, count(*)
FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id
WHERE u.run_id = :run_id AND f.prediction_id IN (:agreed, :denied) GROUP BY 1, 2, 3, 4 ORDER BY 1;
SELECT u.split, u.weight, u.reason, count(*)
FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id JOIN affirmed a USING (prediction_id)
WHERE u.run_id = :run_id GROUP BY 1, 2, 3 ORDER BY 1;
-- The others wait on, since the run that excluded them first.
SELECT count(*) > 20 AS wait, count(*) FILTER (WHERE run_id <> :run_id) AS by_another_run,
    min(since) = (SELECT min(finished_at) FROM mnist_run r JOIN mnist_run_feedback u ON u.run_id = r.id
        WHERE u.reason = 'doubted') AS since
FROM mnist_doubted;
-- The annotator's share of a run holds for what was affirmed, too: with three labels by the other annotator beside the
-- one that both agree on, an equal share is four images at most.
CREATE TEMP TABLE own AS SELECT p.id, d.label FROM digit d, LATERAL mnist_predict(d.pixels) p WHERE judges
ORDER BY n LIMIT 3;
GRANT SELECT ON own TO regress_mnist_careful;
SET ROLE regress_mnist_careful;
SELECT count(mnist_correct(id, label)) AS said FROM own;
RESET ROLE;
SELECT count(*) AS affirmed, count(*) FILTER (WHERE w.reason = 'share') > 0 AS left_out
FROM mnist_internal.label_weights(0.01, 0) w
JOIN mnist_feedback f ON f.id = w.feedback_id
JOIN affirmed a USING (prediction_id)
WHERE w.split = 'train';
DROP TABLE own, affirmed;

---------------------------------------------------------------- confirmations of easy predictions

-- Forty sevens labelled as ones, among ten times as many confirmations.
DELETE FROM mnist_feedback;
SELECT mnist_activate(:model_version) IS NOT NULL AS activated \g /dev/null
CREATE TABLE easy AS
SELECT i AS n, i % 10 AS label, p.id
FROM generate_series(1, 400) AS i, LATERAL mnist_preprocess(mnist_draw(i % 10, 200000 + i)) AS pixels,
    LATERAL mnist_predict(pixels) AS p
WHERE p.label = i % 10 AND p.confidence > 0.9;
CREATE TABLE seven AS
SELECT i AS n, p.id
FROM generate_series(1, 40) AS i, LATERAL mnist_preprocess(mnist_draw(7, 300000 + i)) AS pixels,
    LATERAL mnist_predict(pixels) AS p;
GRANT SELECT ON easy, seven TO regress_mnist_careless;
SET ROLE regress_mnist_careless;
SELECT count(mnist_correct(id, label)) > 300 AS confirmed FROM easy;
SELECT count(mnist_correct(id, 1)) AS wrong FROM seven;
RESET ROLE;
SELECT run_id FROM mnist_retrain(epochs => 1, seed => 1, promote => false) \gset
SELECT avg((u.reason IS NOT DISTINCT FROM 'doubted')::int) FILTER (WHERE f.prediction_id IN (SELECT id FROM seven))
    >= 0.8 AS wrong_excluded,
    count(*) FILTER (WHERE u.reason = 'doubted' AND f.prediction_id IN (SELECT id FROM easy)) AS confirmations_excluded
FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id WHERE u.run_id = :run_id;
DROP TABLE easy, seven;

---------------------------------------------------------------- an honest style

DELETE FROM mnist_feedback;
SELECT mnist_activate(:model_version) IS NOT NULL AS activated \g /dev/null
SELECT upright AS upright_before, lying AS lying_before FROM accuracy \gset
UPDATE prediction r SET id = p.id FROM digit d, LATERAL mnist_predict(d.lying) p WHERE d.n = r.n;
SET ROLE regress_mnist_careless;
SELECT count(mnist_correct(id, label)) AS said FROM prediction;
RESET ROLE;
SELECT run_id, promoted FROM mnist_retrain(epochs => 4, seed => 1) \gset
SELECT :'promoted' AS promoted, lying >= (1 + :lying_before) / 2 AS learned_half_of_what_was_missing,
    upright >= :upright_before - 0.02 AS upright_kept FROM accuracy;
SELECT avg((u.reason IS NOT DISTINCT FROM 'doubted')::int) < 0.03 AS few_excluded
FROM mnist_run_feedback u WHERE u.run_id = :run_id AND u.split = 'train';
-- It went live with a reference for drift of its own.
SELECT r.source, r.readings > 0 AS readings, count(*) AS features
FROM mnist_drift_reference r JOIN mnist_drift_histogram h ON h.reference_id = r.id
WHERE r.model_version = (SELECT version FROM mnist_live) GROUP BY r.id;

DROP TABLE prediction, digit CASCADE;
DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_careless, regress_mnist_careful;
