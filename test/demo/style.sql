-- A style of writing that the bundled model reads badly: digits tilted by 50 degrees.  Two sets of PNGs are made
-- of the base data: 600 to correct, from its training images, and 1,000 others, from its test images, to judge by.

-- Which byte of the upright picture each byte of the tilted one shows (NULL: none).
CREATE TABLE demo_tilt AS
SELECT y * 28 + x + 1 AS target,
    CASE WHEN from_x BETWEEN 0 AND 27 AND from_y BETWEEN 0 AND 27 THEN from_y * 28 + from_x + 1 END AS source
FROM generate_series(0, 27) AS x, generate_series(0, 27) AS y,
    LATERAL (SELECT round(13.5 + cosd(50) * (x - 13.5) + sind(50) * (y - 13.5))::int AS from_x,
        round(13.5 - sind(50) * (x - 13.5) + cosd(50) * (y - 13.5))::int AS from_y) AS f;

CREATE FUNCTION demo_tilted(pixels bytea) RETURNS bytea
    LANGUAGE sql STABLE AS $$
    SELECT mnist_png(string_agg(coalesce(substr(pixels, source, 1), '\x00'), ''::bytea ORDER BY target))
    FROM demo_tilt
$$;

CREATE TABLE demo_digit AS
SELECT purpose, s.label AS truth, demo_tilted(s.pixels) AS image
FROM (
    (SELECT 'correct' AS purpose, label, pixels FROM mnist_sample WHERE split = 'train' ORDER BY ordinal LIMIT 600)
    UNION ALL
    (SELECT 'judge', label, pixels FROM mnist_sample WHERE split = 'test' ORDER BY ordinal LIMIT 1000)) AS s;

-- How well the live model reads, in percent: the base data's test images, and other digits of that style.
CREATE VIEW demo_accuracy AS
SELECT d.version AS live_version, t.test_images, s.tilted_digits
FROM (SELECT version FROM mnist_deployment ORDER BY id DESC LIMIT 1) AS d,
    (SELECT round(100.0 * avg((mnist_classify(pixels) = label)::int), 2) AS test_images
        FROM mnist_sample WHERE split = 'test') AS t,
    (SELECT round(100.0 * avg((mnist_classify(image) = truth)::int), 2) AS tilted_digits
        FROM demo_digit WHERE purpose = 'judge') AS s;
