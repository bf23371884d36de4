/*
 * Data quality: is what comes in fit to be read, and is what people say of it fit to be learnt from?
 *
 * Readings are judged by the newest 10,000, agreement by the newest 1,000 readings that several annotators have
 * labelled: enough to tell, and as quick however many there are.
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
    'what each annotator says of the newest 1,000 readings that several have labelled; internal';
COMMENT ON COLUMN mnist_internal.votes.tied IS 'whether no digit has more annotators for it than any other';

/*
 * Cohen's kappa (1960) of two annotators: how much of what chance leaves them to agree on they agree on; chance being
 * that each gives the digits as often as on these readings, independently.
 */
CREATE OR REPLACE VIEW @extschema@.mnist_annotator_agreement AS
    WITH pair AS MATERIALIZED (
        SELECT a.annotator, b.annotator AS other, a.label, b.label AS other_label, count(*) AS n,
            count(*) FILTER (WHERE a.tied) AS tied
        FROM mnist_internal.votes a
        JOIN mnist_internal.votes b ON b.prediction_id = a.prediction_id AND b.annotator > a.annotator
        GROUP BY 1, 2, 3, 4
    ), total AS (
        SELECT p.annotator, p.other, sum(p.n) AS readings,
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
    SELECT t.annotator, t.other, t.readings::bigint AS readings, coalesce(t.agreement, 0)::real AS agreement,
        ((coalesce(t.agreement, 0) - e.expected) / nullif(1 - e.expected, 0))::real AS kappa,
        coalesce(t.tied, 0)::bigint AS tied
    FROM total t
    LEFT JOIN chance c ON c.annotator = t.annotator AND c.other = t.other
    CROSS JOIN LATERAL (SELECT coalesce(c.products, 0) / (t.readings::float8 * t.readings::float8) AS expected) e
    ORDER BY t.annotator, t.other;
COMMENT ON VIEW @extschema@.mnist_annotator_agreement IS
    'how far annotators agree, a row a pair: over the newest 1,000 readings that several have labelled';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.annotator IS 'one of the two';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.other IS 'the other one';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.readings IS 'readings that both have labelled';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.agreement IS 'share of these on which they say the same, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.kappa IS
    'Cohen''s kappa: 1 they always agree, 0 as often as by chance; NULL where both gave one and the same digit always';
COMMENT ON COLUMN @extschema@.mnist_annotator_agreement.tied IS
    'readings on which they contradict each other and no digit has the most annotators, so that no label counts';

/*
 * Fleiss' kappa (1971), for any number of annotators a reading: the share of pairs of votes on a reading that agree,
 * averaged over readings, held against what the frequencies of digits among all votes make of it by chance.
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
    ), reading AS MATERIALIZED (
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
        WHERE l.label IS NOT NULL AND l.prediction_id >= (SELECT r.first FROM reading r)
    ), vote AS MATERIALIZED (
        SELECT v.prediction_id, v.label, count(*) AS n
        FROM mnist_internal.votes v
        GROUP BY 1, 2
    ), fleiss AS (
        SELECT count(*) AS readings, avg((r.squares - r.votes)::float8 / (r.votes * (r.votes - 1))) AS agreement,
            (SELECT sum((c.n / c.votes) ^ 2)
             FROM (SELECT sum(v.n)::float8 AS n, sum(sum(v.n)) OVER ()::float8 AS votes FROM vote v GROUP BY v.label) c)
                AS expected
        FROM (
            SELECT v.prediction_id, sum(v.n) AS votes, sum(v.n * v.n) AS squares
            FROM vote v
            GROUP BY v.prediction_id
            HAVING sum(v.n) > 1) r
    ), agreement AS (
        -- of two annotators that of the pair
        SELECT a.annotators, CASE a.annotators WHEN 2 THEN p.readings ELSE f.readings END AS readings,
            CASE a.annotators WHEN 2 THEN p.agreement ELSE f.agreement END AS agreement,
            CASE a.annotators WHEN 2 THEN p.kappa ELSE (f.agreement - f.expected) / nullif(1 - f.expected, 0) END AS kappa
        FROM fleiss f
        CROSS JOIN (SELECT count(DISTINCT v.annotator) AS annotators FROM mnist_internal.votes v) a
        LEFT JOIN @extschema@.mnist_annotator_agreement p ON a.annotators = 2
    )
    SELECT q.name, round(q.value::numeric, 6)::float8 AS value, q.share::real AS share, q.threshold::real AS threshold,
        CASE WHEN q.name IN ('class balance') THEN q.share >= q.threshold
            WHEN q.name = 'agreement' THEN q.value >= q.threshold
            ELSE q.share <= q.threshold END AS ok,
        q.explanation
    FROM reading r
    CROSS JOIN digit d
    CROSS JOIN labelled l
    LEFT JOIN agreement a ON true
    CROSS JOIN LATERAL (VALUES
        ('blanks', r.blanks, r.blanks::float8 / nullif(r.measured, 0), 0.01,
            format('%s of the newest %s readings have no ink', r.blanks, r.measured)),
        ('duplicates', r.hashed - r.distinct_hashes, (r.hashed - r.distinct_hashes)::float8 / nullif(r.hashed, 0), 0.05,
            format('%s of the newest %s readings with ink show the same as another one',
                r.hashed - r.distinct_hashes, r.hashed)),
        ('oversize', r.oversize, r.oversize::float8 / nullif(r.measured, 0), 0.01,
            format('%s of the newest %s pictures are more than 1024 pixels wide or high', r.oversize, r.measured)),
        ('unusual polarity', least(r.light, r.measured - r.light),
            least(r.light, r.measured - r.light)::float8 / nullif(r.measured, 0), 0.05,
            CASE WHEN r.light * 2 > r.measured
                THEN format('%s of the newest %s pictures are light on dark, the others dark on light',
                    r.measured - r.light, r.measured)
                ELSE format('%s of the newest %s pictures are dark on light, the others light on dark',
                    r.light, r.measured) END),
        ('low confidence', r.unsure, r.unsure::float8 / nullif(r.n, 0), 0.05,
            format('%s of the newest %s readings have a confidence under 0.7', r.unsure, r.n)),
        ('class balance', d.least, CASE WHEN r.n >= 100 THEN d.least::float8 / r.n END, 0.03,
            CASE WHEN r.n >= 100
                THEN format('%s was read least often, %s times, and %s most often, %s times, in the newest %s readings',
                    d.rarest, d.least, d.commonest, d.most, r.n)
                ELSE format('%s readings are too few', r.n) END),
        ('unlabelled', r.n - l.n, (r.n - l.n)::float8 / nullif(r.n, 0), 0.99,
            format('nobody, or no majority, has said what %s of the newest %s readings show', r.n - l.n, r.n)),
        ('agreement', a.kappa, a.agreement, 0.8,
            CASE WHEN coalesce(a.readings, 0) = 0 THEN 'no two annotators have labelled the same reading'
                ELSE format('%s kappa of %s annotators over %s readings', CASE a.annotators WHEN 2 THEN 'Cohen''s'
                    ELSE 'Fleiss''' END, a.annotators, a.readings) END)
    ) AS q (name, value, share, threshold, explanation);
COMMENT ON VIEW @extschema@.mnist_data_quality IS
    'what may be wrong with the newest 10,000 readings and with what people say of readings, a row a check';
COMMENT ON COLUMN @extschema@.mnist_data_quality.name IS
    'blanks, duplicates, oversize, unusual polarity, low confidence, class balance (of the digits read), unlabelled, agreement (of annotators)';
COMMENT ON COLUMN @extschema@.mnist_data_quality.value IS
    'readings of that kind; of class balance those of the rarest digit; of agreement kappa: 1 always, 0 as often as by chance';
COMMENT ON COLUMN @extschema@.mnist_data_quality.share IS
    'their share; of agreement the share of pairs of votes on a reading that agree; NULL where there are none, or too few';
COMMENT ON COLUMN @extschema@.mnist_data_quality.threshold IS
    'what the share should not exceed, of class balance not fall short of; of agreement what kappa should not fall short of';
COMMENT ON COLUMN @extschema@.mnist_data_quality.ok IS 'whether that is so; NULL where it is not known';
COMMENT ON COLUMN @extschema@.mnist_data_quality.explanation IS 'the same in words';
