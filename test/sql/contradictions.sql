-- Base data that is not as it should be: equal images with different labels, wherever they stand, and hardly any
-- images.
-- Every process has its fraction of what remains; where nothing remains that is an error.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
SET client_min_messages = warning;

-- Images of a data set's split that a condition on their place there picks, with their labels moved on.
CREATE FUNCTION contradict(new_name text, old_name text, of_split text, every int, remainder int) RETURNS int
    LANGUAGE sql AS $$
    SELECT mnist_import_images(new_name, 'train', array_agg(pixels ORDER BY ordinal), array_agg((label + 1) % 10
        ORDER BY ordinal))
    FROM (
        SELECT s.*, row_number() OVER (ORDER BY ordinal) - 1 AS place
        FROM mnist_sample s JOIN mnist_dataset d ON d.id = s.dataset_id
        WHERE d.name = old_name AND s.split = of_split) s
    WHERE place % every = remainder
$$;
-- What a run came to.
CREATE FUNCTION train(names text[], batch int DEFAULT 128) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    run mnist_run;
BEGIN
    SELECT r.* INTO run FROM mnist_run r WHERE r.id = (
        SELECT run_id
        FROM mnist_retrain('from_scratch', '{softmax}', epochs => 2, seed => 3, datasets => names, batch_size => batch,
            promote => false));
    SELECT r.* INTO run FROM mnist_run r ORDER BY r.id DESC LIMIT 1;
    RETURN format('%s processes, train %s, validation %s, test %s, tested %s', run.processes, run.train_images,
        run.validation_images,
        run.test_images, run.test_accuracy IS NOT NULL);
EXCEPTION
    WHEN OTHERS THEN
        RETURN format('%s: %s', SQLSTATE, regexp_replace(SQLERRM, 'run [0-9]+', 'run N'));
END
$$;

SELECT mnist_import_images('drawn', 'train', array_agg(mnist_preprocess(mnist_draw(i % 10, i))), array_agg(i % 10))
FROM generate_series(1, 700) i;
SELECT split, count(*) FROM mnist_sample GROUP BY split ORDER BY split;
SELECT train('{drawn}');

-- All images of one process's share contradict themselves.
SELECT contradict('odd', 'drawn', 'train', 2, 1);
SELECT contradict('even', 'drawn', 'train', 2, 0);
SELECT train('{drawn,odd}');
SELECT train('{drawn,even}');
-- The same again: the same weights.
SELECT train('{drawn,even}');
SELECT count(DISTINCT m.weights_sha256) AS weights, count(*) AS models
FROM mnist_model m JOIN mnist_run r ON r.id = m.run_id WHERE r.datasets = '{drawn,even}';
-- They are the weights of the other half alone: who stands where follows from what is trained on.
SELECT mnist_import_images('half', 'train', array_agg(pixels ORDER BY ordinal), array_agg(label ORDER BY ordinal))
FROM (
    SELECT s.*, row_number() OVER (PARTITION BY split ORDER BY ordinal) - 1 AS place
    FROM mnist_sample s JOIN mnist_dataset d ON d.id = s.dataset_id WHERE d.name = 'drawn') s
WHERE split = 'validation' OR place % 2 = 1;
SELECT train('{half}');
SELECT count(DISTINCT m.weights_sha256) AS weights
FROM mnist_model m JOIN mnist_run r ON r.id = m.run_id WHERE r.datasets IN ('{drawn,even}', '{half}');

-- All of them do; then all to validate with.
SELECT train('{drawn,odd,even}');
SELECT contradict('unclear', 'drawn', 'validation', 1, 0);
SELECT train('{drawn,unclear}');
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, datasets => '{drawn,odd,even}');
-- Three processes, of which one would have had nothing.
SET mnist_hil.training_workers = 3;
SELECT contradict('third', 'drawn', 'train', 3, 2);
SELECT train('{drawn,third}');
-- A batch larger than all there is, many processes, one alone.
SET mnist_hil.training_workers = 8;
SELECT train('{drawn,odd}', 4096);
SET mnist_hil.training_workers = 1;
SELECT train('{drawn,odd}');
RESET mnist_hil.training_workers;

-- One image, however often, and one alone.
SELECT mnist_import_images('equal', 'train', array_agg(mnist_preprocess(mnist_draw(3, 1))), array_agg(3))
FROM generate_series(1, 300) i;
SELECT train('{equal}');
SELECT mnist_import_images('one', 'train', ARRAY[mnist_preprocess(mnist_draw(3, 2))], ARRAY[3]);
SELECT train('{one}');

-- Contradictions beside feedback: the quick fits that look for wrong labels have the same shares.
SELECT count(mnist_correct(p.id, (i + (i % 3 = 0)::int) % 10)) AS corrected
FROM generate_series(1, 60) i, LATERAL mnist_predict(mnist_draw(i % 10, i + 5000)) p;
SELECT train('{drawn,odd}');
-- The halves of contradictions in a test split are not tested with.
SELECT mnist_import_images('test', 'test', array_agg(mnist_preprocess(mnist_draw(i % 10, i + 900))), array_agg(i % 10))
FROM generate_series(1, 40) i;
SELECT mnist_import_images('test', 'train', array_agg(pixels), array_agg((label + 1) % 10)) FROM mnist_sample
WHERE split = 'test';
SELECT train('{drawn,test}');

DROP EXTENSION mnist_hil CASCADE;
DROP FUNCTION contradict, train;
