-- fine_tune.sql: what fine-tuning on corrections of a style does, measured.  Called by bench_fine_tune.sh.
--
-- The style: digits turned by 40 degrees, thickened by a pixel all around, with noise.  Some, made of training images,
-- are read and corrected; others, made of test images, tell how much of what was missing is learned, and all test
-- images as they are, what it costs.
\set ON_ERROR_STOP on
\pset footer off
\x on
SELECT setseed(0.42) \g /dev/null

-- Which bytes of the upright picture show in a byte of the styled one: the turned place and its four neighbours.
CREATE TEMP TABLE style_source AS
SELECT y * 28 + x AS target, CASE WHEN sx BETWEEN 0 AND 27 AND sy BETWEEN 0 AND 27 THEN sx + 28 * sy END AS source
FROM generate_series(0, 27) AS x, generate_series(0, 27) AS y,
    (VALUES (0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)) AS near (dx, dy),
    LATERAL (SELECT dx + round(13.5 + cosd(40) * (x - 13.5) + sind(40) * (y - 13.5))::int AS sx,
        dy + round(13.5 - sind(40) * (x - 13.5) + cosd(40) * (y - 13.5))::int AS sy) AS turned;

CREATE FUNCTION pg_temp.styled(pixels bytea) RETURNS bytea LANGUAGE sql VOLATILE AS $$
    SELECT mnist_png(string_agg(set_byte('\x00', 0, least(255, ink + (random() * 90)::int)), ''::bytea ORDER BY target))
    FROM (SELECT target, coalesce(max(get_byte(pixels, source)), 0) AS ink FROM style_source GROUP BY target) AS p
$$;

CREATE TEMP TABLE to_correct AS
SELECT label, pg_temp.styled(pixels) AS image
FROM (SELECT * FROM digit WHERE split = 'train' ORDER BY ordinal LIMIT :corrections) AS s;
CREATE TEMP TABLE others AS
SELECT label, pg_temp.styled(pixels) AS image
FROM (SELECT * FROM digit WHERE split = 'test' ORDER BY ordinal LIMIT :others) AS s;
CREATE TEMP VIEW accuracy AS
SELECT (SELECT 100 * avg((mnist_classify(image) = label)::int) FROM others) AS others,
    (SELECT 100 * avg((mnist_classify(pixels) = label)::int) FROM digit WHERE split = 'test') AS upright;

CREATE TEMP TABLE before AS SELECT * FROM accuracy;
SELECT count(mnist_correct(p.id, s.label)) AS corrections FROM to_correct s, LATERAL mnist_predict(s.image) AS p;
SELECT verdict, promoted, round(seconds::numeric, 1) AS seconds, test_accuracy, validation_accuracy,
    live_validation_accuracy, feedback_accuracy, live_feedback_accuracy
FROM mnist_retrain(seed => 1);
SELECT round(b.others, 2) AS others_before, round(a.others, 2) AS others_after,
    round(100 * (a.others - b.others) / (100 - b.others), 1) AS learned_percent_of_missing,
    round(b.upright, 2) AS mnist_test_before, round(a.upright, 2) AS mnist_test_after,
    round(b.upright - a.upright, 2) AS cost_points
FROM before b, accuracy a;
