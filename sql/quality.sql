/*
 * Data quality: are the images fit to be predicted, and are the labels fit to train on?
 *
 * The checks cover the newest 10,000 predictions; agreement covers the newest 1,000 predictions that several annotators
 * have labelled.  These samples are large enough, and the time of the checks does not grow with the tables.
 */

CREATE OR REPLACE VIEW mnist_internal.votes AS
    SELECT l.prediction_id, f.annotator, f.label, l.tied
    FROM (
        SELECT l.prediction_id, l.feedback_ids, l.label IS NULL AS tied
        FROM @extschema@.mnist_label l
        WHERE l.annotators > 1
        ORDER BY l.prediction_id DESC
        LIMIT 1000) l
    CROSS JOIN LATERAL unnest(l.feedback_ids) AS b (id)
    JOIN @extschema@.mnist_feedback f ON f.id = b.id
    WHERE f.label IS NOT NULL;
COMMENT ON VIEW mnist_internal.votes IS
    'each annotator''s label of the newest 1,000 predictions that several have labelled; internal';
COMMENT ON COLUMN mnist_internal.votes.tied IS 'whether no label has more annotators than any other';

/*
 * Cohen's kappa (1960) of two annotators: (observed agreement - expected agreement) / (1 - expected agreement).  The
 * expected agreement is that of two annotators who give labels at random, each with the frequencies of that annotator's
 * labels of these predictions.
 */
CREATE OR REPLACE VIEW @extschema@.mnist_annotator_agreement AS
    WITH pair AS MATERIALIZED (
        SELECT a.annotator, b.annotator AS other, a.label, b.label AS other_label, count(*) AS n,
            count(*) FILTER (WHERE a.tied) AS tied
        FROM mnist_internal.votes a
        JOIN mnist_internal.votes b ON b.prediction_id = a.prediction_id AND b.annotator > a.annotator
        GROUP BY 1, 2, 3, 4
    ), total AS (
        SELECT p.annotator, p.other, sum(p.n) AS n,
            sum(p.n) FILTER (WHERE p.label = p.other_label)::float8 / sum(p.n) AS agreement,
            sum(p.tied) FILTER (WHERE p.label <> p.other_label) AS tied
        FROM pair p
        GROUP BY 1, 2
    ), chance AS (
        SELECT a.annotator, a.other, sum(a.n * b.n)::float8 AS products
        FROM (SELECT p.annotator, p.other, p.label, sum(p.n) AS n FROM pair p GROUP BY 1, 2, 3) a
        JOIN (SELECT p.annotator, p.other, p.other_label, sum(p.n) AS n FROM pair p GROUP BY 1, 2, 3) b
            ON b.annotator = a.annotator AND b.other = a.other AND b.other_label = a.label
        GROUP BY 1, 2
    )
    SELECT t.annotator, t.other, t.n::bigint AS readings, coalesce(t.agreement, 0)::real AS agreement,
        ((coalesce(t.agreement, 0) - e.expected) / nullif(1 - e.expected, 0))::real AS kappa,
        coalesce(t.tied, 0)::bigint AS tied
    FROM total t
    LEFT JOIN chance c ON c.annotator = t.annotator AND c.other = t.other
    CROSS JOIN LATERAL (SELECT coalesce(c.products, 0) / (t.n::float8 * t.n::float8) AS expected) e
    ORDER BY t.annotator, t.other;
COMMENT ON VIEW @extschema@.mnist_annotator_agreement IS
    'how often annotators agree, one row a pair: over the newest 1,000 predictions that several have labelled';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.annotator IS 'one of the two';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.other IS 'the other one';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.readings IS 'predictions that both have labelled';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.agreement IS
    'the fraction of these to which both gave the same label, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.kappa IS
    'Cohen''s kappa: 1 if they always agree, 0 if as often as by chance; NULL if both always gave one and the same '
    'label';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.tied IS
    'predictions on which they disagree and no label has the most annotators, so that no label counts';

/*
 * Fleiss' kappa (1971), for any number of annotators a prediction.  The observed agreement is the fraction of pairs of
 * labels of a prediction that agree, averaged over predictions; the expected agreement follows from the frequencies of
 * the labels.
 */
CREATE OR REPLACE VIEW @extschema@.mnist_data_quality AS
    WITH place AS (
        SELECT max(f.place) FILTER (WHERE f.name = 'blank') AS blank,
            max(f.place) FILTER (WHERE f.name = 'original_side') AS side,
            max(f.place) FILTER (WHERE f.name = 'light_background') AS light
        FROM @extschema@.mnist_feature f
    ), recent AS (
        SELECT p.id, p.label, p.confidence, p.features, p.pixels_sha256
        FROM @extschema@.mnist_prediction p
        ORDER BY p.id DESC
        LIMIT 10000
    ), total AS MATERIALIZED (
        SELECT count(*) AS n, min(r.id) AS first,
            count(r.features) AS measured,
            count(*) FILTER (WHERE r.features[s.blank] = 1) AS blanks,
            count(*) FILTER (WHERE r.features[s.side] > 1024) AS oversize,
            count(*) FILTER (WHERE r.features[s.light] = 1) AS light,
            count(r.pixels_sha256) FILTER (WHERE r.features[s.blank] = 0) AS hashed,
            count(DISTINCT r.pixels_sha256) FILTER (WHERE r.features[s.blank] = 0) AS distinct_hashes,
            count(*) FILTER (WHERE r.confidence < 0.7) AS unsure
        FROM recent r
        CROSS JOIN place s
    ), digit AS (
        SELECT min(d.n) AS least, max(d.n) AS most,
            (array_agg(d.label ORDER BY d.n, d.label))[1] AS rarest,
            (array_agg(d.label ORDER BY d.n DESC, d.label))[1] AS commonest
        FROM (
            SELECT g.label, count(r.id) AS n
            FROM generate_series(0, 9) AS g (label)
            LEFT JOIN recent r ON r.label = g.label
            GROUP BY g.label) d
    ), labelled AS (
        SELECT count(*) AS n
        FROM @extschema@.mnist_label l
        WHERE l.label IS NOT NULL AND l.prediction_id >= (SELECT r.first FROM total r)
    ), vote AS MATERIALIZED (
        SELECT v.prediction_id, v.label, count(*) AS n
        FROM mnist_internal.votes v
        GROUP BY 1, 2
    ), fleiss AS (
        SELECT count(*) AS predictions, avg((r.squares - r.votes)::float8 / (r.votes * (r.votes - 1))) AS agreement,
            (SELECT sum((c.n / c.votes) ^ 2)
             FROM (SELECT sum(v.n)::float8 AS n, sum(sum(v.n)) OVER ()::float8 AS votes FROM vote v GROUP BY v.label) c)
                AS expected
        FROM (
            SELECT v.prediction_id, sum(v.n) AS votes, sum(v.n * v.n) AS squares
            FROM vote v
            GROUP BY v.prediction_id
            HAVING sum(v.n) > 1) r
    ), agreement AS (
        -- with two annotators, Cohen's kappa of the pair
        SELECT a.annotators, CASE a.annotators WHEN 2 THEN p.readings ELSE f.predictions END AS predictions,
            CASE a.annotators WHEN 2 THEN p.agreement ELSE f.agreement END AS agreement,
            CASE a.annotators WHEN 2 THEN p.kappa ELSE (f.agreement - f.expected) / nullif(1 - f.expected, 0) END
                AS kappa
        FROM fleiss f
        CROSS JOIN (SELECT count(DISTINCT v.annotator) AS annotators FROM mnist_internal.votes v) a
        LEFT JOIN @extschema@.mnist_annotator_agreement p ON a.annotators = 2
    )
    SELECT q.name, round(q.value::numeric, 6)::float8 AS value, q.share::real AS share, q.threshold::real AS threshold,
        CASE WHEN q.name IN ('class balance') THEN q.share >= q.threshold
            WHEN q.name = 'agreement' THEN q.value >= q.threshold
            ELSE q.share <= q.threshold END AS ok,
        q.explanation
    FROM total r
    CROSS JOIN digit d
    CROSS JOIN labelled l
    LEFT JOIN agreement a ON true
    CROSS JOIN LATERAL (VALUES
        ('blanks', r.blanks, r.blanks::float8 / nullif(r.measured, 0), 0.01,
            format('%s of the newest %s predictions are of images without ink', r.blanks, r.measured)),
        ('duplicates', r.hashed - r.distinct_hashes, (r.hashed - r.distinct_hashes)::float8 / nullif(r.hashed, 0), 0.05,
            format('%s of the newest %s predictions with ink have the same image as another one',
                r.hashed - r.distinct_hashes, r.hashed)),
        ('oversize', r.oversize, r.oversize::float8 / nullif(r.measured, 0), 0.01,
            format('%s of the newest %s images are more than 1024 pixels wide or high', r.oversize, r.measured)),
        ('unusual polarity', least(r.light, r.measured - r.light),
            least(r.light, r.measured - r.light)::float8 / nullif(r.measured, 0), 0.05,
            CASE WHEN r.light * 2 > r.measured
                THEN format('%s of the newest %s images are light on dark, the others dark on light',
                    r.measured - r.light, r.measured)
                ELSE format('%s of the newest %s images are dark on light, the others light on dark',
                    r.light, r.measured) END),
        ('low confidence', r.unsure, r.unsure::float8 / nullif(r.n, 0), 0.05,
            format('%s of the newest %s predictions have a confidence below 0.7', r.unsure, r.n)),
        ('class balance', d.least, CASE WHEN r.n >= 100 THEN d.least::float8 / r.n END, 0.03,
            CASE WHEN r.n >= 100
                THEN format('%s was predicted least often, %s times, and %s most often, %s times, in the newest %s '
                    'predictions',
                    d.rarest, d.least, d.commonest, d.most, r.n)
                ELSE format('%s predictions are too few', r.n) END),
        ('unlabelled', r.n - l.n, (r.n - l.n)::float8 / nullif(r.n, 0), 0.99,
            format('%s of the newest %s predictions have no label, or no majority', r.n - l.n, r.n)),
        ('agreement', a.kappa, a.agreement, 0.8,
            CASE WHEN coalesce(a.predictions, 0) = 0 THEN 'no two annotators have labelled the same prediction'
                ELSE format('%s kappa of %s annotators over %s predictions', CASE a.annotators WHEN 2 THEN 'Cohen''s'
                    ELSE 'Fleiss''' END, a.annotators, a.predictions) END)
    ) AS q (name, value, share, threshold, explanation);
COMMENT ON VIEW @extschema@.mnist_data_quality IS
    'checks of the newest 10,000 predictions and of the labels, one row a check';
COMMENT ON COLUMN @extschema@.mnist_data_quality.name IS
    'blanks, duplicates, oversize, unusual polarity, low confidence, class balance (of the predicted digits), '
    'unlabelled, agreement (of annotators)';
COMMENT ON COLUMN @extschema@.mnist_data_quality.value IS
    'the number of predictions found; for class balance, those of the rarest digit; for agreement, kappa: 1 if '
    'annotators always agree, 0 if as often as by chance';
COMMENT ON COLUMN @extschema@.mnist_data_quality.share IS
    'the fraction found; for agreement, the fraction of pairs of labels of a prediction that agree; NULL: there are '
    'none, or too few';
COMMENT ON COLUMN @extschema@.mnist_data_quality.threshold IS
    'the highest acceptable fraction; for class balance the lowest; for agreement the lowest acceptable kappa';
COMMENT ON COLUMN @extschema@.mnist_data_quality.ok IS 'whether the check is passed; NULL: unknown';
COMMENT ON COLUMN @extschema@.mnist_data_quality.explanation IS 'the same as a sentence';
