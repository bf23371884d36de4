-- noise_images.sql: the images of bench_noise.sh, each predicted once: the data set's test images as they are, and the
-- first of them turned by 40 degrees, thickened by a pixel all around, with noise (as in fine_tune.sql).
\set ON_ERROR_STOP on
SELECT setseed(0.42) \g /dev/null

CREATE TEMP TABLE style_source AS
SELECT y * 28 + x AS target, CASE WHEN sx BETWEEN 0 AND 27 AND sy BETWEEN 0 AND 27 THEN sx + 28 * sy END AS source
FROM generate_series(0, 27) AS x, generate_series(0, 27) AS y,
    (VALUES (0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)) AS near (dx, dy),
    LATERAL (SELECT dx + round(13.5 + cosd(40) * (x - 13.5) + sind(40) * (y - 13.5))::int AS sx,
        dy + round(13.5 - sind(40) * (x - 13.5) + cosd(40) * (y - 13.5))::int AS sy) AS turned;
CREATE FUNCTION pg_temp.styled(pixels bytea) RETURNS bytea LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(set_byte('\x00', 0, least(255, ink + (random() * 90)::int)), ''::bytea ORDER BY target)
    FROM (SELECT target, coalesce(max(get_byte(pixels, source)), 0) AS ink FROM style_source GROUP BY target) AS p
$$;

CREATE TABLE image AS
SELECT i.label, i.styled, p.id, p.label AS predicted_label, p.confidence
FROM (
    SELECT label, pixels, false AS styled, ordinal FROM mnist_sample WHERE split = 'test'
    UNION ALL
    SELECT label, pg_temp.styled(pixels), true, ordinal
    FROM (SELECT * FROM mnist_sample WHERE split = 'test' ORDER BY ordinal LIMIT :styled) s) AS i,
    LATERAL mnist_predict(i.pixels) AS p;
CREATE TABLE said (id bigint, annotator text, label int, wrong boolean, confirms boolean);
CREATE ROLE noise_annotator;
CREATE ROLE noise_other;
GRANT EXECUTE ON FUNCTION mnist_correct TO noise_annotator, noise_other;
GRANT SELECT ON said TO noise_annotator, noise_other;
