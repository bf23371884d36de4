-- also: not preloaded
-- A second model on a fraction of the predictions, or in the shadow; labels of the predictions compare the two.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- Version 2: softmax, trained for one epoch of a few images, so that it reads otherwise than version 1.  Versions 3 to
-- 5 have the weights of 1.
SELECT mnist_import_synthetic('base', 700);
SELECT model_version
FROM mnist_retrain(strategy => 'from_scratch', architectures => '{softmax}', epochs => 1, seed => 1,
    promote => false);
INSERT INTO mnist_model (version, parent_version, architecture, network, parameters, weights, weights_sha256)
SELECT v, 1, architecture, network, parameters, weights, weights_sha256 FROM mnist_model, generate_series(3, 5) AS v
WHERE version = 1;

---------------------------------------------------------------- what is refused

SELECT outcome('SELECT mnist_challenge(NULL, 0.5)') AS version_null,
    outcome('SELECT mnist_challenge(2, NULL)') AS share_null,
    outcome('SELECT mnist_challenge(2, 0.5, NULL)') AS shadow_null
\gx
SELECT share, shadow, outcome(format('SELECT mnist_challenge(2, %L, %L)', share, shadow))
FROM unnest('{0, -0.1, 1.001, NaN, Infinity}'::real[]) AS share, unnest('{f, t}'::boolean[]) AS shadow;
SELECT outcome('SELECT mnist_challenge(1, 0.5)') AS live, outcome('SELECT mnist_challenge(99, 0.5)') AS unknown
\gx
BEGIN;
UPDATE mnist_model SET weights = NULL WHERE version = 5;
SELECT outcome('SELECT mnist_challenge(5, 0.5)') AS pruned;
ROLLBACK;
SELECT outcome('SELECT mnist_challenge_promote()') AS promote_none,
    outcome('SELECT mnist_challenge_drop()') AS drop_none
\gx
SELECT count(*) AS on_record FROM mnist_challenger;

---------------------------------------------------------------- A/B

SELECT mnist_challenge(2, 0.5, reason => 'smaller');
SELECT * FROM mnist_internal.readers();
SELECT live_version, challenger_version, challenge_share, challenge_shadow FROM mnist_status;

-- Half of 2,000, within a bound that a fair coin breaks once in 20,000 times (four standard deviations, 89); here the
-- ids are 1, 2, ..., so that it always comes out the same.
CREATE TABLE prediction AS
SELECT i, mnist_draw(i % 10, i, 28) AS image FROM generate_series(1, 2000) AS i;
CREATE TABLE answer AS
SELECT r.i, a.* FROM prediction r, mnist_predict(r.image) AS a WHERE i <= 1000
UNION ALL
SELECT b.ordinality::int + 1000, b.id, b.label, b.confidence, b.probabilities, b.model_version
FROM (SELECT array_agg(image ORDER BY i) AS images FROM prediction WHERE i > 1000) s,
    mnist_predict_batch(images) WITH ORDINALITY AS b;
SELECT count(*) AS predictions, count(*) FILTER (WHERE model_version = 2) BETWEEN 911 AND 1089 AS half,
    count(*) FILTER (WHERE model_version = 2 AND i > 1000) BETWEEN 437 AND 563 AS half_of_the_batch,
    count(*) FILTER (WHERE model_version NOT IN (1, 2)) AS others
FROM answer;
-- The side follows from the id and from nothing else, and who answered is who is named.
SELECT count(*) FILTER (WHERE (mnist_internal.challenge_point(id) < 0.5) <> (model_version = 2)) AS wrong_side
FROM answer;
SELECT count(*) FILTER (WHERE NOT (p.image, p.label, p.confidence, p.probabilities, p.model_version)
        = (r.image, a.label, a.confidence, a.probabilities, a.model_version)) AS not_as_answered,
    count(*) FILTER (WHERE p.challenge_id IS DISTINCT FROM 1) AS not_in_the_challenge
FROM answer a JOIN prediction r USING (i) JOIN mnist_prediction p USING (id);
-- What each model reads when it is live.
SELECT count(*) FILTER (WHERE a.model_version = 1 AND a.probabilities <> mnist_probabilities(r.image)) AS not_as_live
FROM answer a JOIN prediction r USING (i);
BEGIN;
SELECT mnist_activate(2);
SELECT count(*) FILTER (WHERE a.model_version = 2 AND a.probabilities
    <> mnist_probabilities(r.image)) AS not_as_challenger,
    count(*) FILTER (WHERE a.probabilities <> mnist_probabilities(r.image)) > 0 AS models_differ
FROM answer a JOIN prediction r USING (i);
ROLLBACK;
-- Points are spread evenly: in each tenth of 100,000 ids about 10,000.  A larger share keeps what a smaller one had.
SELECT width_bucket(mnist_internal.challenge_point(id), 0, 1, 10) AS tenth, count(*) BETWEEN 9600 AND 10400 AS even
FROM generate_series(1, 100000) AS id GROUP BY 1 ORDER BY 1;

-- What is not stored has no id, and is read by the live model.
BEGIN;
SET LOCAL mnist_hil.log_predictions = off;
SELECT DISTINCT model_version, id FROM prediction r, mnist_predict(r.image) WHERE i <= 50;
SELECT DISTINCT model_version, id FROM mnist_predict_batch(ARRAY(SELECT image FROM prediction WHERE i <= 50));
ROLLBACK;

---------------------------------------------------------------- figures

-- People label two predictions of three, truthfully: the digit that was drawn.
SELECT count(mnist_correct(a.id, a.i % 10)) AS labelled FROM answer a WHERE i % 3 <> 0;
-- The same figures by plain SQL over the predictions.
SELECT r.live_labels = l.n AS live_labels, r.live_right = l.k AS live_right,
    r.challenger_labels = c.n AS challenger_labels,
    r.challenger_right = c.k AS challenger_right, r.live_accuracy = (l.k::float8 / l.n)::real AS live_accuracy,
    r.challenger_accuracy = (c.k::float8 / c.n)::real AS challenger_accuracy,
    abs(r.difference - (c.k::float8 / c.n - l.k::float8 / l.n)) < 1e-6 AS difference,
    r.difference_low < r.difference AND r.difference < r.difference_high AS interval, r.finding, r.outcome, r.reason,
    r.only_live_right, r.mcnemar_exact,
    abs(r.error_ratio - (c.n - c.k)::float8 / (l.n - l.k)) < 1e-4 AS error_ratio,
    r.error_ratio_low < r.error_ratio AND r.error_ratio < r.error_ratio_high AS error_ratio_interval
FROM mnist_challenge_result r,
    (SELECT count(*) AS n, count(*) FILTER (WHERE label = i % 10) AS k FROM answer
        WHERE i % 3 <> 0 AND model_version = 1) l,
    (SELECT count(*) AS n, count(*) FILTER (WHERE label = i % 10) AS k FROM answer
        WHERE i % 3 <> 0 AND model_version = 2) c
\gx
-- A prediction from outside the challenge does not count, nor does one that annotators do not agree on.
SELECT live_labels + challenger_labels AS before FROM mnist_challenge_result \gset
CREATE ROLE regress_mnist_annotator;
GRANT EXECUTE ON FUNCTION mnist_correct TO regress_mnist_annotator;
SET ROLE regress_mnist_annotator;
SELECT mnist_correct(1, 5) IS NOT NULL AS disagreed;
RESET ROLE;
SELECT live_labels + challenger_labels - :before AS counted FROM mnist_challenge_result;

-- Published values: Newcombe 1998, Stat. Med. 17:873-890, table II (a), (b), (c), (g), method 10 ...
SELECT k1, n1, k2, n2, round(low::numeric, 4) AS low, round(high::numeric, 4) AS high
FROM (VALUES (56, 70, 48, 80), (9, 10, 3, 10), (6, 7, 2, 7), (0, 10, 0, 20), (10, 10, 0, 10)) AS v (k1, n1, k2, n2),
    mnist_internal.newcombe(k1, n1, k2, n2);
-- ... 17:2635-2650, method 10 ...
SELECT round(low::numeric, 4) AS low, round(high::numeric, 4) AS high FROM mnist_internal.newcombe_paired(36, 12, 2, 0);
-- ... Wilson's interval, 17:857-872, table I, method 3 ...
SELECT k, n, round(low::numeric, 4) AS low, round(high::numeric, 4) AS high
FROM (VALUES (81, 263), (15, 148), (0, 20), (1, 29), (20, 20)) AS v (k, n), mnist_internal.wilson(k, n);
-- ... and McNemar's test: by hand 2 (1 + 8) / 2^8, and 8 / 2^8 less; for the large one in whole numbers 0.046586.
SELECT b, c, round(exact::numeric, 12) AS exact, round(mid_p::numeric, 12) AS mid_p
FROM (VALUES (1, 7), (7, 1), (0, 0), (3, 3), (0, 5)) AS v (b, c), mnist_internal.mcnemar(b, c);
SELECT round(exact::numeric, 6) AS large FROM mnist_internal.mcnemar(4900, 5100);
-- No labels, no finding.
SELECT w.low, n.low, p.low FROM mnist_internal.wilson(0, 0) AS w, mnist_internal.newcombe(0, 0, 1, 2) AS n,
    mnist_internal.newcombe_paired(0, 0, 0, 0) AS p;

---------------------------------------------------------------- shadow

-- Another challenge takes the place of the first.  Saying it again changes nothing.
SELECT mnist_challenge(2, NULL, shadow => true);
SELECT mnist_challenge(2, 1, shadow => true);
SELECT challenge_id, version, share, shadow, live_version FROM mnist_challenge_now;
CREATE TABLE shadowed AS
SELECT r.i, a.* FROM prediction r, mnist_predict(r.image) AS a WHERE i <= 100
UNION ALL
SELECT b.ordinality::int + 100, b.id, b.label, b.confidence, b.probabilities, b.model_version
FROM (SELECT array_agg(image ORDER BY i) AS images FROM prediction WHERE i BETWEEN 101 AND 400) s,
    mnist_predict_batch(images) WITH ORDINALITY AS b;
-- The live model answers all; of each there is what the challenger reads as a live model.
SELECT count(*) AS predictions,
    count(*) FILTER (WHERE model_version <> 1 OR probabilities <> mnist_probabilities(image)) AS not_the_live_model
FROM shadowed JOIN prediction USING (i);
BEGIN;
SELECT mnist_activate(2);
SELECT count(*) AS shadows, count(*) FILTER (WHERE (s.label, s.confidence, s.model_version, s.challenge_id)
        IS DISTINCT FROM (p.label, p.confidence, 2, 2::bigint)) AS not_as_live
FROM shadowed a JOIN prediction r USING (i) LEFT JOIN mnist_shadow s ON s.prediction_id = a.id
    LEFT JOIN LATERAL (SELECT o.label, o.confidence FROM mnist_predict(r.image) AS o) p ON true;
ROLLBACK;
SELECT count(mnist_correct(id, i % 10)) AS labelled FROM shadowed WHERE i % 4 <> 0;
SELECT r.live_labels = n AND r.challenger_labels = n AS labels, r.live_right = a + b AS live_right,
    r.challenger_right = a + c AS challenger_right, r.only_live_right = b AS only_live_right,
    r.only_challenger_right = c AS only_challenger_right, r.mcnemar_exact = m.exact AS exact,
    r.mcnemar_mid_p = m.mid_p AS mid_p,
    abs(r.difference - (c - b)::float8 / n) < 1e-6 AS difference, r.difference_low = w.low::real AS low,
    r.difference_high = w.high::real AS high,
    r.error_ratio, r.finding
FROM mnist_challenge_result r,
    (SELECT count(*) AS n, count(*) FILTER (WHERE p.label = i % 10 AND s.label = i % 10) AS a,
        count(*) FILTER (WHERE p.label = i % 10 AND s.label <> i % 10) AS b,
        count(*) FILTER (WHERE p.label <> i % 10 AND s.label = i % 10) AS c
    FROM shadowed p JOIN mnist_shadow s ON s.prediction_id = p.id WHERE i % 4 <> 0) t,
    mnist_internal.mcnemar(b, c) AS m, mnist_internal.newcombe_paired(a, c, b, n - a - b - c) AS w
WHERE r.challenge_id = 2
\gx
-- A fraction of them, too.
SELECT mnist_challenge(2, 0.25, shadow => true);
CREATE TABLE partly AS SELECT * FROM mnist_predict_batch(ARRAY(SELECT image FROM prediction WHERE i <= 200));
SELECT count(*) AS predictions, count(*) FILTER (WHERE p.model_version <> 1) AS answered_by_challenger,
    count(s.prediction_id) BETWEEN 30 AND 70 AS a_quarter,
    count(*) FILTER (WHERE (s.prediction_id IS NOT NULL) <> (mnist_internal.challenge_point(id) < 0.25)) AS wrong_side
FROM partly p LEFT JOIN mnist_shadow s ON s.prediction_id = id;
SELECT count(mnist_correct(id, label)) AS confirmed FROM partly;
SELECT live_labels = s.n AND challenger_labels = s.n AS those_that_both_read
FROM mnist_challenge_result, (SELECT count(*) AS n FROM mnist_shadow WHERE challenge_id = 3) s WHERE challenge_id = 3;
-- Erased with the prediction.
SELECT count(*) AS shadows FROM mnist_shadow WHERE prediction_id IN (SELECT id FROM shadowed WHERE i IN (4, 8));
DELETE FROM mnist_prediction WHERE id IN (SELECT id FROM shadowed WHERE i IN (4, 8));
SELECT count(*) AS shadows FROM mnist_shadow WHERE prediction_id IN (SELECT id FROM shadowed WHERE i IN (4, 8));
-- A prediction that a trigger leaves out has no shadow.
CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER leave_out BEFORE INSERT ON mnist_prediction FOR EACH ROW EXECUTE FUNCTION leave_out();
SELECT mnist_challenge(2, 1, true);
SELECT count(*) AS shadows FROM mnist_shadow \gset
SELECT count(id) AS stored FROM prediction r, mnist_predict(r.image) WHERE i <= 5;
SELECT count(id) AS stored FROM mnist_predict_batch(ARRAY(SELECT image FROM prediction WHERE i <= 5));
SELECT count(*) - :shadows AS shadows FROM mnist_shadow;
DROP TRIGGER leave_out ON mnist_prediction;

---------------------------------------------------------------- the end of it

-- What is on record decides, and is undone with its transaction.
BEGIN;
SELECT mnist_challenge_drop('undone');
SELECT count(*) FROM mnist_challenge_now;
SAVEPOINT s;
SELECT mnist_challenge(3, 1);
SELECT model_version FROM mnist_predict(mnist_draw(1));
ROLLBACK TO s;
SELECT model_version, (SELECT count(*) FROM mnist_challenge_now) AS under_way FROM mnist_predict(mnist_draw(1));
ROLLBACK;
SELECT challenge_id, shadow FROM mnist_challenge_now;

SELECT mnist_challenge_drop('no better');
SELECT challenge_id FROM mnist_internal.readers();
SELECT count(*) AS shadows FROM mnist_shadow \gset
SELECT model_version FROM mnist_predict(mnist_draw(1));
SELECT count(*) - :shadows AS shadows FROM mnist_shadow;

-- Promoted: live, on record in both places, and it can be rolled back.
SELECT mnist_challenge(3, 0.1);
SELECT mnist_challenge_promote('it is good');
SELECT version, action, reason FROM mnist_live;
SELECT count(*) AS under_way FROM mnist_challenge_now;
SELECT DISTINCT model_version FROM prediction r, mnist_predict(r.image) WHERE i <= 50;
SELECT mnist_rollback();

-- A switch of the live model ends a challenge, whoever wins; going back does not begin it again.
SELECT mnist_challenge(3, 1);
SELECT mnist_activate(1);
SELECT model_version FROM mnist_predict(mnist_draw(1));
SELECT mnist_activate(4, 'another one');
SELECT model_version, challenge_id FROM mnist_predict(mnist_draw(1)) AS p, mnist_internal.readers();
SELECT outcome('SELECT mnist_challenge_drop()');
SELECT mnist_rollback();
SELECT model_version, challenge_id FROM mnist_predict(mnist_draw(1)) AS p, mnist_internal.readers();
SELECT mnist_challenge(3, 1);
SELECT mnist_activate(3, 'by hand');
SELECT model_version, challenge_id FROM mnist_predict(mnist_draw(1)) AS p, mnist_internal.readers();
SELECT mnist_activate(1);

SELECT challenge_id, version, live_version, share, shadow, outcome, end_reason, ended_by = session_user AS by_me,
    ended_at >= began_at AS later
FROM mnist_challenge_result ORDER BY 1;
SELECT id, action, version, ends, reason FROM mnist_challenger ORDER BY id;
SELECT kind, message FROM mnist_event WHERE kind LIKE 'challenge%' ORDER BY id;

-- mnist_prune leaves a challenger alone.  Where its weights are gone all the same, everybody can still predict.
SELECT mnist_challenge(5, 1);
SELECT version AS pruned FROM mnist_prune(0, dry_run => true) AS version ORDER BY 1;
UPDATE mnist_model SET weights = NULL WHERE version = 5;
\c -
SELECT id IS NOT NULL AS stored, model_version FROM mnist_predict(mnist_draw(1));
SELECT count(DISTINCT model_version) FROM mnist_predict_batch(ARRAY[mnist_draw(1), mnist_draw(2)]);
SELECT mnist_challenge(4, 1);
SELECT model_version FROM mnist_predict(mnist_draw(1));

-- A statement keeps to its models, here an open cursor; the next one turns to what is under way by then.
BEGIN;
DECLARE reader CURSOR FOR SELECT (mnist_predict(mnist_draw(1))).model_version FROM generate_series(1, 3);
FETCH reader;
SELECT mnist_challenge_drop();
FETCH reader;
SELECT model_version FROM mnist_predict(mnist_draw(1));
FETCH reader;
ROLLBACK;

-- Rows are facts.
SELECT outcome('UPDATE mnist_challenger SET share = 0.1'), outcome('DELETE FROM mnist_challenger'),
    outcome('TRUNCATE mnist_challenger')
\gx
SELECT left(outcome('INSERT INTO mnist_challenger (action, version, deployment_id) VALUES (''challenge'', 2, 1)'),
    5) AS no_share,
    left(outcome('INSERT INTO mnist_challenger (action, version, deployment_id, ends)
        VALUES (''drop'', 2, 1, 1), (''drop'', 2, 1, 1)'), 5) AS ended_twice;

-- What people's search_path holds is not what runs as the owner.
CREATE SCHEMA trap;
CREATE FUNCTION trap.unnest(bigint[]) RETURNS SETOF bigint
    LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught as %', current_user; END $$;
CREATE FUNCTION trap.unnest(bigint[], smallint[], real[]) RETURNS SETOF record
    LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught as %', current_user; END $$;
CREATE FUNCTION trap.cardinality(anyarray) RETURNS int
    LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught as %', current_user; END $$;
CREATE FUNCTION trap.add(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught as %', current_user; END $$;
CREATE OPERATOR trap.+ (FUNCTION = trap.add, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR trap.* (FUNCTION = trap.add, LEFTARG = int, RIGHTARG = int);
\c -
SET search_path = trap, pg_catalog, public;
SELECT public.mnist_challenge(4, 1, true) IS NOT NULL AS begun;
SELECT count(id) AS stored FROM mnist_predict_batch(ARRAY[mnist_draw(1), mnist_draw(2)]);
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA trap CASCADE;
RESET client_min_messages;

---------------------------------------------------------------- who may

CREATE ROLE regress_mnist_trainer;
SET ROLE regress_mnist_trainer;
SELECT left(outcome('SELECT mnist_challenge(2, 0.5)'), 5) AS challenge,
    left(outcome('SELECT mnist_challenge_promote()'), 5) AS promote,
    left(outcome('SELECT mnist_challenge_drop()'), 5) AS drop,
    left(outcome('SELECT * FROM mnist_challenge_result'), 5) AS result,
    left(outcome('SELECT * FROM mnist_shadow'), 5) AS shadow,
    left(outcome('SELECT * FROM mnist_challenger'), 5) AS challenger;
RESET ROLE;
GRANT EXECUTE ON FUNCTION mnist_challenge, mnist_challenge_promote, mnist_challenge_drop,
    mnist_predict TO regress_mnist_trainer;
GRANT SELECT ON mnist_challenge_now, mnist_challenge_result TO regress_mnist_trainer;
SET ROLE regress_mnist_trainer;
SELECT mnist_challenge(2, 1, true) IS NOT NULL AS begun;
SELECT id IS NOT NULL AS stored FROM mnist_predict(mnist_draw(1));
SELECT c.decided_by, r.began_by FROM mnist_challenge_now c JOIN mnist_challenge_result r USING (challenge_id);
SELECT mnist_challenge_promote();
SELECT ended_by FROM mnist_challenge_result ORDER BY challenge_id DESC LIMIT 1;
RESET ROLE;
SELECT deployed_by FROM mnist_live;

DROP TABLE prediction, answer, shadowed, partly;
DROP FUNCTION outcome, leave_out;
DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_annotator, regress_mnist_trainer;
