-- noise.sql: one case of bench_noise.sh.  One annotator labels images, a fraction of them wrongly: as any other digit,
-- or, in kind "pair", one digit as another.  Unless :confirmations is "none", the same annotator or another one
-- confirms ten times as many predictions of which the live model is sure, and which are correct.
\set ON_ERROR_STOP on
\pset footer off
\pset tuples_only on
\pset fieldsep ' | '
\pset format unaligned
SET client_min_messages = warning;
DELETE FROM mnist_feedback;
TRUNCATE said;
SELECT (ARRAY[4, 7, 3, 9, 1])[1 + (:seed - 1) % 5] AS from_digit,
    (ARRAY[9, 1, 5, 4, 7])[1 + (:seed - 1) % 5] AS to_digit,
    round(:labels * :rate) AS nwrong \gset

-- An order of its own for each seed; of the images in it one in four is styled, or none.
CREATE TEMP TABLE candidate AS
SELECT *, hashint8extended(id, :seed) AS place
FROM (
    SELECT *, row_number() OVER (PARTITION BY styled ORDER BY hashint8extended(id, :seed)) AS nth FROM image) i
WHERE NOT styled OR (:'images' = 'styled' AND nth <= :labels / 4);
INSERT INTO said
SELECT id, 'noise_annotator',
    CASE :'kind' WHEN 'pair' THEN :to_digit ELSE (label + 1 + abs(place / 7) % 9) % 10 END, true, false
FROM (SELECT *, row_number() OVER (ORDER BY NOT styled OR nth > :nwrong / 4, place) AS chosen
    FROM candidate WHERE :'kind' <> 'pair' OR label = :from_digit) c
WHERE chosen <= :nwrong;
INSERT INTO said
SELECT id, 'noise_annotator', label, false, false
FROM candidate c WHERE NOT EXISTS (SELECT FROM said s WHERE s.id = c.id)
ORDER BY NOT styled, place LIMIT :labels - :nwrong;
INSERT INTO said
SELECT id, CASE :'confirmations' WHEN 'same' THEN 'noise_annotator' ELSE 'noise_other' END, label, false, true
FROM candidate c
WHERE :'confirmations' <> 'none' AND NOT styled AND predicted_label = label AND confidence > 0.95
    AND NOT EXISTS (SELECT FROM said s WHERE s.id = c.id)
ORDER BY place LIMIT 10 * :labels;
\o /dev/null
SET ROLE noise_annotator;
SELECT mnist_correct(id, label) FROM said WHERE annotator = 'noise_annotator' ORDER BY hashint8(id);
SET ROLE noise_other;
SELECT mnist_correct(id, label) FROM said WHERE annotator = 'noise_other' ORDER BY hashint8(id);
RESET ROLE;
SET mnist_hil.annotator_share = 1; -- what the filter does by itself
SELECT run_id FROM mnist_retrain(epochs => :epochs, seed => :seed, promote => false) \gset
\o
SELECT :'images', :rate, rpad(:'kind', 7), rpad(:'confirmations', 6), :seed,
    format('%s, %s', count(*) FILTER (WHERE wrong),
        round(100.0 * count(*) FILTER (WHERE wrong AND excluded) / nullif(count(*) FILTER (WHERE wrong), 0), 1)),
    format('%s, %s', count(*) FILTER (WHERE NOT wrong),
        round(100.0 * count(*) FILTER (WHERE NOT wrong AND excluded) / count(*) FILTER (WHERE NOT wrong), 1)),
    format('%s, %s', count(*) FILTER (WHERE corrects), count(*) FILTER (WHERE corrects AND excluded)),
    (SELECT CASE WHEN (gate->>'passed')::boolean THEN 'passed' ELSE split_part(verdict, ' (', 1) END
        || format(', held-out %s to %s of %s', gate#>>'{feedback,live_correct}',
            gate#>>'{feedback,candidate_correct}', gate#>>'{feedback,images}')
     FROM mnist_run WHERE id = :run_id)
FROM (
    SELECT s.wrong, NOT s.wrong AND s.label <> i.predicted_label AS corrects,
        u.reason IS NOT DISTINCT FROM 'doubted' AS excluded
    FROM said s
    JOIN image i USING (id)
    JOIN mnist_feedback f ON f.prediction_id = s.id
    LEFT JOIN mnist_run_feedback u ON u.run_id = :run_id AND u.feedback_id = f.id
    WHERE NOT s.confirms) l;
