-- also: not preloaded
-- Data quality: what is wrong with predictions and labels is counted, and agreement is what the literature says it is.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
\i :srcdir/sql/include/label_as.sql
LOAD 'mnist_hil';
SET timezone = 'UTC';

-- Nothing is known of nothing.
SELECT name, value, share, threshold, ok FROM mnist_data_quality;
SELECT * FROM mnist_annotator_agreement;

-- 100 predictions: 3 blank canvases, 81 digits drawn dark on light, 1 of them more than 1,024 pixels wide, 4 drawn once
-- more,
-- and 12 light on dark.
SELECT count(mnist_predict(mnist_png(decode(repeat('00', 784), 'hex')))) AS blank FROM generate_series(1, 3);
SELECT count(mnist_predict(mnist_draw(i % 10, i))) AS drawn FROM generate_series(1, 79) AS i;
SELECT count(mnist_predict(mnist_draw(i % 10, i))) AS again FROM generate_series(1, 4) AS i;
SELECT count(mnist_predict(mnist_draw(5, 80, 1024))) AS large;
SELECT count(mnist_predict(mnist_png(mnist_internal.synthetic(i % 10, i), 2))) AS light_on_dark
FROM generate_series(101, 112) AS i;
SELECT count(mnist_predict(mnist_draw(3, 120, 1025))) AS too_large;
SELECT name, value, share, ok, explanation FROM mnist_data_quality
WHERE name IN ('blanks', 'duplicates', 'oversize', 'unusual polarity', 'unlabelled');

-- The same figures, counted otherwise.
SELECT name, value = other AS agrees
FROM mnist_data_quality JOIN (
    SELECT 'blanks', count(*) FROM mnist_prediction WHERE mnist_preprocess(image) = decode(repeat('00', 784), 'hex')
    UNION ALL SELECT 'duplicates', count(*) - count(DISTINCT mnist_preprocess(image)) FROM mnist_prediction
        WHERE mnist_preprocess(image) <> decode(repeat('00', 784), 'hex')
    -- width and height of a PNG
    UNION ALL SELECT 'oversize', count(*) FROM mnist_prediction
        WHERE greatest(('x' || encode(substr(image, 17, 4), 'hex'))::bit(32)::int,
            ('x' || encode(substr(image, 21, 4), 'hex'))::bit(32)::int) > 1024
    UNION ALL SELECT 'low confidence', count(*) FROM mnist_prediction WHERE confidence < 0.7
    UNION ALL SELECT 'class balance', min(n)
        FROM (SELECT count(p.id) AS n FROM generate_series(0, 9) AS d LEFT JOIN mnist_prediction p ON p.label = d
            GROUP BY d) d
    UNION ALL SELECT 'unlabelled', count(*) FROM mnist_prediction
    WHERE id NOT IN (SELECT prediction_id FROM mnist_feedback)
) AS o (name, other) USING (name);

-- Only the newest 10,000 predictions are looked at.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version, features, pixels_sha256)
SELECT image, label, confidence, probabilities, model_version, features, sha256(i::text::bytea)
FROM mnist_prediction, generate_series(1, 10000) AS i WHERE id = 10;
SELECT name, value, share, ok FROM mnist_data_quality
WHERE name IN ('blanks', 'duplicates', 'unusual polarity', 'class balance');
-- Predictions without features, from before they were kept, are not among those measured.
UPDATE mnist_prediction SET features = NULL WHERE id > 1000;
SELECT explanation FROM mnist_data_quality WHERE name IN ('blanks', 'duplicates');

---------------------------------------------------------------- agreement

-- The example of Cohen's kappa that encyclopedias give: 50 cases, 20 yes by both, 15 no by both, 5 and 10 apart: 0.4.
SELECT count(pg_temp.label_as('ann', i, (i <= 25)::int)), count(pg_temp.label_as('bob', i, (i <= 20 OR i > 40)::int))
FROM generate_series(1, 50) AS i;
SELECT * FROM mnist_annotator_agreement;
SELECT name, value, share, ok, explanation FROM mnist_data_quality WHERE name = 'agreement';
-- An earlier label of an annotator does not count.
SELECT pg_temp.label_as('ann', 1, 7) AND pg_temp.label_as('ann', 1, 1) AS said;
SELECT readings, agreement, kappa FROM mnist_annotator_agreement;
-- Both say one and the same always: there is no agreement beyond chance to speak of.
DELETE FROM mnist_feedback;
SELECT count(pg_temp.label_as('ann', i, 4)), count(pg_temp.label_as('bob', i, 4)) FROM generate_series(1, 5) AS i;
SELECT * FROM mnist_annotator_agreement;
SELECT value, share, ok FROM mnist_data_quality WHERE name = 'agreement';
-- They never agree.
DELETE FROM mnist_feedback;
SELECT count(pg_temp.label_as('ann', i, 4)), count(pg_temp.label_as('bob', i, 5)) FROM generate_series(1, 5) AS i;
SELECT * FROM mnist_annotator_agreement;

-- The example of Fleiss' kappa: 10 subjects, 14 raters, 5 categories: 0.210.
DELETE FROM mnist_feedback;
SELECT count(pg_temp.label_as(('rater' || r.rater)::name, s.subject, r.category - 1))
FROM (VALUES (1, '{0,0,0,0,14}'::int[]), (2, '{0,2,6,4,2}'), (3, '{0,0,3,5,6}'), (4, '{0,3,9,2,0}'), (5, '{2,2,8,1,1}'),
    (6, '{7,7,0,0,0}'), (7, '{3,2,6,3,0}'), (8, '{2,5,3,2,2}'), (9, '{6,5,2,1,0}'), (10, '{0,2,2,3,7}')) AS s (subject,
    counts),
    LATERAL (SELECT c.category, row_number() OVER (ORDER BY c.category) AS rater
        FROM unnest(s.counts) WITH ORDINALITY AS c (n, category), generate_series(1, c.n)) AS r;
SELECT name, round(value::numeric, 3) AS kappa, round(share::numeric, 3) AS agreement, ok, explanation
FROM mnist_data_quality WHERE name = 'agreement';
-- Of 14 raters there are 91 pairs.
SELECT count(*), count(*) FILTER (WHERE readings = 10) AS on_all FROM mnist_annotator_agreement;

DROP EXTENSION mnist_hil;
