-- also: not preloaded
-- Retraining: what is refused, what a run records, the gate, reproducibility, who may.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- Arguments that make no sense.
SELECT mnist_retrain('from_memory');
SELECT mnist_retrain(wait => NULL);
SELECT mnist_retrain(promote => NULL);
SELECT mnist_retrain(epochs => 0);
SELECT mnist_retrain(epochs => 10001);
SELECT mnist_retrain(batch_size => 1);
SELECT mnist_retrain(learning_rate => 0);
SELECT mnist_retrain(learning_rate => 'NaN');
SELECT mnist_retrain(learning_rate => 'Infinity');
SELECT mnist_retrain(augmentation => 3);
SELECT mnist_retrain(time_budget => '-1 hour');
SELECT mnist_retrain('fine_tune', '{softmax}');
SELECT mnist_retrain('from_scratch', '{}');
SELECT mnist_retrain('from_scratch', '{NULL}');
SELECT mnist_retrain('from_scratch', '{softmax,softmax}');
\set VERBOSITY sqlstate
SELECT mnist_retrain('from_scratch', '{resnet152}');
SELECT mnist_retrain('from_scratch', ARRAY['dense 11']);
SELECT mnist_retrain('from_scratch', ARRAY[repeat('relu, ', 2000000)]);
\set VERBOSITY default
SELECT mnist_retrain(datasets => '{}');
SELECT mnist_retrain(datasets => '{nowhere}');

-- Never on feedback alone.
SELECT mnist_correct(id, 3) > 0 AS corrected FROM mnist_predict(mnist_draw(3, 1));
SELECT mnist_retrain();
SELECT mnist_import_images('few', 'train', array_agg(mnist_preprocess(mnist_draw(i % 10, i))), array_agg(i % 10))
FROM generate_series(1, 40) i;
SELECT mnist_retrain(datasets => '{few}');
SELECT count(*) AS runs FROM mnist_run;

-- A model from scratch that is no match for the live one: recorded and kept, not live.
SELECT mnist_import_synthetic('drawn', 1200, 7);
SELECT model_version, promoted, verdict LIKE 'rejected: worse than version 1 on %' AS rejected,
    test_accuracy BETWEEN 0 AND 1 AS test, validation_accuracy < live_validation_accuracy AS worse, seconds > 0 AS took
FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, seed => 1, learning_rate => 1e-6, datasets => '{drawn}');
SELECT status, strategy, architecture, seed, parent_version, model_version, promoted, datasets, epoch, epochs, progress,
    phase, requested_by = current_user AS requested, finished_at > started_at AS finished, error, sqlstate,
    train_images + validation_images + test_images AS base_images, feedback_train_images, feedback_held_out_images,
    parameters->>'learning_rate' AS learning_rate, parameters->>'network' AS network,
    software LIKE 'mnist_hil %' AS software
FROM mnist_run \gx
SELECT version, parent_version, architecture, network, run_id = (SELECT max(id) FROM mnist_run) AS of_this_run,
    weights IS NOT NULL AS weights
FROM mnist_model WHERE version > 1;
SELECT count(*) AS deployments FROM mnist_deployment;
SELECT count(*) AS running FROM mnist_training_progress;

-- One epoch, one row in the curve.
SELECT epoch, train_loss > 0 AS loss, train_accuracy BETWEEN 0 AND 1 AS accuracy,
    validation_loss > 0 AS validation_loss,
    validation_accuracy BETWEEN 0 AND 1 AS validation_accuracy, learning_rate >= 0 AS learning_rate,
    images_per_second > 0 AS speed
FROM mnist_metric;

-- The same seed gives the same weights, bit for bit; another one does not.
SELECT run_id FROM mnist_retrain('from_scratch', '{lenet5}', epochs => 1, seed => 5, promote => false) \gset a_
SELECT run_id FROM mnist_retrain('from_scratch', '{lenet5}', epochs => 1, seed => 5, promote => false) \gset b_
SELECT run_id FROM mnist_retrain('from_scratch', '{lenet5}', epochs => 1, seed => 6, promote => false) \gset c_
SELECT count(DISTINCT processes) AS crews FROM mnist_run WHERE id IN (:a_run_id, :b_run_id, :c_run_id);
SELECT a.weights_sha256 = b.weights_sha256 AS same_seed, a.weights_sha256 = c.weights_sha256 AS other_seed
FROM mnist_model a, mnist_model b, mnist_model c
WHERE a.run_id = :a_run_id AND b.run_id = :b_run_id AND c.run_id = :c_run_id;

-- Without a seed one is drawn, and recorded.
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1) \gset d_
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1) \gset e_
SELECT count(DISTINCT seed) AS seeds FROM mnist_run WHERE id IN (:d_run_id, :e_run_id);

-- Fine-tuning on corrections: which feedback trained, and what was held out.
SELECT count(mnist_correct(p.id, i % 10)) AS corrected
FROM generate_series(1, 60) i, LATERAL mnist_predict(mnist_draw(i % 10, i + 1000)) p;
SELECT run_id FROM mnist_retrain(epochs => 1, seed => 2) \gset f_
SELECT r.status, r.architecture, r.feedback_train_images + r.feedback_held_out_images AS feedback,
    r.feedback_held_out_images > 0 AS some_held_out, r.feedback_accuracy IS NOT NULL AS judged,
    r.promoted = (l.version = r.model_version) AS live_if_promoted
FROM mnist_run r, mnist_live l WHERE r.id = :f_run_id;
SELECT count(*) AS used,
    bool_and((f.held_out AND u.split = 'held_out') OR (NOT f.held_out AND u.split = 'train')) AS by_hash
FROM mnist_run_feedback u JOIN mnist_feedback f ON f.id = u.feedback_id WHERE u.run_id = :f_run_id;
SELECT count(*) AS new FROM mnist_label WHERE new;
SELECT count(*) AS held_out_among_samples
FROM mnist_run r WHERE r.id = :f_run_id AND r.feedback_held_out_images <> (SELECT count(*) FROM mnist_label
    WHERE held_out);

-- Feedback equal to a base image: its label counts, and the image is on one side only.
SELECT train_images + validation_images + test_images AS base,
    feedback_train_images + feedback_held_out_images AS feedback
FROM mnist_run WHERE id = :f_run_id \gset before_
SELECT count(mnist_correct(p.id, s.label)) AS corrected
FROM (SELECT * FROM mnist_sample WHERE split <> 'test' ORDER BY dataset_id, split, ordinal LIMIT 30) s,
    LATERAL mnist_predict(s.pixels) p;
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false) \gset g_
SELECT feedback_train_images + feedback_held_out_images - :before_feedback AS more_feedback,
    :before_base - (train_images + validation_images + test_images) BETWEEN 24 AND 30 AS less_base
FROM mnist_run WHERE id = :g_run_id;

-- The same data set under two names counts once.
SELECT mnist_import_synthetic('drawn again', 1200, 7);
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false) \gset h_
SELECT g.train_images = h.train_images AS train, g.validation_images = h.validation_images AS validation,
    g.test_images = h.test_images AS test, h.datasets
FROM mnist_run g, mnist_run h WHERE g.id = :g_run_id AND h.id = :h_run_id;

-- Training that diverges fails, and leaves everything else as it was.
SELECT version AS live FROM mnist_live \gset
\set VERBOSITY terse
SELECT mnist_retrain('from_scratch', ARRAY[repeat('dense 16, ', 30) || 'dense 10'], epochs => 30,
    learning_rate => 1) IS NULL;
SELECT status, sqlstate, model_version FROM mnist_run ORDER BY id DESC LIMIT 1;
SELECT version = :live AS unchanged FROM mnist_live;

-- More than the memory that a run may use.
SET mnist_hil.training_memory = '32MB';
SELECT mnist_retrain('from_scratch',
    ARRAY['conv 128 3x3 same, relu, conv 128 3x3 same, relu, maxpool 2, dense 10']) IS NULL;
RESET mnist_hil.training_memory;
\set VERBOSITY default
SELECT status, sqlstate, model_version FROM mnist_run ORDER BY id DESC LIMIT 1;

-- A transaction that has switched models would wait for itself.
BEGIN;
SELECT mnist_activate(1) IS NOT NULL AS activated;
SELECT mnist_retrain(epochs => 1);
ROLLBACK;
-- Neither in a read-only one.
BEGIN READ ONLY;
SELECT mnist_retrain();
ROLLBACK;

-- Started and left alone.
SELECT model_version, promoted, verdict, seconds
FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, wait => false);
SELECT count(*) > 0 AS recorded FROM mnist_run
WHERE parameters->>'epochs' = '1' AND id = (SELECT max(id) FROM mnist_run);
DO $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM mnist_run WHERE status = 'running');
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;
SELECT status FROM mnist_run ORDER BY id DESC LIMIT 1;

-- Nobody may by default; a role that may needs no right on the tables, and is on record.
CREATE ROLE regress_mnist_trainer;
SET ROLE regress_mnist_trainer;
SELECT mnist_retrain('from_scratch', '{softmax}', epochs => 1);
RESET ROLE;
GRANT EXECUTE ON FUNCTION mnist_retrain TO regress_mnist_trainer;
GRANT SELECT ON mnist_training_progress TO regress_mnist_trainer;
SET ROLE regress_mnist_trainer;
SELECT run_id > 0 AS trained FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1);
SELECT count(*) AS under_way FROM mnist_training_progress;
SELECT * FROM mnist_run;
RESET ROLE;
SELECT r.requested_by, m.created_by FROM mnist_run r JOIN mnist_model m ON m.run_id = r.id ORDER BY r.id DESC LIMIT 1;

-- PNGs are decoded by the first run that uses them: a later one has as many images though they cannot be read any more.
SELECT count(*) > 0 AS kept, count(*) FILTER (WHERE NOT EXISTS (
    SELECT FROM mnist_feedback f WHERE f.pixels_sha256 = sha256(i.pixels))) AS not_feedback
FROM mnist_internal.feedback_image i;
UPDATE mnist_prediction SET image = '\x00'
WHERE octet_length(image) <> 784 AND id IN (SELECT prediction_id FROM mnist_feedback);
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false) \gset i_
SELECT i.feedback_train_images = h.feedback_train_images AS train,
    i.feedback_held_out_images = h.feedback_held_out_images AS held_out,
    i.data->'feedback' = h.data->'feedback' AS digest
FROM mnist_run i, mnist_run h WHERE i.id = :i_run_id AND h.id = :h_run_id;
-- They go with the last feedback on the image, whoever may erase it.
SELECT count(*) > 0 AS erased FROM mnist_erase(predictions => ARRAY(SELECT id FROM mnist_prediction WHERE id % 2 = 0));
SELECT count(*) > 0 AS kept, count(*) FILTER (WHERE NOT EXISTS (
    SELECT FROM mnist_feedback f WHERE f.pixels_sha256 = i.pixels_sha256)) AS not_feedback
FROM mnist_internal.feedback_image i;
GRANT DELETE ON mnist_feedback TO regress_mnist_trainer;
SET ROLE regress_mnist_trainer;
DELETE FROM mnist_feedback;
RESET ROLE;
SELECT count(*) AS kept FROM mnist_internal.feedback_image;

DROP EXTENSION mnist_hil CASCADE;
DROP ROLE regress_mnist_trainer;
