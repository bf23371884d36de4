-- A model that went live is on probation: mnist_check rolls it back if it is worse than the one before it.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- mnist_check, without what is missing to train.
CREATE FUNCTION pg_temp.checked(OUT retrain boolean, OUT reasons text[], OUT run_id bigint) LANGUAGE sql AS $$
    SELECT c.retrain, ARRAY(SELECT r FROM unnest(c.reasons) AS r WHERE r !~ 'new (labels|failures)'), c.run_id
    FROM mnist_check() c
$$;

-- Version 2 is a small network, trained on a few images, and much worse than version 1.  Versions 3 to 8 have the
-- weights of version 2, versions 9 to 11 those of version 1.  Version 12 has hardly been trained.
SET mnist_hil.min_new_labels = 100000;
SELECT mnist_import_synthetic('base', 700);
SELECT model_version
FROM mnist_retrain(strategy => 'from_scratch', architectures => '{mlp}', epochs => 9, seed => 1,
    learning_rate => 0.003, promote => false);
INSERT INTO mnist_model (version, parent_version, architecture, network, parameters, weights, weights_sha256)
SELECT v, 1, architecture, network, parameters, weights, weights_sha256
FROM generate_series(3, 11) AS v
JOIN mnist_model m ON m.version = CASE WHEN v < 9 THEN 2 ELSE 1 END
ORDER BY v;
CREATE TABLE image AS
SELECT i, i % 10 AS digit, mnist_draw(i % 10, i, 28) AS image FROM generate_series(1, 1000) AS i;
CREATE TABLE prediction (id bigint, label int, digit int, model_version int);
CREATE PROCEDURE predict(first int, last int) LANGUAGE sql AS $$
    INSERT INTO prediction
    SELECT p.id, p.label, m.digit, p.model_version
    FROM (SELECT * FROM image WHERE i BETWEEN first AND last ORDER BY i OFFSET 0) m, mnist_predict(m.image) AS p;
$$;
-- Annotators label every nth prediction, or only the wrong ones, truthfully.
CREATE PROCEDURE annotate(nth int, only_wrong boolean) LANGUAGE sql AS $$
    SELECT count(mnist_correct(p.id, p.digit))
    FROM prediction p
    WHERE p.id % nth = 0 AND (NOT only_wrong OR p.label <> p.digit)
        AND p.id > coalesce((SELECT max(after_prediction) FROM mnist_probation), 0);
$$;
CREATE VIEW outcome AS
SELECT deployment_id AS id, version, former_version AS former, outcome, reason FROM mnist_probation;

---------------------------------------------------------------- a worse model

SELECT mnist_activate(2);
SELECT deployment_id, version, former_version, outcome, max_labels, max_predictions, labels, labels_count, predictions
FROM mnist_probation \gx
-- Nothing is new: nothing is written.
SELECT * FROM pg_temp.checked();
SELECT checked_at FROM mnist_probation;
CALL predict(1, 200);
SELECT avg((label = digit)::int) BETWEEN 0.3 AND 0.9 AS worse FROM prediction;
-- Both models predict all images; without labels there is no verdict.
SELECT * FROM pg_temp.checked();
SELECT outcome, labels, predictions, disagreements BETWEEN 10 AND 150 AS some_disagreements, former_confirmed
FROM mnist_probation;
SELECT count(*) FILTER (WHERE c.former_label <> (mnist_internal.features(p.image, 1))[16]) AS not_the_former,
    count(*) FILTER (WHERE (c.new_label, c.new_confidence) <> (p.label, p.confidence)) AS not_the_new
FROM mnist_internal.probation_prediction c JOIN mnist_prediction p ON p.id = c.prediction_id;
-- An erased prediction is gone from here, too.
DELETE FROM mnist_prediction WHERE id = 1;
SELECT count(*) FROM mnist_internal.probation_prediction WHERE prediction_id = 1;
-- With labels for every other prediction mnist_check rolls back.
CALL annotate(2, false);
SELECT retrain, regexp_replace(reasons::text, '\d+ labelled.*', '...') AS reasons FROM mnist_check();
SELECT version, action FROM mnist_live;
SELECT outcome, labels, labels_count, former_only > new_only AS worse, ended_at >= began_at AS ended,
    reason = format('probation: of %s labelled predictions, only version 1 was right on %s, only version 2 on %s',
        labels, former_only, new_only) AS why
FROM mnist_probation;
SELECT l.reason = p.reason AS same_reason FROM mnist_live l, mnist_probation p;
SELECT kind, message = 'rolled back to model version 1: ' || p.reason AS says_why
FROM mnist_event, mnist_probation p WHERE kind = 'model_rolled_back';
SELECT count(*) AS left_over FROM mnist_internal.probation_prediction;
SELECT count(*) FILTER (WHERE action = 'rollback') AS rollbacks FROM mnist_deployment;
-- The figures, by plain SQL.
SELECT b.labels = k.labels AND b.former_only = k.former_only AND b.new_only = k.new_only AS figures
FROM mnist_probation b, (
    SELECT count(*) AS labels, count(*) FILTER (WHERE mnist_classify(m.image) = l.label
            AND l.label <> l.predicted_label) AS former_only,
        count(*) FILTER (WHERE mnist_classify(m.image) <> l.label AND l.label = l.predicted_label) AS new_only
    FROM mnist_label l JOIN mnist_prediction m ON m.id = l.prediction_id) k;

---------------------------------------------------------------- not the same again

-- By a run ...
BEGIN;
SELECT * FROM mnist_internal.promote(3, 1, NULL, 'promoted: better', session_user);
SELECT decision FROM mnist_internal.promote(9, 1, NULL, 'promoted: better', session_user);
ROLLBACK;
-- ... by approval ...
BEGIN;
UPDATE mnist_run SET decision = 'awaiting approval' WHERE id = 1;
SELECT outcome('SELECT mnist_approve(1)');
ROLLBACK;
-- ... but a person overrules it, and then there is no probation.
SELECT mnist_activate(2, 'I know better');
SELECT count(*) FROM mnist_probation;
SELECT mnist_rollback();

---------------------------------------------------------------- annotators who only correct

-- They make any model look worse, so the labels do not count; but here they label more than half of what differs.
SELECT mnist_activate(3);
CALL predict(201, 500);
CALL annotate(1, true);
SELECT retrain, regexp_replace(reasons::text, 'of \d+ predictions.*', '...') AS reasons FROM mnist_check();
SELECT outcome, labels_count, new_only, former_confirmed > disagreements / 2 AS most FROM mnist_probation
WHERE version = 3;
-- Of a better model they correct errors, too; it stays.
SET mnist_hil.probation = 0;
SELECT mnist_activate(4);
RESET mnist_hil.probation;
SELECT count(*) FROM mnist_probation WHERE version = 4;
SELECT mnist_activate(9);
CALL predict(501, 700);
CALL annotate(1, true);
SELECT * FROM pg_temp.checked();
SELECT outcome, former_confirmed FROM mnist_probation WHERE version = 9;

---------------------------------------------------------------- confidence

SELECT model_version
FROM mnist_retrain(strategy => 'from_scratch', architectures => '{softmax}', epochs => 1, seed => 1,
    promote => false);
SELECT mnist_activate(12);
CALL predict(1, 100);
SELECT reasons FROM mnist_check();
SELECT version FROM mnist_live;

---------------------------------------------------------------- superseded and passed

SELECT mnist_activate(10);
SELECT * FROM outcome WHERE version IN (9, 10);
SELECT count(*) FROM mnist_internal.probation_prediction;
SELECT mnist_rollback();
SELECT * FROM outcome WHERE version = 10;
SELECT outcome('INSERT INTO mnist_probation (deployment_id, version, former_version, max_labels, max_predictions,
    after_prediction, last_prediction) SELECT id, 1, 2, 1, 1, 0, 0 FROM mnist_deployment LIMIT 2') LIKE '23505%' AS one;

SET mnist_hil.probation = 30;
SELECT mnist_activate(11);
CALL predict(701, 760);
CALL annotate(1, false);
SELECT * FROM pg_temp.checked();
SELECT * FROM outcome WHERE version = 11;
SELECT labels, max_labels FROM mnist_probation WHERE version = 11;
SELECT message FROM mnist_event WHERE kind = 'probation_passed';
RESET mnist_hil.probation;

-- The end by predictions; a check compares 500 at most, and those with labels first.
SET mnist_hil.probation_predictions = 600;
SELECT mnist_activate(10);
CALL predict(1, 700);
SELECT mnist_correct(max(id), 5) IS NOT NULL AS labelled FROM prediction;
SELECT * FROM pg_temp.checked();
SELECT predictions, labels, outcome FROM mnist_probation ORDER BY deployment_id DESC LIMIT 1;
SELECT * FROM pg_temp.checked();
SELECT predictions, labels, outcome FROM mnist_probation ORDER BY deployment_id DESC LIMIT 1;
RESET mnist_hil.probation_predictions;

-- Without the former model's weights it cannot go on.
SELECT mnist_activate(9);
BEGIN;
UPDATE mnist_model SET weights = NULL WHERE version = 10;
CALL predict(1, 3);
SELECT * FROM pg_temp.checked();
SELECT outcome, reason FROM mnist_probation ORDER BY deployment_id DESC LIMIT 1;
ROLLBACK;

---------------------------------------------------------------- a challenger by itself

-- The live model is the worse one, and annotators label all predictions: the shadow is promoted.
SET mnist_hil.probation = 0;
SELECT mnist_activate(5);
SELECT mnist_challenge(1, 1, true, promote_when_better => true);
SELECT promote_when_better FROM mnist_challenge_now;
CALL predict(1, 150);
SELECT * FROM pg_temp.checked();
SELECT count(mnist_correct(id, digit)) FROM prediction WHERE id > (SELECT max(after_prediction) FROM mnist_challenger);
SELECT finding FROM mnist_challenge_result WHERE outcome = 'under way';
SELECT retrain, regexp_replace(reasons::text, 'only version.*', '...') AS reasons FROM mnist_check();
SELECT version, action, reason LIKE 'challenge 1: challenger better: %' AS reason FROM mnist_live;
SELECT outcome, finding, promote_when_better FROM mnist_challenge_result;

-- They label only errors, and the shadow is the worse one: it looks better, and is not promoted.
SELECT mnist_challenge(6, 1, true, promote_when_better => true);
CALL predict(1, 400);
SELECT count(mnist_correct(d.id, d.label)) AS labelled
FROM (
    SELECT p.id, s.label
    FROM prediction p
    JOIN mnist_shadow s ON s.prediction_id = p.id
    WHERE s.challenge_id = (SELECT challenge_id FROM mnist_challenge_now) AND s.label <> p.label
    ORDER BY p.id
    LIMIT 12) d;
SELECT finding FROM mnist_challenge_result WHERE outcome = 'under way';
SELECT * FROM pg_temp.checked();
SELECT count(*) AS under_way FROM mnist_challenge_now;
-- Were all its predictions confirmed, it would still not be promoted: probation rolled back these weights.
SELECT count(mnist_correct(s.prediction_id, s.label)) AS labelled
FROM mnist_shadow s WHERE s.challenge_id = (SELECT challenge_id FROM mnist_challenge_now);
SELECT reasons FROM mnist_check();

-- In an A/B test errors decide.  A worse challenger is dropped.
SELECT mnist_challenge(7, 0.5, promote_when_better => true);
CALL predict(1, 300);
SELECT count(mnist_correct(id, digit)) > 10 AS labelled FROM prediction
WHERE id > (SELECT max(after_prediction) FROM mnist_challenger) AND label <> digit;
SELECT regexp_replace(reasons::text, 'found.*', '...') AS reasons FROM mnist_check();
SELECT version, outcome, finding,
    end_reason LIKE 'live model better: annotators found % errors of version 7, %' AS reason
FROM mnist_challenge_result WHERE version = 7;
-- A better one is promoted.
SELECT mnist_activate(8);
SELECT mnist_challenge(9, 0.5, promote_when_better => true);
CALL predict(1, 300);
SELECT count(mnist_correct(id, digit)) > 10 AS labelled FROM prediction
WHERE id > (SELECT max(after_prediction) FROM mnist_challenger) AND label <> digit;
SELECT regexp_replace(reasons::text, 'found.*', '...') AS reasons FROM mnist_check();
SELECT version, action FROM mnist_live;
-- Without promote_when_better nothing happens.
SELECT mnist_challenge(6, 0.5);
CALL predict(1, 200);
SELECT count(mnist_correct(id, digit)) > 10 AS labelled FROM prediction
WHERE id > (SELECT max(after_prediction) FROM mnist_challenger) AND label <> digit;
SELECT * FROM pg_temp.checked();
SELECT finding, outcome FROM mnist_challenge_result WHERE outcome = 'under way';
SELECT outcome('SELECT mnist_challenge(6, 0.5, promote_when_better => NULL)');

-- The evidence, by hand: of 10 all on one side, 2^10 / 11.
SELECT round(exp(mnist_internal.sequential_evidence(10, 0, 0.5))::numeric, 4) AS evidence,
    mnist_internal.more_than_expected(10, 0, 0.5) AS more, mnist_internal.more_than_expected(0, 10, 0.5) AS less,
    mnist_internal.more_than_expected(6, 4, 0.5) AS undecided, mnist_internal.more_than_expected(0, 0, 0.5) AS nothing;
SELECT shadow, mnist_internal.challenge_finding(shadow, 0.1, 3, 30, 2, 20) FROM unnest('{f,t}'::boolean[]) AS shadow;
SELECT mnist_internal.challenge_finding(false, 1, 0, 30, 0, 0) AS all_by_the_challenger,
    mnist_internal.challenge_finding(true, 1, NULL, NULL, NULL, NULL) AS no_labels;

DROP VIEW outcome;
DROP PROCEDURE predict, annotate;
DROP TABLE image, prediction;
