-- The gate of a run: which data it used, how feedback counted, what the gate saw, approval, and doing it again.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
\i :srcdir/sql/include/annotators.sql

---------------------------------------------------------------- McNemar's exact test

-- Known values: 2 * sum of binomial(n, i) / 2^n up to the smaller.
SELECT mnist_mcnemar(0, 0) AS none, mnist_mcnemar(5, 5) AS even, mnist_mcnemar(0, 5) AS five,
    mnist_mcnemar(6, 0) AS six,
    round(mnist_mcnemar(1, 9)::numeric, 6) AS one_nine, round(mnist_mcnemar(59, 6)::numeric * 1e11, 4) AS e11;
SELECT mnist_mcnemar(-1, 2);

---------------------------------------------------------------- hashes of data sets

SELECT mnist_import_synthetic('drawn', 1500, 7);
SELECT mnist_import_synthetic('again', 1500, 7);
SELECT mnist_import_synthetic('other', 1500, 8);
SELECT a.train_sha256 = b.train_sha256 AND a.validation_sha256 = b.validation_sha256 AND a.test_sha256
    = b.test_sha256 AS same,
    a.train_sha256 <> c.train_sha256 AS different
FROM mnist_dataset a, mnist_dataset b, mnist_dataset c WHERE a.name = 'drawn' AND b.name = 'again' AND c.name = 'other';
-- An independent computation.
SELECT d.test_sha256 = sha256(string_agg(decode(lpad(to_hex(s.label::int), 2, '0'), 'hex') || sha256(s.pixels), ''
    ORDER BY s.ordinal)) AS as_documented
FROM mnist_dataset d JOIN mnist_sample s ON s.dataset_id = d.id AND s.split = 'test'
WHERE d.name = 'drawn' GROUP BY d.id;
SELECT mnist_drop_dataset('other');

--------------------------------------------------------------- how labels count

-- Predictions 1 to 3 show one image, 4 another, and so on; none is held out.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
SELECT pixels, 1, 0.9, array_fill(0.1::real, ARRAY[10]), 1
FROM (
    SELECT pixels, row_number() OVER (ORDER BY i) AS n
    FROM generate_series(1, 60) AS i, mnist_preprocess(mnist_draw(i % 10, i)) AS pixels
    WHERE get_byte(sha256(pixels), 0) % 5 <> 0) AS drawing
JOIN (VALUES (1), (1), (1), (2), (3), (4), (5)) AS prediction (n) USING (n) ORDER BY n;
-- One image, three predictions: ann says 3 twice, once 5 before; bob 5, cat 3.
-- Of another one ann says 7, bob 1: a tie.  Of the others nobody contradicts.
SELECT count(pg_temp.correct_as(who, prediction, label))
FROM (VALUES ('ann', 1, 5), ('ann', 2, 3), ('bob', 1, 5), ('cat', 3, 3), ('ann', 4, 7), ('bob', 4, 1), ('ann', 5, 2),
    ('bob', 6, 2), ('cat', 6, 2), ('cat', 7, 4)) AS given (who, prediction, label);
SELECT f.prediction_id, f.annotator, f.label AS said, w.split, w.label, w.weight, w.reason
FROM mnist_internal.label_weights(1, 0) w JOIN mnist_feedback f ON f.id = w.feedback_id ORDER BY f.id;
SELECT prediction_ids, label, votes FROM mnist_label_conflict ORDER BY 1;

-- How many images an annotator may label alone: at most a fraction of all, never less than what all would have equally.
SELECT own, others, share, mnist_internal.allowance(own, others, share, 0) AS allowance
FROM (VALUES ('{500}'::bigint[], 0, 0.5), ('{500,0}', 0, 0.5), ('{500,100}', 0, 0.5), ('{500,100}', 50, 0.5),
    ('{300,200,100}', 0, 0.4), ('{1000,1000,10}', 0, 0.3), ('{10,10,10}', 0, 0.1), ('{1000,10,10,10}', 970, 0.5),
    ('{90,10}', 0, 0.9), ('{91,9}', 0, 0.9), ('{0,0}', 4, 0.5)) AS c (own, others, share);
SELECT mnist_internal.allowance('{500,1}', 0, 0.5, 0) AS without,
    mnist_internal.allowance('{500,1}', 0, 0.5, 500) AS with_a_minimum;

---------------------------------------------------------------- a run's record

SELECT count(mnist_correct(p.id, i % 10)) AS corrected
FROM generate_series(1, 40) i, LATERAL mnist_predict(mnist_draw(i % 10, i + 1000)) p;
SET mnist_hil.annotator_share = 0.4;
SET mnist_hil.annotator_labels = 5;
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, seed => 1, promote => false) \gset a_
RESET mnist_hil.annotator_share;
RESET mnist_hil.annotator_labels;
SELECT f.annotator = current_user AS mine, u.split, count(*) FILTER (WHERE u.weight > 0) AS used,
    count(*) FILTER (WHERE u.reason = 'share') AS left_out
FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id
WHERE u.run_id = :a_run_id AND f.annotator = current_user
GROUP BY 1, 2 ORDER BY 2;
SELECT decision, datasets, data_sha256 IS NOT NULL AS hashed, jsonb_array_length(data->'datasets') AS datasets,
    (data->'feedback'->>'train')::int = feedback_train_images AS train, (data->'feedback'->>'held_out')::int
        = feedback_held_out_images AS held_out,
    data->'datasets'->0->>'train' = (SELECT encode(train_sha256, 'hex') FROM mnist_dataset
        WHERE name = 'drawn') AS as_imported
FROM mnist_run WHERE id = :a_run_id;
-- What is set aside is shown until somebody says more of it.
SELECT reason, count(*) > 0 AS shown FROM mnist_set_aside GROUP BY reason ORDER BY reason;
SELECT feedback_id IS NOT NULL AS shown, weight, reason FROM mnist_set_aside WHERE prediction_id = 4;
SELECT pg_temp.correct_as('cat', 4, 1);
SELECT count(*) AS shown FROM mnist_set_aside WHERE prediction_id = 4;
-- Ties are no longer new, for a run has seen them.
SELECT count(*) AS new FROM mnist_label WHERE new;

-- Equal images of data sets with different labels.
SELECT mnist_import_images('contrary', 'train', array_agg(pixels), array_agg((label + 1) % 10))
FROM (SELECT * FROM mnist_sample s WHERE split = 'train' ORDER BY ordinal LIMIT 12) s;
SELECT cardinality(images) AS images, count(*) FROM mnist_dataset_conflict GROUP BY 1;
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, seed => 1, promote => false) \gset b_
SELECT a.train_images - b.train_images AS left_out, a.data_sha256 <> b.data_sha256 AS other_data
FROM mnist_run a, mnist_run b WHERE a.id = :a_run_id AND b.id = :b_run_id;
SELECT mnist_drop_dataset('contrary');

---------------------------------------------------------------- the gate

SELECT judged_by, images > 0 AS images, candidate_correct <= images AS candidate, live_correct <= images AS live,
    candidate_correct - candidate_only = live_correct - live_only AS both,
    p_value = mnist_mcnemar(live_only, candidate_only) AS p_value
FROM mnist_gate WHERE run_id = :a_run_id;
SELECT sum(g.images) FILTER (WHERE judged_by LIKE 'digit _') = r.validation_images AS digits,
    sum(g.candidate_correct) FILTER (WHERE judged_by LIKE 'digit _')
        = round(r.validation_accuracy * r.validation_images) AS correct,
    max(g.images) FILTER (WHERE judged_by = 'held-out feedback') = r.feedback_held_out_images AS held_out
FROM mnist_gate g JOIN mnist_run r ON r.id = g.run_id WHERE r.id = :a_run_id GROUP BY r.id;
SELECT decision, verdict ~ '^rejected: worse than version \d+ on validation images \(.*\), worse on digits? \d' AS why,
    (gate->>'passed')::boolean AS passed
FROM mnist_run WHERE id = :b_run_id;

---------------------------------------------------------------- approval

SELECT public.outcome('SELECT mnist_approve(NULL)');
SELECT public.outcome('SELECT mnist_approve(4711)');
SELECT public.outcome(format('SELECT mnist_approve(%s)',
    :a_run_id)) LIKE '55000: run % does not await approval%was rejected.%' AS refused;
-- A model that reads nothing is live; whatever is trained is better.
SELECT version AS poor FROM mnist_model WHERE run_id = :a_run_id \gset
SELECT mnist_activate(:poor) = :poor AS activated;
SET mnist_hil.require_approval = on;
SELECT run_id, promoted, verdict LIKE 'awaiting approval: %' AS waits
FROM mnist_retrain('from_scratch', '{mlp}', epochs => 3, seed => 1) \gset c_
SELECT :'c_promoted' AS promoted, :'c_waits' AS waits;
SELECT run_id FROM mnist_retrain('from_scratch', '{mlp}', epochs => 3, seed => 2) \gset d_
RESET mnist_hil.require_approval;
SELECT r.decision, r.promoted, l.version = :poor AS live FROM mnist_run r, mnist_live l WHERE r.id = :c_run_id;
SELECT mnist_approve(:c_run_id) = (SELECT model_version FROM mnist_run WHERE id = :c_run_id) AS approved;
SELECT r.decision, r.promoted, l.version = r.model_version AS live, l.action, l.run_id = r.id AS of_run,
    l.deployed_by = current_user AS by_me, l.reason LIKE 'approved: better than version %' AS reason
FROM mnist_run r, mnist_live l WHERE r.id = :c_run_id;
SELECT public.outcome(format('SELECT mnist_approve(%s)',
    :c_run_id)) LIKE '55000: run % does not await approval%was approved.%' AS once;
-- The other one was compared with what is no longer live.
SELECT public.outcome(format('SELECT mnist_approve(%s)',
    :d_run_id)) LIKE '55000: run % was not compared with the model that is live%' AS stale;
SELECT mnist_rollback() = :poor AS rolled_back;
SELECT mnist_approve(:d_run_id) = (SELECT model_version FROM mnist_run WHERE id = :d_run_id) AS approved;

---------------------------------------------------------------- doing it again

SELECT public.outcome('SELECT mnist_reproduce(NULL)');
SELECT public.outcome('SELECT mnist_reproduce(4711)');
SELECT run_id FROM mnist_retrain(epochs => 1, seed => 4, datasets => '{drawn}') \gset e_
-- Time goes on: other feedback, another live model, another data set, the same one under another name.
SELECT count(mnist_correct(p.id, 3)) AS corrected FROM mnist_predict(mnist_draw(3, 5000)) p;
SELECT mnist_import_synthetic('later', 600, 9);
SELECT mnist_drop_dataset('drawn');
SELECT mnist_activate(:poor) = :poor AS activated;
SELECT run_id, promoted, verdict FROM mnist_reproduce(:e_run_id) \gset f_
SELECT :'f_promoted' AS promoted,
    :'f_verdict' LIKE 'reproduced run % the same weights as version % bit for bit' AS verdict;
SELECT f.reproduces = e.id AS reproduces, f.decision, f.data_sha256 = e.data_sha256 AS data, f.seed = e.seed AS seed,
    f.parent_version = e.parent_version AS parent,
    (f.parameters - 'promote') = (e.parameters - 'promote') AS parameters,
    a.weights_sha256 = b.weights_sha256 AS weights
FROM mnist_run e, mnist_run f, mnist_model a, mnist_model b
WHERE e.id = :e_run_id AND f.id = :f_run_id AND a.run_id = e.id AND b.run_id = f.id;
SELECT version = :poor AS unchanged FROM mnist_live;
-- From scratch, too, and with no trace of the parent.
SELECT verdict LIKE 'reproduced run %' AS reproduced FROM mnist_reproduce(:c_run_id);
-- What is missing is told, all at once.
DELETE FROM mnist_feedback WHERE annotator = current_user;
SELECT mnist_drop_dataset('again');
SELECT public.outcome(format('SELECT mnist_reproduce(%s)', :e_run_id)) LIKE '55000: run % cannot be reproduced%'
    'Data set "drawn" was dropped. Feedback was erased: of % images to train on %' AS missing;
SELECT mnist_import_synthetic('drawn', 1400, 7);
SELECT public.outcome(format('SELECT mnist_reproduce(%s)',
    :e_run_id)) LIKE '%Data set "drawn" has other images or labels now.%' AS changed;
UPDATE mnist_sample s SET label = (label + 1) % 10 FROM mnist_dataset d
WHERE d.id = s.dataset_id AND d.name = 'later' AND s.ordinal = 3;
SELECT run_id FROM mnist_retrain('fine_tune', epochs => 1, seed => 4, datasets => '{later}') \gset g_
SELECT mnist_activate(1) IS NOT NULL AND mnist_activate(model_version) IS NOT NULL AS activated FROM mnist_run
WHERE id = :g_run_id;
SELECT run_id FROM mnist_retrain('fine_tune', epochs => 1, seed => 4, datasets => '{later}') \gset h_
SELECT mnist_activate(1);
UPDATE mnist_model m SET weights = NULL FROM mnist_run r WHERE r.id = :g_run_id AND m.version = r.model_version;
SELECT public.outcome(format('SELECT mnist_reproduce(%s)',
    :h_run_id)) LIKE '%The weights of version %, with which it began, were pruned.' AS pruned;
UPDATE mnist_run SET software = replace(software, ' kernels', 'X kernels') WHERE id = :g_run_id;
SELECT public.outcome(format('SELECT mnist_reproduce(%s)',
    :g_run_id)) LIKE '%It was trained by %X kernels; this is %.' AS software;

DROP EXTENSION mnist_hil CASCADE;
DROP ROLE regress_mnist_ann, regress_mnist_bob, regress_mnist_cat;
