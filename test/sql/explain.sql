-- also: not preloaded
-- Explaining a prediction: which pixels speak for a label.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

CREATE TEMP TABLE digit AS
SELECT i AS id, mnist_internal.synthetic(i % 10, i) AS image FROM generate_series(1, 40) AS i;
CREATE TEMP TABLE explanation AS
SELECT id, image, mnist_classify(image) AS label, mnist_explanation(image) AS attribution FROM digit;

-- 784 numbers, none where there is no ink, some of them above 0.
SELECT count(*) AS explained, min(array_length(attribution, 1)) AS fewest, max(array_length(attribution, 1)) AS most,
    bool_and((SELECT bool_and((get_byte(image, n::int - 1) = 0) <= (a = 0))
        FROM unnest(attribution) WITH ORDINALITY AS u (a, n))) AS only_ink,
    bool_and((SELECT max(a) > 0 FROM unnest(attribution) AS a)) AS something_speaks_for_it
FROM explanation;

-- The pixels that it names matter.  The tenth of the inked pixels that speak most for the label is erased, and for
-- comparison as many inked pixels picked at random (ten times), and as many that speak least for it.
CREATE TEMP TABLE pixel AS
SELECT e.id, (u.n - 1)::int AS position, rank() OVER (PARTITION BY e.id ORDER BY u.a DESC, u.n) AS place,
    rank() OVER (PARTITION BY e.id ORDER BY u.a, u.n) AS place_from_below,
    count(*) OVER (PARTITION BY e.id) / 10 AS tenth
FROM explanation e, unnest(e.attribution) WITH ORDINALITY AS u (a, n)
WHERE get_byte(e.image, (u.n - 1)::int) > 0;
CREATE FUNCTION pg_temp.erase(image bytea, positions int[]) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    i int;
BEGIN
    FOREACH i IN ARRAY positions LOOP
        image := set_byte(image, i, 0);
    END LOOP;
    RETURN image;
END
$$;
CREATE FUNCTION pg_temp.fall(image bytea, label smallint, positions int[]) RETURNS real LANGUAGE sql AS $$
    SELECT (mnist_probabilities(image))[label + 1] - (mnist_probabilities(pg_temp.erase(image, positions)))[label + 1]
$$;
CREATE TEMP TABLE outcome AS
SELECT e.id, pg_temp.fall(e.image, e.label, p.named) AS named, pg_temp.fall(e.image, e.label, p.least) AS least,
    (SELECT avg(pg_temp.fall(e.image, e.label, ARRAY(
            SELECT r.position FROM pixel r WHERE r.id = e.id
            ORDER BY hashint8(r.position * 1000 + round) LIMIT p.tenth)))
        FROM generate_series(1, 10) AS round) AS random
FROM explanation e
JOIN (
    SELECT id, tenth, array_agg(position) FILTER (WHERE place <= tenth) AS named,
        array_agg(position) FILTER (WHERE place_from_below <= tenth) AS least
    FROM pixel GROUP BY id, tenth) p USING (id);
SELECT avg(named) > 0.1 AND avg(named) > 3 * avg(random) AS more_than_random,
    avg(named) > 3 * avg(least) AS more_than_least,
    count(*) FILTER (WHERE named > random) > 0.8 * count(*) AS for_nearly_every_digit
FROM outcome;

-- NULL stands for the digit read; for another label other pixels speak; the same twice; also from a PNG.
SELECT bool_and(mnist_explanation(image, label) = attribution) AS the_digit_read,
    bool_and(mnist_explanation(image, (label + 1) % 10) <> attribution) AS another,
    bool_and(mnist_explanation(mnist_png(image)) = attribution) AS png
FROM explanation WHERE id <= 5;

-- An image: an RGB PNG of 280 x 280, black where there is no ink, with a colour where a pixel speaks.
SELECT substr(png, 1, 8) = '\x89504e470d0a1a0a' AS png, get_byte(png, 18) * 256 + get_byte(png, 19) AS width,
    get_byte(png, 22) * 256 + get_byte(png, 23) AS height, get_byte(png, 24) AS depth, get_byte(png, 25) AS color_type
FROM mnist_explain(mnist_draw(7)) AS png;
SELECT mnist_explain(image) = mnist_explain(image, mnist_classify(image)) AS the_digit_read,
    mnist_explain(image) <> mnist_explain(image, 0) AS another,
    mnist_explain(image) = mnist_explain(mnist_png(image)) AS png
FROM digit WHERE id = 7;

-- Nothing to erase, nothing to say.
SELECT mnist_explanation(decode(repeat('00', 784), 'hex')) = array_fill(0::real, ARRAY[784]) AS blank,
    mnist_explain(decode(repeat('00', 784), 'hex')) IS NOT NULL AS picture;
SELECT mnist_explain(NULL) IS NULL AS explain, mnist_explanation(NULL) IS NULL AS explanation,
    mnist_explain(NULL, 3) IS NULL AS labelled;

-- Errors.
\set VERBOSITY sqlstate
SELECT mnist_explain(mnist_draw(7), 10);
SELECT mnist_explanation(mnist_draw(7), -1);
SELECT mnist_explain('no picture');
SELECT mnist_explanation('\x00');

DROP EXTENSION mnist_hil;
