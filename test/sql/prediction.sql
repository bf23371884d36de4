-- also: not preloaded
-- Predictions of digits.  What the bundled model makes of them is not asserted here, but that all ways of asking agree.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

CREATE TABLE digit AS
SELECT i, i % 10 AS label, mnist_draw(i % 10, i, 100) AS canvas, p AS pixels, mnist_png(p) AS png
FROM generate_series(1, 150) AS i, mnist_internal.synthetic(i % 10, i) AS p;

---------------------------------------------------------------- one image

-- Ten probabilities that sum to 1; the label is the most probable digit.
SELECT count(*) AS rows, count(*) FILTER (WHERE cardinality(p) <> 10) AS not_ten,
    count(*) FILTER (WHERE abs((SELECT sum(x) FROM unnest(p) AS x) - 1) > 1e-5) AS not_one,
    count(*) FILTER (WHERE EXISTS (SELECT FROM unnest(p) AS x WHERE x < 0 OR x > 1)) AS out_of_range,
    count(*) FILTER (WHERE p[label + 1] < (SELECT max(x) FROM unnest(p) AS x)) AS not_the_best
FROM (SELECT mnist_probabilities(canvas) AS p, mnist_classify(canvas) AS label FROM digit) AS s;

-- It reads: nine of ten of the digits that the extension draws itself.
SELECT avg((mnist_classify(canvas) = label)::int) > 0.9 AS canvas, avg((mnist_classify(pixels) = label)::int)
    > 0.9 AS pixels
FROM digit;

-- Raw pixels, their PNG, and the PNG brought to MNIST's form give the same, bit for bit.
SELECT count(*) FILTER (WHERE mnist_probabilities(png) <> mnist_probabilities(pixels)) AS png,
    count(*) FILTER (WHERE mnist_probabilities(mnist_preprocess(canvas)) <> mnist_probabilities(canvas)) AS canvas
FROM digit;

-- mnist_predict says the same, and what it says is what it stores.
SELECT r.id, r.label = mnist_classify(canvas) AS label, r.probabilities = mnist_probabilities(canvas) AS probabilities,
    r.confidence = r.probabilities[r.label + 1] AS confidence, r.model_version
FROM digit, mnist_predict(canvas) AS r WHERE i <= 3 ORDER BY i;
SELECT p.id, p.image = d.canvas AS image, p.label = mnist_classify(canvas) AS label,
    p.probabilities = mnist_probabilities(canvas) AS probabilities,
    p.confidence = p.probabilities[p.label + 1] AS confidence,
    p.model_version, p.created_at IS NOT NULL AS created_at
FROM mnist_prediction p JOIN digit d ON d.i = p.id ORDER BY p.id;

-- No ink says nothing about which digit it is.
SELECT mnist_probabilities(blank), mnist_classify(blank), r.label, r.confidence
FROM (VALUES (decode(repeat('00', 784), 'hex')), (mnist_png(decode(repeat('ff', 784), 'hex'), 4))) AS s (blank),
    mnist_predict(blank) AS r;

-- Null in, null out, nothing stored.
DELETE FROM mnist_prediction;
SELECT mnist_classify(NULL) IS NULL AS classify, mnist_probabilities(NULL) IS NULL AS probabilities;
SELECT * FROM mnist_predict(NULL);
SELECT count(*) FROM mnist_predict_batch(NULL);
SELECT count(*) FROM mnist_prediction;

---------------------------------------------------------------- batches

-- A row per element in order, the same as one by one, bit for bit, stored alike; more than go through the network at
-- once.
CREATE TEMP TABLE batch AS
SELECT b.*, b.ordinality AS i
FROM (SELECT array_agg(CASE WHEN i % 7 <> 0 THEN canvas END ORDER BY i) AS images FROM digit) AS s,
    mnist_predict_batch(images) WITH ORDINALITY AS b;
SELECT count(*) AS rows, count(id) AS read,
    count(*) FILTER (WHERE d.i % 7 = 0 AND num_nonnulls(b.id, b.label, b.confidence, b.probabilities, b.model_version)
        > 0) AS wrong_nulls,
    count(*) FILTER (WHERE d.i % 7 <> 0 AND b.probabilities IS DISTINCT FROM mnist_probabilities(canvas)) AS wrong_rows
FROM batch b JOIN digit d ON d.i = b.i;
SELECT count(*) AS stored, count(*) FILTER (WHERE p.image = d.canvas AND
    (p.label, p.confidence, p.probabilities, p.model_version) = (b.label, b.confidence, b.probabilities,
        b.model_version)) AS right
FROM mnist_prediction p JOIN batch b USING (id) JOIN digit d ON d.i = b.i;
SELECT bool_and(id < next) AS ids_in_order FROM (SELECT id, lead(id) OVER (ORDER BY i) AS next FROM batch
    WHERE id IS NOT NULL) AS s;

SELECT count(*) FROM mnist_predict_batch('{}');
SELECT * FROM mnist_predict_batch(ARRAY[NULL, NULL]::bytea[]);
-- An array of more dimensions is taken as unnest takes it.
SELECT count(*) FROM mnist_predict_batch(ARRAY[[mnist_draw(1), mnist_draw(2)], [mnist_draw(3), mnist_draw(4)]]);
-- In the select list, too.
SELECT (mnist_predict_batch(ARRAY[mnist_draw(1), NULL])).label IS NULL AS missing;

---------------------------------------------------------------- bad input

CREATE TEMP TABLE bad (kind text, image bytea);
INSERT INTO bad VALUES
    ('empty', ''),
    ('random bytes', '\x2972bb044d96df28711c'),
    ('783 bytes', decode(repeat('00', 783), 'hex')),
    ('785 bytes', decode(repeat('00', 785), 'hex')),
    ('truncated PNG', substr(mnist_draw(5), 1, 500)),
    ('damaged PNG', set_byte(mnist_draw(5), 300, get_byte(mnist_draw(5), 300) # 85)),
    ('60000 x 60000',
        '\x89504e470d0a1a0a0000000d494844520000ea600000ea60080000000060a9d5a2'
        '0000000a49444154789c636000000002000148afa4710000000049454e44ae426082');
CREATE TEMP TABLE before AS SELECT count(*) AS n FROM mnist_prediction;
SELECT kind, state(format('SELECT mnist_classify(%L)', image)) AS classify,
    state(format('SELECT mnist_probabilities(%L)', image)) AS probabilities,
    state(format('SELECT * FROM mnist_predict(%L)', image)) AS predict,
    state(format('SELECT * FROM mnist_predict_batch(ARRAY[mnist_draw(1), %L])', image)) AS batch
FROM bad;
SELECT count(*) - n AS stored FROM mnist_prediction, before GROUP BY n;
SELECT mnist_classify('not an image');
SELECT * FROM mnist_predict_batch(ARRAY[mnist_draw(1), NULL, 'not an image']);
-- A good prediction after a bad one.
SELECT mnist_classify(mnist_draw(1)) BETWEEN 0 AND 9 AS reads;

---------------------------------------------------------------- where nothing can be stored

BEGIN READ ONLY;
SELECT mnist_classify(mnist_draw(1)) BETWEEN 0 AND 9 AS classify,
    cardinality(mnist_probabilities(mnist_draw(1))) AS probabilities;
SELECT * FROM mnist_predict(mnist_draw(1));
ROLLBACK;
BEGIN READ ONLY;
SELECT * FROM mnist_predict_batch(ARRAY[mnist_draw(1)]);
ROLLBACK;

---------------------------------------------------------------- who may read

CREATE ROLE regress_mnist_app;
GRANT EXECUTE ON FUNCTION mnist_predict, mnist_predict_batch TO regress_mnist_app;
SET ROLE regress_mnist_app;
SELECT id IS NOT NULL AS stored FROM mnist_predict(mnist_draw(1));
SELECT id IS NOT NULL AS stored FROM mnist_predict_batch(ARRAY[mnist_draw(1)]);
SELECT count(*) FROM mnist_prediction;
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version) VALUES ('', 0, 0, '{}', 1);
-- Who one is does not change by it, errors included.
SELECT state($$SELECT * FROM mnist_predict('')$$), current_user;
RESET ROLE;

-- An error while a row is stored: the caller is the caller again, and the next prediction is stored.
CREATE FUNCTION refuse() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused for %', current_user = 'regress_mnist_app'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON mnist_prediction FOR EACH ROW EXECUTE FUNCTION refuse();
SET ROLE regress_mnist_app;
DO $$
BEGIN
    PERFORM mnist_predict(mnist_draw(1));
EXCEPTION WHEN raise_exception THEN
    RAISE NOTICE '%, now %', SQLERRM, current_user;
END
$$;
RESET ROLE;
DROP TRIGGER refuse ON mnist_prediction;

-- A trigger that leaves rows out: what is not stored has no id.
CREATE FUNCTION leave_out() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN get_byte(NEW.image, 0) = 137 THEN NEW END; END $$;
CREATE TRIGGER leave_out BEFORE INSERT ON mnist_prediction FOR EACH ROW EXECUTE FUNCTION leave_out();
SELECT id IS NULL AS left_out, label IS NOT NULL AS read FROM mnist_predict(mnist_internal.synthetic(1, 1));
CREATE TEMP TABLE partial AS
SELECT b.id, b.ordinality AS i, images[b.ordinality] AS image
FROM (SELECT ARRAY[mnist_internal.synthetic(1, 1), mnist_draw(2), NULL, mnist_draw(3),
    mnist_internal.synthetic(4, 1)] AS images) AS s,
    mnist_predict_batch(images) WITH ORDINALITY AS b;
SELECT i, b.id IS NOT NULL AS stored, p.image = b.image AS right_row FROM partial b LEFT
JOIN mnist_prediction p USING (id) ORDER BY i;
DROP TRIGGER leave_out ON mnist_prediction;

---------------------------------------------------------------- parallel plans

CREATE TABLE many AS SELECT d.* FROM digit d, generate_series(1, 3);
ALTER TABLE many SET (parallel_workers = 2);
ANALYZE many;
SET max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE serial AS SELECT i, mnist_classify(canvas) AS label, mnist_probabilities(canvas) AS p FROM many;
SET max_parallel_workers_per_gather = 2;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
EXPLAIN (COSTS OFF) SELECT i, mnist_classify(canvas), mnist_probabilities(canvas) FROM many;
CREATE TEMP TABLE parallel AS SELECT i, mnist_classify(canvas) AS label, mnist_probabilities(canvas) AS p FROM many;
EXPLAIN (COSTS OFF) SELECT count(*) FROM many, mnist_predict(canvas);
RESET max_parallel_workers_per_gather;
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
SELECT count(*) AS rows, (SELECT count(*) FROM (SELECT * FROM serial EXCEPT SELECT * FROM parallel) AS s) AS differ
FROM parallel;

DROP TABLE digit, many;
DROP FUNCTION outcome, refuse, leave_out;
DROP EXTENSION mnist_hil;
DROP ROLE regress_mnist_app;
