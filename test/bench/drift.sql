-- drift.sql: how often drift is reported where there is none, and the smallest window that shows it where there is
-- some.  Called by bench_drift.sh, which imported MNIST as data set "mnist".
--
-- MNIST's test images are split at random into two halves, several times.  One half is the reference.  Windows are
-- drawn without replacement from the other half as it is, or from all images after a change.  A window is tested as
-- mnist_drift tests it, whatever mnist_hil.drift_min_window is.
\set ON_ERROR_STOP on
\pset footer off
SELECT setseed(0.5) \g /dev/null

CREATE TEMP TABLE digit AS
SELECT row_number() OVER (ORDER BY random()) AS i, s.label, s.pixels
FROM (SELECT * FROM mnist_sample WHERE split = 'test' ORDER BY ordinal LIMIT :images) s;

---------------------------------------------------------------- traffic

-- Which byte of the upright picture a byte of the turned one shows.
CREATE TEMP TABLE turned AS
SELECT degrees, y * 28 + x AS target,
    CASE WHEN sx BETWEEN 0 AND 27 AND sy BETWEEN 0 AND 27 THEN sx + 28 * sy END AS source
FROM generate_series(0, 27) AS x, generate_series(0, 27) AS y, (VALUES (8), (20)) AS d (degrees),
    LATERAL (SELECT round(13.5 + cosd(degrees) * (x - 13.5) + sind(degrees) * (y - 13.5))::int AS sx,
        round(13.5 - sind(degrees) * (x - 13.5) + cosd(degrees) * (y - 13.5))::int AS sy) AS t;
-- Its neighbours.
CREATE TEMP TABLE near AS
SELECT y * 28 + x AS target, (y + dy) * 28 + x + dx AS source
FROM generate_series(0, 27) AS x, generate_series(0, 27) AS y,
    (VALUES (0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)) AS n (dx, dy)
WHERE x + dx BETWEEN 0 AND 27 AND y + dy BETWEEN 0 AND 27;

CREATE FUNCTION pg_temp.bytes(levels int[]) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(set_byte('\x00', 0, greatest(0, least(255, l.level))), ''::bytea ORDER BY l.i)
    FROM unnest(levels) WITH ORDINALITY AS l (level, i)
$$;
CREATE FUNCTION pg_temp.changed(kind text, pixels bytea) RETURNS bytea LANGUAGE sql VOLATILE AS $$
    SELECT CASE kind
        WHEN 'turned by 20 degrees' THEN pg_temp.bytes((
            SELECT array_agg(coalesce(get_byte(pixels, t.source), 0) ORDER BY t.target)
            FROM turned t WHERE degrees = 20))
        WHEN 'turned by 8 degrees' THEN pg_temp.bytes((
            SELECT array_agg(coalesce(get_byte(pixels, t.source), 0) ORDER BY t.target)
            FROM turned t WHERE degrees = 8))
        WHEN 'thickened by a pixel' THEN pg_temp.bytes((
            SELECT array_agg(n.level ORDER BY n.target)
            FROM (SELECT n.target, max(get_byte(pixels, n.source)) AS level FROM near n GROUP BY n.target) n))
        WHEN 'inverted (PNG, dark on light)' THEN mnist_png(pg_temp.bytes((
            SELECT array_agg(255 - get_byte(pixels, i) ORDER BY i) FROM generate_series(0, 783) AS i)))
        WHEN 'inverted (raw pixels)' THEN pg_temp.bytes((
            SELECT array_agg(255 - get_byte(pixels, i) ORDER BY i) FROM generate_series(0, 783) AS i))
        WHEN 'noisy (raw pixels)' THEN pg_temp.bytes((
            SELECT array_agg(get_byte(pixels, i) + (random() * 60)::int ORDER BY i) FROM generate_series(0, 783) AS i))
        WHEN 'noisy (PNG, a pixel in 20 inked)' THEN mnist_png(pg_temp.bytes((
            SELECT array_agg(CASE WHEN random() < 0.05 THEN 255 ELSE get_byte(pixels, i) END ORDER BY i)
            FROM generate_series(0, 783) AS i)))
        ELSE pixels
    END
$$;

CREATE TEMP TABLE kind (place int, kind text);
INSERT INTO kind VALUES (1, 'as it was'), (2, 'turned by 20 degrees'), (3, 'turned by 8 degrees'),
    (4, 'thickened by a pixel'), (5, 'inverted (PNG, dark on light)'), (6, 'one in ten inverted (PNG)'),
    (7, 'inverted (raw pixels)'), (8, 'noisy (raw pixels)'), (9, 'noisy (PNG, a pixel in 20 inked)'),
    (10, 'half of it ones'), (11, 'a quarter of it ones');

CREATE TEMP TABLE traffic AS
SELECT k.kind, d.i, mnist_internal.features(
    CASE k.place WHEN 1 THEN d.pixels ELSE pg_temp.changed(k.kind, d.pixels) END, 1) AS features
FROM kind k JOIN digit d ON d.i <= CASE k.place WHEN 1 THEN :images ELSE :changed END
WHERE k.place NOT IN (6, 10, 11);
INSERT INTO traffic
SELECT 'one in ten inverted (PNG)', t.i, t.features
FROM traffic t
WHERE t.i <= :changed
    AND t.kind = CASE WHEN t.i % 10 = 0 THEN 'inverted (PNG, dark on light)' ELSE 'as it was' END;
INSERT INTO traffic
SELECT 'half of it ones', t.i, t.features FROM traffic t JOIN digit d USING (i)
WHERE t.kind = 'as it was' AND (d.label = 1 OR d.i % 8 = 0);
INSERT INTO traffic
SELECT 'a quarter of it ones', t.i, t.features FROM traffic t JOIN digit d USING (i)
WHERE t.kind = 'as it was' AND (d.label = 1 OR d.i % 3 = 0);
ANALYZE traffic;

---------------------------------------------------------------- windows

-- Of each of several splits, reference and windows of so many predictions; what is drawn is not in the reference.
CREATE TEMP TABLE verdict (kind text, size int, split int, win int, drifted int, features int);
CREATE FUNCTION pg_temp.judge(splits int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    reference bigint;
BEGIN
    FOR split IN 1 .. splits LOOP
        CREATE TEMP TABLE half AS SELECT i, random() < 0.5 AS in_reference FROM digit;
        SELECT mnist_internal.drift_store(1, 'base data', array_agg(t.features)) INTO reference
        FROM traffic t JOIN half h USING (i) WHERE t.kind = 'as it was' AND h.in_reference;
        INSERT INTO verdict
        WITH hist AS (
            SELECT f.place, f.kind, h.edges, h.counts, max(cardinality(h.edges)) OVER () AS most
            FROM mnist_drift_histogram h JOIN mnist_feature f ON f.name = h.feature WHERE h.reference_id = reference
        ), drawn AS (
            SELECT t.kind, t.features, s.size,
                (row_number() OVER (PARTITION BY t.kind, s.size ORDER BY random()) - 1) / s.size AS win,
                count(*) OVER (PARTITION BY t.kind, s.size) / s.size AS whole
            FROM (SELECT t.kind, t.features FROM traffic t JOIN half h USING (i)
                WHERE CASE t.kind WHEN 'as it was' THEN NOT h.in_reference ELSE split <= 2 END) t,
                unnest('{25,50,100,200,500,1000,2000}'::int[]) AS s (size)
        ), counted AS (
            SELECT d.kind, d.size, d.win, mnist_internal.histogram(d.features,
                (SELECT array_agg(mnist_internal.pad_edges(h.edges, h.most) ORDER BY h.place) FROM hist h)) AS counts
            FROM drawn d WHERE d.win < d.whole GROUP BY 1, 2, 3
        )
        SELECT c.kind, c.size, split, c.win,
            count(*) FILTER (WHERE t.p_value < s.significance / 20 AND t.effect >= s.effect), count(*)
        FROM counted c CROSS JOIN hist h CROSS JOIN mnist_internal.drift_settings() AS s
        CROSS JOIN LATERAL mnist_internal.two_sample(h.kind, h.counts,
            (SELECT array_agg(c.counts[h.place][i] ORDER BY i)
             FROM generate_series(1, cardinality(h.edges) + 1) AS i)) AS t
        GROUP BY 1, 2, 3, 4;
        DROP TABLE half;
    END LOOP;
END
$$;
BEGIN;
SELECT pg_temp.judge(:splits) \g /dev/null
\echo 'where nothing has changed: windows in which some feature drifted, and in which more than 30 % did'
SELECT size AS "window", count(*) AS windows,
    round(100.0 * count(*) FILTER (WHERE drifted > 0) / count(*), 2) AS any_percent,
    round(100.0 * count(*) FILTER (WHERE drifted > 0.3 * features) / count(*), 2) AS alarm_percent
FROM verdict WHERE kind = 'as it was' GROUP BY 1 ORDER BY 1;
\echo 'where something has: the smallest window that shows it in 95 % of windows, and the share of features at 2,000'
SELECT v.kind, min(v.size) FILTER (WHERE v.seen >= 0.95) AS some_feature,
    min(v.size) FILTER (WHERE v.alarms >= 0.95) AS more_than_30_percent,
    round((100 * max(v.share))::numeric) AS share_percent
FROM (
    SELECT kind, size, avg((drifted > 0)::int) AS seen, avg((drifted > 0.3 * features)::int) AS alarms,
        avg(drifted::real / features) AS share
    FROM verdict GROUP BY 1, 2) v
JOIN kind k USING (kind)
WHERE k.place > 1
GROUP BY k.place, v.kind ORDER BY k.place;
ROLLBACK;
