-- Trials: of several architectures, of a search; what is on record of them, resuming, reproducing, comparing.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
SELECT mnist_import_synthetic('drawn', 1200, 7);

-- Arguments that make no sense.
SELECT mnist_retrain(trials => -1);
SELECT mnist_retrain(trials => 1001);
SELECT mnist_retrain(search => true, trials => 0);
SELECT mnist_retrain(trial_epochs => 2);
SELECT mnist_retrain(trials => 4, trial_images => 10);
SELECT mnist_retrain(trials => 4, trial_epochs => 0);
SELECT mnist_retrain('from_scratch', '{softmax,mlp,lenet5}', trials => 2);
SELECT mnist_retrain('from_scratch', ARRAY['softmax', 'dense  10']);
SELECT mnist_retrain('from_scratch', array_agg('dense ' || i || ', relu, dense 10')) IS NULL
FROM generate_series(1, 17) i;
SELECT mnist_retrain(resume_run => 1);
SHOW mnist_hil.trials;
SET mnist_hil.trials = 0;

-- Each architecture is trained in full, and the best is kept: the very model that it gives alone.
SELECT run_id, model_version
FROM mnist_retrain(architectures => '{softmax,mlp}', epochs => 2, seed => 5, promote => false) \gset many_
SELECT trial, status, architecture, parameters, epochs, value = validation_accuracy AS by_validation,
    finished_at > started_at AS took
FROM mnist_trial WHERE run_id = :many_run_id ORDER BY trial;
SELECT r.architecture, r.best_trial, r.trial, r.epochs, t.value = max(t.value) OVER () AS best,
    r.validation_accuracy = t.value AS as_judged,
    r.search->>'search' AS search, r.search->'architectures' AS architectures
FROM mnist_run r JOIN mnist_trial t ON t.run_id = r.id AND t.trial = r.best_trial WHERE r.id = :many_run_id;
SELECT trial, array_agg(epoch ORDER BY epoch) AS epochs FROM mnist_metric WHERE run_id = :many_run_id GROUP BY trial
ORDER BY trial;
SELECT model_version FROM mnist_retrain('from_scratch', '{mlp}', epochs => 2, seed => 5, promote => false) \gset alone_
SELECT a.weights_sha256 = b.weights_sha256 AS same FROM mnist_model a, mnist_model b
WHERE a.version = :many_model_version AND b.version = :alone_model_version;

-- A search: every architecture is tried, every trial is on record with its curve, and the best is trained in full.
SELECT run_id, model_version
FROM mnist_retrain('from_scratch', '{softmax,mlp}', epochs => 2, seed => 1, trials => 12, promote => false) \gset a_
SELECT count(*) AS trials, count(DISTINCT architecture) AS architectures, min(trial) AS first, max(trial) AS last,
    bool_and(status IN ('succeeded', 'pruned')) AS ended, count(DISTINCT parameters) AS points,
    bool_and((status = 'succeeded') = (epochs = 1)) AS in_full, bool_and(finished_at > started_at) AS took
FROM mnist_trial WHERE run_id = :a_run_id;
SELECT parameters FROM mnist_trial WHERE run_id = :a_run_id AND trial <= 2 ORDER BY trial;
SELECT bool_and((parameters->>'learning_rate')::real BETWEEN 0.0003 AND 0.03) AS learning_rate,
    bool_and((parameters->>'dropout')::real BETWEEN 0 AND 0.6) AS dropout,
    bool_and((parameters->>'batch_size')::int IN (64, 128, 256)) AS batch_size,
    bool_and((parameters->>'weight_decay')::real BETWEEN 0.005 AND 0.5) AS weight_decay,
    bool_and((parameters->>'augmentation')::real BETWEEN 0 AND 1.5) AS augmentation
FROM mnist_trial WHERE run_id = :a_run_id;
SELECT bool_and(m.points >= CASE t.status WHEN 'succeeded' THEN 3 ELSE 2 END) AS reported,
    bool_and(m.last = t.value) AS last_is_value
FROM mnist_trial t, LATERAL (
    SELECT count(*) AS points, (array_agg(value ORDER BY epoch DESC))[1] AS last
    FROM mnist_metric WHERE run_id = t.run_id AND trial = t.trial) m
WHERE t.run_id = :a_run_id;
SELECT r.architecture = t.architecture AS architecture, (r.parameters->>'learning_rate')::real
    = (t.parameters->>'learning_rate')::real AS learning_rate,
    r.parameters->>'batch_size' = t.parameters->>'batch_size' AS batch_size, r.parameters->>'epochs' AS epochs,
    round((r.parameters->>'rotate')::numeric, 3) = round(12 * (t.parameters->>'augmentation')::numeric,
        3) AS augmentation,
    t.value = (SELECT max(value) FROM mnist_trial WHERE run_id = r.id AND status = 'succeeded') AS best
FROM mnist_run r JOIN mnist_trial t ON t.run_id = r.id AND t.trial = r.best_trial WHERE r.id = :a_run_id;
SELECT array_agg(epoch ORDER BY epoch) AS epochs FROM mnist_metric WHERE run_id = :a_run_id AND trial = 0;

-- The same seed makes the same trials and the same weights; another one does not.
SELECT run_id, model_version
FROM mnist_retrain('from_scratch', '{softmax,mlp}', epochs => 2, seed => 1, trials => 12, promote => false) \gset b_
SELECT run_id
FROM mnist_retrain('from_scratch', '{softmax,mlp}', epochs => 1, seed => 2, trials => 6, promote => false) \gset c_
SELECT count(*) AS same, bool_and(a.status = b.status) AS status, bool_and(a.value = b.value) AS value
FROM mnist_trial a JOIN mnist_trial b USING (trial, parameters) WHERE a.run_id = :a_run_id AND b.run_id = :b_run_id;
SELECT a.weights_sha256 = b.weights_sha256 AS same_weights FROM mnist_model a, mnist_model b
WHERE a.version = :a_model_version AND b.version = :b_model_version;
SELECT count(*) AS same FROM mnist_trial a JOIN mnist_trial c USING (trial, parameters)
WHERE a.run_id = :a_run_id AND c.run_id = :c_run_id;

-- A study goes on: no trial is made twice, and the outcome is that of a study made in one go.
SELECT mnist_retrain(resume_run => :a_run_id, seed => 3);
SELECT mnist_retrain('from_scratch', resume_run => :a_run_id);
SELECT mnist_retrain(resume_run => 999999);
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false) \gset plain_
SELECT mnist_retrain(resume_run => :plain_run_id);
SELECT run_id
FROM mnist_retrain('from_scratch', '{softmax,mlp}', epochs => 2, seed => 1, trials => 5, promote => false) \gset short_
SELECT run_id, model_version FROM mnist_retrain(resume_run => :short_run_id, trials => 12, promote => false) \gset on_
SELECT count(*) FILTER (WHERE o.taken_from = :short_run_id) AS taken, count(*) AS trials,
    bool_and(a.parameters = o.parameters) AS parameters,
    bool_and(a.value = o.value) AS value, bool_and(a.status = o.status) AS status
FROM mnist_trial a JOIN mnist_trial o USING (trial) WHERE a.run_id = :a_run_id AND o.run_id = :on_run_id;
SELECT a.weights_sha256 = b.weights_sha256 AS same_weights, r.resumes = :short_run_id AS resumes
FROM mnist_model a, mnist_model b, mnist_run r
WHERE a.version = :a_model_version AND b.version = :on_model_version AND r.id = :on_run_id;
-- Of architectures, the best is trained again if its weights were not kept.
SELECT run_id, model_version FROM mnist_retrain(resume_run => :many_run_id, promote => false) \gset again_
SELECT a.weights_sha256 = b.weights_sha256 AS same_weights FROM mnist_model a, mnist_model b
WHERE a.version = :many_model_version AND b.version = :again_model_version;
SELECT mnist_retrain(resume_run => :many_run_id, trials => 9);

-- A trial that diverges fails alone; if all do, so does the run.
SELECT repeat('dense 16, ', 30) || 'dense 10' AS deep \gset
SELECT run_id, model_version IS NOT NULL AS model
FROM mnist_retrain('from_scratch', ARRAY[:'deep', 'softmax'], epochs => 12, learning_rate => 1, seed => 1,
    promote => false) \gset div_
SELECT trial, status, value IS NULL AS no_value, error, sqlstate FROM mnist_trial WHERE run_id = :div_run_id
ORDER BY trial;
SELECT status, architecture, best_trial FROM mnist_run WHERE id = :div_run_id;
\set VERBOSITY terse
SELECT mnist_retrain('from_scratch', ARRAY[:'deep', 'dense 17, ' || :'deep'], epochs => 12, learning_rate => 1,
    seed => 1) IS NULL;
\set VERBOSITY default
SELECT status, sqlstate FROM mnist_run ORDER BY id DESC LIMIT 1;

-- Fine-tuning: what makes sense there; trials are judged by feedback that they have not seen, and by none held out.
SELECT count(mnist_correct(p.id, i % 10)) AS corrected
FROM generate_series(1, 60) i, LATERAL mnist_predict(mnist_draw(i % 10, i + 1000)) p;
SELECT mnist_activate(:many_model_version) IS NOT NULL AS activated;
SELECT run_id FROM mnist_retrain(epochs => 1, seed => 2, trials => 3, trial_images => 256, promote => false) \gset f_
SELECT trial, status, architecture, (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(parameters) k) AS searched,
    feedback_accuracy BETWEEN 0 AND 1 AS judged_by_feedback
FROM mnist_trial WHERE run_id = :f_run_id ORDER BY trial;
SELECT run_id FROM mnist_reproduce(:f_run_id) \gset repeat_
SELECT a.weights_sha256 = b.weights_sha256 AS reproduced FROM mnist_model a, mnist_model b
WHERE a.run_id = :f_run_id AND b.run_id = :repeat_run_id;
SELECT m.network ~ 'dropout' AS dropout, m.architecture FROM mnist_model m WHERE m.run_id = :f_run_id;

-- Every candidate must fit into memory, the largest decides.
SET mnist_hil.training_memory = '32MB';
\set VERBOSITY terse
SELECT mnist_retrain('from_scratch',
    ARRAY['softmax', 'conv 128 3x3 same, relu, conv 128 3x3 same, relu, maxpool 2, dense 10']) IS NULL;
\set VERBOSITY default
RESET mnist_hil.training_memory;
SELECT status, sqlstate FROM mnist_run ORDER BY id DESC LIMIT 1;

-- Side by side.
SELECT status, strategy, epochs, trials, best_trial BETWEEN 1 AND trials AS best_trial,
    learning_rate IS NOT NULL AS learning_rate, predecessor IS NOT NULL AS predecessor,
    abs(validation_accuracy - (SELECT p.validation_accuracy FROM mnist_run p WHERE p.id = c.predecessor)
        - validation_change) < 1e-6 AS change,
    changed->'epochs' AS epochs_changed, length(accuracy_curve) AS curve, outcome IS NOT NULL AS outcome
FROM mnist_run_comparison c WHERE run_id IN (:many_run_id, :c_run_id, :div_run_id) ORDER BY run_id;
SELECT count(*) AS trials, count(*) FILTER (WHERE best) AS best,
    bool_and(value = best_so_far) FILTER (WHERE best) AS best_value, bool_and(so_far) AS so_far,
    bool_and(length(curve) > 1) AS curves
FROM (SELECT *, best_so_far = max(value) FILTER (WHERE status = 'succeeded') OVER (ORDER BY trial) AS so_far
    FROM mnist_search_progress WHERE run_id = :a_run_id) p;
SELECT mnist_internal.sparkline('{1,2,NULL,8,NaN,1}'), mnist_internal.sparkline('{3,3}'),
    mnist_internal.sparkline('{}');

-- Curves.
INSERT INTO mnist_metric (run_id, trial, epoch, train_loss, validation_loss, learning_rate)
SELECT :c_run_id, 99, i, 8.0 / i, 4.0 / i, 0.001 FROM generate_series(1, 8) i;
SELECT mnist_curve(:c_run_id, trial => 99, width => 22, height => 8);
SELECT mnist_curve(:c_run_id, 'learning_rate', 99, 8, 2);
SELECT count(*) AS lines FROM mnist_curve(:a_run_id, 'accuracy');
SELECT count(*) AS lines FROM mnist_curve((SELECT max(id) FROM mnist_run), 'accuracy');
\set SHOW_CONTEXT never
SELECT mnist_curve(NULL);
SELECT mnist_curve(1, 'beauty');
SELECT mnist_curve(1, width => 1);
SELECT mnist_curve(-1);

-- Who may: with the right on the views alone.
CREATE ROLE regress_mnist_observer;
GRANT SELECT ON mnist_run_comparison, mnist_search_progress TO regress_mnist_observer;
GRANT EXECUTE ON FUNCTION mnist_curve TO regress_mnist_observer;
SET ROLE regress_mnist_observer;
SELECT count(*) > 0 AS runs FROM mnist_run_comparison;
SELECT count(*) > 0 AS trials FROM mnist_search_progress WHERE curve <> '';
SELECT count(*) > 0 AS lines FROM mnist_curve(:a_run_id);
SELECT count(*) FROM mnist_trial;
RESET ROLE;

DROP EXTENSION mnist_hil CASCADE;
DROP ROLE regress_mnist_observer;
