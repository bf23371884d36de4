\set ECHO queries
\pset footer off

-- Ten test images as PNG files; each prediction is stored.
SELECT p.id, s.label AS truth, p.label, round(p.confidence::numeric, 4) AS confidence,
    p.model_version
FROM (
    SELECT label, mnist_png(pixels) AS png
    FROM mnist_sample
    WHERE split = 'test'
    ORDER BY ordinal
    LIMIT 10) AS s,
    LATERAL mnist_predict(s.png) AS p;

\echo
\echo 'A canvas as a web page gives it, dark ink on light ground, 280 x 280 RGBA, and what the'
\echo 'network sees of it:'
\echo
CREATE TEMP TABLE canvas AS SELECT mnist_draw(7, 42) AS png;
SELECT octet_length(png) AS bytes, id, label, confidence FROM canvas, LATERAL mnist_predict(png);
\pset tuples_only on
\pset format unaligned
SELECT mnist_ascii(png) FROM canvas;
\pset format aligned
\pset tuples_only off

\echo 'In a query, next to the data; nothing is stored:'
\echo
SELECT label, count(*), sum((mnist_classify(pixels) = label)::int) AS correct
FROM mnist_sample WHERE split = 'test' GROUP BY label ORDER BY label;
