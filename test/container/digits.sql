-- Print 300 lines: a digit, a tab, and a PNG in base64.  The digits are tilted by 65 degrees, so the bundled model
-- predicts many of them wrong.
CREATE TEMP TABLE drawn AS
SELECT n, mnist_preprocess(mnist_draw(n % 10, 1000 + n)) AS pixels FROM generate_series(1, 300) AS n;
CREATE TEMP TABLE tilt AS
SELECT y * 28 + x + 1 AS target,
    CASE WHEN from_x BETWEEN 0 AND 27 AND from_y BETWEEN 0 AND 27 THEN from_y * 28 + from_x + 1 END AS source
FROM generate_series(0, 27) AS x, generate_series(0, 27) AS y,
    LATERAL (SELECT round(13.5 + cosd(65) * (x - 13.5) + sind(65) * (y - 13.5))::int AS from_x,
        round(13.5 - sind(65) * (x - 13.5) + cosd(65) * (y - 13.5))::int AS from_y) AS f;
COPY (
    SELECT n % 10, translate(encode(mnist_png(pixels), 'base64'), E'\n', '')
    FROM (
        SELECT n, string_agg(coalesce(substr(pixels, source, 1), '\x00'), '' ORDER BY target) AS pixels
        FROM drawn, tilt
        GROUP BY n) AS tilted
    ORDER BY n
) TO STDOUT;
