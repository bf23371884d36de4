/*
 * Reports, 2: the sections.  Each is a function that returns HTML; none writes anything.  They read the views that
 * everybody reads, so that a report says what psql says.  What grows with the readings is read from the newest end, so
 * far and no further.
 */

---------------------------------------------------------------- summary

CREATE OR REPLACE FUNCTION mnist_internal.report_tiles() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH m AS MATERIALIZED (
        SELECT * FROM @extschema@.mnist_metrics
    ), v AS (
        SELECT max(value) FILTER (WHERE name = 'mnist_hil_predictions_total')::bigint AS readings,
            max(value) FILTER (WHERE name = 'mnist_hil_recent_confidence_ratio') AS confidence,
            max(value) FILTER (WHERE name = 'mnist_hil_recent_low_confidence_ratio') AS low,
            max(value) FILTER (WHERE name = 'mnist_hil_recent_accuracy_ratio') AS accuracy,
            max(value) FILTER (WHERE name = 'mnist_hil_recent_labels')::bigint AS labels,
            max(value) FILTER (WHERE name = 'mnist_hil_feedback_total')::bigint AS feedback,
            max(value) FILTER (WHERE name = 'mnist_hil_new_labels')::bigint AS new_labels,
            max(value) FILTER (WHERE name = 'mnist_hil_accuracy_floor_ratio') AS floor,
            to_timestamp(max(value) FILTER (WHERE name = 'mnist_hil_last_prediction_timestamp_seconds')) AS newest
        FROM m
    )
    SELECT '<div class="tiles">'
        || mnist_internal.tile('Live model', 'version ' || l.version, mnist_internal.html(l.architecture) || ', since ' || mnist_internal.time(l.deployed_at))
        || mnist_internal.tile('Readings', mnist_internal.count(v.readings), 'newest ' || mnist_internal.time(v.newest))
        || mnist_internal.tile('Mean confidence', mnist_internal.percent(v.confidence),
            mnist_internal.percent(v.low) || ' under 50 %, of the newest 1,000')
        || mnist_internal.tile('Right', mnist_internal.percent(v.accuracy),
            format('of the newest %s labelled', mnist_internal.count(v.labels)),
            CASE WHEN v.floor > 0 THEN CASE WHEN v.accuracy < v.floor THEN 'bad' ELSE 'good' END END)
        || mnist_internal.tile('Feedback', mnist_internal.count(v.feedback), mnist_internal.count(v.new_labels)
            || CASE WHEN v.new_labels = 5000 THEN ' or more' ELSE '' END || ' labels not yet learnt from')
        || mnist_internal.tile('Drifted features', d.drifted || ' of ' || d.features,
            CASE WHEN d.features IS NULL THEN 'mnist_check has not looked yet'
                ELSE 'at ' || mnist_internal.time(d.checked_at) || CASE WHEN d.alarm THEN ', a reason to train' ELSE '' END END,
            CASE WHEN d.features IS NULL THEN NULL WHEN d.share > d.threshold THEN 'bad' ELSE 'good' END)
        || mnist_internal.tile('Last run', r.status, 'run ' || r.id || ', ' || mnist_internal.time(r.finished_at),
            CASE r.status WHEN 'succeeded' THEN 'good' WHEN 'failed' THEN 'bad' END)
        || E'</div>\n'
    FROM v
    LEFT JOIN @extschema@.mnist_live l ON true
    LEFT JOIN @extschema@.mnist_drift_share d ON true
    LEFT JOIN (SELECT * FROM @extschema@.mnist_run r WHERE r.status <> 'running' ORDER BY r.id DESC LIMIT 1) r ON true;
END;
COMMENT ON FUNCTION mnist_internal.report_tiles() IS 'the figures at the head of a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_summary() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH span AS (
        SELECT min(p.id) AS first, max(p.id) AS last, greatest(1, (max(p.id) - min(p.id)) / 20000) AS step
        FROM @extschema@.mnist_prediction p
    ), daily AS (
        -- One of so many, picked by a hash of its place, stands for them.
        SELECT date_trunc('day', p.created_at) AS day, count(*) * max(s.step) AS readings
        FROM span s
        CROSS JOIN LATERAL generate_series(s.last, s.first, -s.step) AS i (id)
        JOIN @extschema@.mnist_prediction p ON p.id = i.id - (hashint8(i.id) & 2147483647) % s.step
        WHERE p.created_at > date_trunc('day', now()) - interval '29 days'
        GROUP BY 1
    ), calendar AS (
        SELECT array_agg(to_char(c.day, 'MM-DD') ORDER BY c.day) AS labels,
            array_agg(coalesce(d.readings, 0)::float8 ORDER BY c.day) AS readings
        FROM generate_series((SELECT min(day) FROM daily), date_trunc('day', now()), interval '1 day') AS c (day)
        LEFT JOIN daily d ON d.day = c.day
    )
    SELECT mnist_internal.section('summary', 'Summary',
        mnist_internal.report_tiles()
        || '<h3>Is it time to retrain?</h3>' || mnist_internal.table('{Condition,Met,Because}', (
            SELECT string_agg(mnist_internal.row(replace(d.condition, '_', ' '),
                CASE WHEN d.met THEN '<span class="flag">&#9650; yes</span>' ELSE 'no' END, mnist_internal.html(d.explanation)), '')
            FROM @extschema@.mnist_retrain_decision d))
        || coalesce('<h3>Readings a day</h3>' || mnist_internal.figure(mnist_internal.bars(c.labels, c.readings),
            'Of the last 30 days' || (
                SELECT CASE WHEN s.step > 1 THEN format(', estimated from one reading in %s', s.step) ELSE '' END FROM span s)
            || '.'), '')
        || '<h3>Who went live</h3>' || mnist_internal.table('{When,Version,How,By,Why}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.time(d.deployed_at), d.version::text, d.action,
                mnist_internal.html(d.deployed_by), mnist_internal.html(d.reason)), '' ORDER BY d.id DESC)
            FROM (SELECT * FROM @extschema@.mnist_deployment ORDER BY id DESC LIMIT 10) d))
        || '<h3>Events</h3>' || mnist_internal.table('{When,Kind,What}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.time(e.created_at), replace(e.kind, '_', ' '), mnist_internal.html(e.message)),
                '' ORDER BY e.id DESC)
            FROM (SELECT * FROM @extschema@.mnist_event ORDER BY id DESC LIMIT 10) e)))
    FROM calendar c;
END;
COMMENT ON FUNCTION mnist_internal.report_summary() IS 'how things stand, in a report; internal';

---------------------------------------------------------------- drift

CREATE OR REPLACE FUNCTION mnist_internal.report_drift_figure(d @extschema@.mnist_drift, description text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n int := cardinality(d.edges);
    before float8[];
    after float8[];
    low float8;
    high float8;
BEGIN
    IF d.test = 'Kolmogorov-Smirnov' THEN
        -- An outlier must not squeeze the rest: the outermost bins of many hold what lies beyond.
        low := d.edges[CASE WHEN n > 20 THEN 2 ELSE 1 END];
        high := greatest(d.edges[CASE WHEN n > 20 THEN n - 1 ELSE n END], low + 1e-6);
        before := mnist_internal.rebin(d.edges, d.reference_counts, low, high, 24);
        after := mnist_internal.rebin(d.edges, d.window_counts, low, high, 24);
    ELSE
        low := 0;
        high := n;
        SELECT array_agg(c / greatest((SELECT sum(s) FROM unnest(d.reference_counts) AS s), 1)) INTO before
        FROM unnest(d.reference_counts) AS c;
        SELECT array_agg(c / greatest((SELECT sum(s) FROM unnest(d.window_counts) AS s), 1)) INTO after
        FROM unnest(d.window_counts) AS c;
    END IF;
    RETURN format(E'<figure%s>%s<figcaption><b>%s</b>%s<br/>%s. PSI %s</figcaption></figure>\n',
        CASE WHEN d.drifted THEN ' class="drifted"' END,
        mnist_internal.histogram_pair(before, after,
            trim_scale(round(low::numeric, 2))::text, trim_scale(round(high::numeric, 2))::text),
        replace(d.feature, '_', ' '),
        CASE WHEN d.drifted THEN ' <span class="flag">&#9650; drifted</span>' END,
        upper(left(description, 1)) || mnist_internal.html(substr(description, 2)),
        round(d.effect::numeric, 2));
END
$$;
COMMENT ON FUNCTION mnist_internal.report_drift_figure(@extschema@.mnist_drift, text) IS
    'a feature''s histograms in a report: of the reference and of the newest readings; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_drift() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    drift @extschema@.mnist_drift[];
    source text;
    threshold text;
    said text;
    history text;
BEGIN
    SELECT array_agg(d) INTO drift FROM @extschema@.mnist_drift d;
    SELECT CASE r.source
            WHEN 'bundled' THEN 'the bundled model''s reference, MNIST''s validation images'
            WHEN 'base data' THEN 'base data'
            ELSE 'earlier readings' END || format(' (%s)', mnist_internal.count(r.readings))
        INTO source
    FROM @extschema@.mnist_drift_reference r WHERE r.id = drift[1].reference_id;
    SELECT mnist_internal.percent(s.drift_threshold, 0) INTO threshold FROM mnist_internal.settings() s;
    SELECT CASE
        WHEN source IS NULL THEN 'There is nothing yet to compare readings with.'
        WHEN count(d.drifted) = 0 THEN format('Of %s readings by the live model too little can be said.',
            mnist_internal.count(coalesce(max(d.window_size), 0)))
        ELSE format('%s of %s features of the newest %s readings have drifted from %s. More than %s would be a reason to train.',
            count(*) FILTER (WHERE d.drifted), count(d.drifted), mnist_internal.count(max(d.window_size)), source, threshold) END
        INTO said
    FROM unnest(drift) AS d;

    SELECT mnist_internal.figure(mnist_internal.lines(
            array_agg(to_char(c.checked_at, 'MM-DD HH24:MI') ORDER BY c.id),
            array_agg(c.share::float8 ORDER BY c.id) || array_agg(c.threshold::float8 ORDER BY c.id), 2, 0, 1),
            '<span class="legend"><span><span class="key l1"></span>share of drifted features</span>'
            || '<span><span class="key l2"></span>threshold</span></span>What mnist_check found.')
        INTO history
    FROM (SELECT * FROM @extschema@.mnist_drift_check ORDER BY id DESC LIMIT 200) c
    HAVING count(*) > 1;

    RETURN mnist_internal.section('drift', 'Drift', '<p>' || said || E'</p>\n'
        || coalesce('<div class="charts">' || history || E'</div>\n', '')
        || coalesce('<p class="legend"><span><span class="key was"></span>reference</span><span><span class="key is"></span>newest readings</span></p>'
            || '<div class="small">' || (
                SELECT string_agg(mnist_internal.report_drift_figure(d, f.description), '' ORDER BY f.place)
                FROM unnest(drift) AS d
                JOIN @extschema@.mnist_feature f ON f.name = d.feature
                WHERE d.effect IS NOT NULL) || '</div>', '')
        || '<h3>The tests</h3>' || mnist_internal.table('{Feature,Test,Statistic,p,"Effect (PSI)",Shift,Drifted}', (
            SELECT string_agg(mnist_internal.row(replace(d.feature, '_', ' '), d.test, round(d.statistic::numeric, 3)::text,
                CASE WHEN d.p_value < 0.0001 THEN '&lt; 0.0001' ELSE round(d.p_value::numeric, 4)::text END,
                round(d.effect::numeric, 3)::text, to_char(d.shift, 'SG0.00'),
                CASE WHEN d.drifted THEN '<span class="flag">&#9650; yes</span>' WHEN NOT d.drifted THEN 'no' END), ''
                ORDER BY d.drifted IS TRUE DESC, d.effect DESC NULLS LAST)
            FROM unnest(drift) AS d
            WHERE d.test IS NOT NULL), 'Nothing to test yet.')
        || '<p class="soft">A feature has drifted if the test finds a difference and the effect is large besides. PSI, the '
        || 'population stability index: under 0.1 little has changed, over 0.25 much. Shift: how much more often a reading '
        || 'has more of it than one of the reference than less.</p>');
END
$$;
COMMENT ON FUNCTION mnist_internal.report_drift() IS 'how readings differ from the reference, in a report; internal';

---------------------------------------------------------------- quality

CREATE OR REPLACE FUNCTION mnist_internal.report_quality() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.section('quality', 'Data quality',
        mnist_internal.table('{Check,Found,Share,Threshold,"In order",What}', (
            SELECT string_agg(mnist_internal.row(q.name, trim_scale(round(q.value::numeric, 3))::text, mnist_internal.percent(q.share),
                CASE q.name WHEN 'class balance' THEN 'at least ' || mnist_internal.percent(q.threshold)
                    WHEN 'agreement' THEN 'kappa at least ' || q.threshold
                    ELSE 'at most ' || mnist_internal.percent(q.threshold) END,
                CASE WHEN q.ok THEN '<span class="ok">&#10003; yes</span>' WHEN NOT q.ok THEN '<span class="flag">&#9650; no</span>' END,
                mnist_internal.html(q.explanation)), '')
            FROM @extschema@.mnist_data_quality q))
        || mnist_internal.figure((
                SELECT mnist_internal.bars(array_agg(d.digit::text ORDER BY d.digit), array_agg(d.n ORDER BY d.digit))
                FROM (
                    SELECT g.digit, count(p.label)::float8 AS n
                    FROM generate_series(0, 9) AS g (digit)
                    LEFT JOIN (SELECT p.label FROM @extschema@.mnist_prediction p ORDER BY p.id DESC LIMIT 10000) p ON p.label = g.digit
                    GROUP BY g.digit) d),
            'Digits read, of the newest 10,000 readings.')
        || '<h3>Annotators</h3>' || mnist_internal.table('{Annotator,Feedback,"Said otherwise than read",Newest}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.html(a.annotator), mnist_internal.count(a.feedback),
                mnist_internal.percent(a.corrections), mnist_internal.time(a.newest)), '' ORDER BY a.feedback DESC)
            FROM (
                SELECT f.annotator, count(*) AS feedback, avg((f.label <> f.predicted_label)::int)::float8 AS corrections,
                    max(f.created_at) AS newest
                FROM @extschema@.mnist_feedback f
                GROUP BY f.annotator
                ORDER BY feedback DESC
                LIMIT 20) a))
        || '<h3>Do they agree?</h3>' || mnist_internal.table('{Annotator,And,"Both labelled",Agree,"Cohen''s kappa"}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.html(a.annotator), mnist_internal.html(a.other), mnist_internal.count(a.readings),
                mnist_internal.percent(a.agreement), round(a.kappa::numeric, 2)::text), '')
            FROM (SELECT * FROM @extschema@.mnist_annotator_agreement a ORDER BY a.readings DESC LIMIT 20) a),
            'No two annotators have labelled the same reading.')
        || '<h3>Base data</h3>' || mnist_internal.table('{"Data set",Source,Training,Validation,Test,Imported,By}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.html(d.name), mnist_internal.html(d.source), mnist_internal.count(s.train),
                mnist_internal.count(s.validation), mnist_internal.count(s.test), mnist_internal.time(d.created_at),
                mnist_internal.html(d.created_by)), '' ORDER BY d.id)
            FROM @extschema@.mnist_dataset d
            LEFT JOIN (
                SELECT s.dataset_id, count(*) FILTER (WHERE s.split = 'train') AS train,
                    count(*) FILTER (WHERE s.split = 'validation') AS validation,
                    count(*) FILTER (WHERE s.split = 'test') AS test
                FROM @extschema@.mnist_sample s
                GROUP BY s.dataset_id) s ON s.dataset_id = d.id)));
END;
COMMENT ON FUNCTION mnist_internal.report_quality() IS 'what comes in and who labels it, in a report; internal';

---------------------------------------------------------------- performance

CREATE OR REPLACE FUNCTION mnist_internal.report_confusion() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH cell AS (
        SELECT c.label, c.predicted, c.count, c.count::float8 / greatest(sum(c.count) OVER (PARTITION BY c.label), 1) AS share
        FROM @extschema@.mnist_confusion c
    )
    SELECT '<div class="wide"><table class="confusion"><thead><tr><th scope="col">is</th>'
        || (SELECT string_agg(format('<th scope="col">%s</th>', d), '' ORDER BY d) FROM generate_series(0, 9) AS d)
        || E'</tr></thead><tbody>\n'
        || string_agg(r.row, '' ORDER BY r.label) || E'</tbody></table></div>\n'
    FROM (
        SELECT c.label, format('<tr><th scope="row">%s</th>', c.label) || string_agg(
            CASE WHEN c.count = 0 THEN '<td></td>'
                ELSE format('<td class="%s" style="--x:%s" title="%s of the %ss read as %s">%s</td>',
                    CASE WHEN c.label = c.predicted THEN 'right' ELSE 'wrong' END, round(c.share::numeric, 3),
                    mnist_internal.percent(c.share), c.label, c.predicted, mnist_internal.count(c.count)) END,
            '' ORDER BY c.predicted) || E'</tr>\n' AS row
        FROM cell c
        GROUP BY c.label) r;
END;
COMMENT ON FUNCTION mnist_internal.report_confusion() IS 'what was taken for what, in a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.interval(share float8, low float8, high float8) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT format('<span class="interval">%s <small>%s to %s</small></span>', mnist_internal.percent(share),
        round((100 * low)::numeric, 1), round((100 * high)::numeric, 1));
END;
COMMENT ON FUNCTION mnist_internal.interval(float8, float8, float8) IS 'a share with its interval, as HTML; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_models() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT '<h3>By model version</h3>' || mnist_internal.table(
            '{Version,Labels,Right,"Adjusted to all",Precision,Recall,F1,"Calibration error","Mind that"}', (
            SELECT string_agg(mnist_internal.row(p.model_version
                    || CASE WHEN p.model_version = (SELECT l.version FROM @extschema@.mnist_live l) THEN ' (live)' ELSE '' END,
                mnist_internal.count(p.labels), mnist_internal.interval(p.accuracy, p.accuracy_low, p.accuracy_high),
                mnist_internal.percent(p.accuracy_adjusted), mnist_internal.percent(p.precision), mnist_internal.percent(p.recall),
                mnist_internal.percent(p.f1), round(p.ece::numeric, 3)::text, coalesce(mnist_internal.html(p.warning), '')), '')
            FROM (SELECT * FROM @extschema@.mnist_model_performance p ORDER BY p.model_version DESC LIMIT 10) p),
            'No reading is labelled yet.')
        || '<p class="soft">Over labelled readings, which people chose: they correct errors more often than they confirm what '
        || 'is right, and look at what looks doubtful. Adjusted: as if the labelled readings were as confident as all are.</p>';
END;
COMMENT ON FUNCTION mnist_internal.report_models() IS 'how well each model reads, in a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_charts(version int) RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH day AS (
        SELECT * FROM @extschema@.mnist_accuracy_daily d ORDER BY d.day DESC LIMIT 60
    ), bin AS (
        SELECT * FROM @extschema@.mnist_calibration c WHERE c.model_version = report_charts.version
    )
    SELECT '<div class="charts">'
        || coalesce((
            SELECT mnist_internal.figure(mnist_internal.lines(array_agg(to_char(d.day, 'MM-DD') ORDER BY d.day),
                    array_agg(d.accuracy::float8 ORDER BY d.day), 1, floor(min(d.accuracy_low) * 10) / 10, 1,
                    array_agg(d.accuracy_low::float8 ORDER BY d.day) || array_agg(d.accuracy_high::float8 ORDER BY d.day)),
                'Share right of the labelled readings of each day, with its 95 % interval.')
            FROM day d
            HAVING count(*) > 0), '')
        || coalesce((
            SELECT mnist_internal.figure(mnist_internal.lines(
                    array_agg(mnist_internal.percent(b.confidence_from, 0) ORDER BY b.confidence_from),
                    array_agg(b.accuracy::float8 ORDER BY b.confidence_from)
                        || array_fill(NULL::float8, ARRAY[count(*)::int])
                        || array_agg(b.confidence::float8 ORDER BY b.confidence_from), 3, 0, 1,
                    array_agg(b.accuracy_low::float8 ORDER BY b.confidence_from)
                        || array_agg(b.accuracy_high::float8 ORDER BY b.confidence_from)),
                format('Calibration of version %s: share right (line, with its interval) by tenths of confidence; dashed: what the '
                    'confidence promises.', version))
            FROM bin b
            HAVING count(*) > 0), '')
        || E'</div>\n';
END;
COMMENT ON FUNCTION mnist_internal.report_charts(int) IS
    'accuracy by day, and the calibration of a version, in a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_performance() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- the live version, or the newest that anything is known of
    version int := (
        SELECT m.model_version
        FROM (SELECT DISTINCT c.model_version FROM @extschema@.mnist_model_confusion c) m
        ORDER BY m.model_version = (SELECT l.version FROM @extschema@.mnist_live l) DESC, m.model_version DESC
        LIMIT 1);
BEGIN
    RETURN mnist_internal.section('performance', 'Performance', mnist_internal.report_models()
        || coalesce(mnist_internal.report_charts(version) || format('<h3>By digit, version %s</h3>', version)
            || mnist_internal.table('{Digit,Shown,Read,Precision,Recall,F1}', (
                SELECT string_agg(mnist_internal.row(p.label::text, mnist_internal.count(p.shown), mnist_internal.count(p."read"),
                    mnist_internal.interval(p.precision, p.precision_low, p.precision_high),
                    mnist_internal.interval(p.recall, p.recall_low, p.recall_high), mnist_internal.percent(p.f1)), '')
                FROM @extschema@.mnist_class_performance p
                WHERE p.model_version = version)), '')
        || '<h3>What was taken for what, by all versions</h3>' || mnist_internal.report_confusion()
        || mnist_internal.report_worst());
END
$$;
COMMENT ON FUNCTION mnist_internal.report_performance() IS 'how well digits are read, in a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_worst() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH wrong AS (
        SELECT p.id, p.image, p.label AS predicted, p.confidence, l.label
        FROM (
            SELECT l.prediction_id, l.label
            FROM @extschema@.mnist_label l
            WHERE l.label <> l.predicted_label
            ORDER BY l.prediction_id DESC
            LIMIT 5000) l
        JOIN @extschema@.mnist_prediction p ON p.id = l.prediction_id
        ORDER BY p.confidence DESC, p.id DESC
        LIMIT 24
    ), unsure AS (
        SELECT p.id, p.image, p.label AS predicted, p.confidence
        FROM (SELECT * FROM @extschema@.mnist_prediction p ORDER BY p.id DESC LIMIT 10000) p
        WHERE NOT EXISTS (SELECT FROM @extschema@.mnist_label l WHERE l.prediction_id = p.id)
        ORDER BY p.confidence, p.id DESC
        LIMIT 12
    )
    SELECT '<h3>Most surely wrong</h3>' || coalesce('<div class="pictures">' || (
            SELECT string_agg(mnist_internal.figure(
                mnist_internal.picture(w.image, format('reading %s: a %s read as %s', w.id, w.label, w.predicted)),
                format('is <b>%s</b>, read %s (%s)<br/>no. %s', w.label, w.predicted, mnist_internal.percent(w.confidence, 0), w.id)),
                '' ORDER BY w.confidence DESC, w.id DESC)
            FROM wrong w) || '</div>', '<p class="empty">No labelled reading is wrong.</p>')
        || '<h3>Least sure, not labelled</h3>' || coalesce('<div class="pictures">' || (
            SELECT string_agg(mnist_internal.figure(
                mnist_internal.picture(u.image, format('reading %s, read as %s', u.id, u.predicted)),
                format('read %s (%s)<br/>no. %s', u.predicted, mnist_internal.percent(u.confidence, 0), u.id)),
                '' ORDER BY u.confidence, u.id DESC)
            FROM unsure u) || '</div>', '<p class="empty">Every reading is labelled.</p>');
END;
COMMENT ON FUNCTION mnist_internal.report_worst() IS
    'pictures in a report: the labelled readings that were wrong with the most confidence, and the least certain others; internal';

---------------------------------------------------------------- runs

CREATE OR REPLACE FUNCTION mnist_internal.report_curves() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH best AS (
        -- of a search the trial that did best
        SELECT DISTINCT ON (m.run_id) m.run_id, m.trial
        FROM @extschema@.mnist_metric m
        WHERE m.run_id IN (SELECT r.id FROM @extschema@.mnist_run r ORDER BY r.id DESC LIMIT 20)
        ORDER BY m.run_id DESC, m.validation_accuracy DESC NULLS LAST, m.trial
    ), curve AS (
        SELECT m.run_id, m.trial, count(*) AS epochs,
            array_agg(m.epoch::text ORDER BY m.epoch) AS epoch,
            array_agg(m.train_accuracy::float8 ORDER BY m.epoch) AS train_accuracy,
            array_agg(m.validation_accuracy::float8 ORDER BY m.epoch) AS validation_accuracy,
            array_agg(m.train_loss::float8 ORDER BY m.epoch) AS train_loss,
            array_agg(m.validation_loss::float8 ORDER BY m.epoch) AS validation_loss,
            least(min(m.train_accuracy), min(m.validation_accuracy))::float8 AS least,
            greatest(max(m.train_loss), max(m.validation_loss))::float8 AS most
        FROM @extschema@.mnist_metric m
        JOIN best b USING (run_id, trial)
        GROUP BY m.run_id, m.trial
    )
    SELECT '<h3>Curves</h3><p class="legend"><span><span class="key l1"></span>validation images</span>'
        || '<span><span class="key l2"></span>training images (augmented)</span></p><div class="charts">'
        || string_agg(mnist_internal.figure(
                mnist_internal.lines(c.epoch, c.validation_accuracy || c.train_accuracy, 2, floor(c.least * 20) / 20, 1),
                format('Run %s%s: share right by epoch', c.run_id, CASE WHEN c.trial > 0 THEN ', trial ' || c.trial END))
            || mnist_internal.figure(
                mnist_internal.lines(c.epoch, c.validation_loss || c.train_loss, 2, 0, c.most, percent => false),
                format('Run %s%s: cross-entropy by epoch', c.run_id, CASE WHEN c.trial > 0 THEN ', trial ' || c.trial END)),
            '' ORDER BY c.run_id DESC)
        || E'</div>\n'
    FROM (SELECT * FROM curve ORDER BY run_id DESC LIMIT 6) c
    HAVING count(*) > 0;
END;
COMMENT ON FUNCTION mnist_internal.report_curves() IS 'the curves of the newest runs, in a report; NULL: there are none; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_runs() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.section('runs', 'Training runs',
        '<p class="soft">Shares right of the candidate and, behind the stroke, of the model that was live, on the same images.</p>'
        || mnist_internal.table('{Run,Begun,Took,"Asked by",How,"Data sets",Model,Validation,"Held-out feedback",Outcome}', (
            SELECT string_agg(mnist_internal.row(r.id::text, mnist_internal.time(r.started_at),
                mnist_internal.duration(extract(epoch FROM r.finished_at - r.started_at)::float8),
                mnist_internal.html(r.requested_by || CASE WHEN r.trigger = 'check' THEN ', by mnist_check' ELSE '' END),
                replace(r.strategy, '_', ' ') || ', ' || mnist_internal.html(r.architecture),
                mnist_internal.html(array_to_string(r.datasets, ', ')),
                r.model_version::text,
                mnist_internal.percent(r.validation_accuracy, 2) || ' / ' || mnist_internal.percent(r.live_validation_accuracy, 2),
                mnist_internal.percent(r.feedback_accuracy, 1) || ' / ' || mnist_internal.percent(r.live_feedback_accuracy, 1),
                CASE WHEN r.status = 'failed' THEN '<span class="flag">&#9650; failed</span> '
                    WHEN r.status <> 'succeeded' THEN r.status || ' '
                    WHEN r.promoted THEN '<span class="ok">&#10003;</span> ' ELSE '' END
                    || coalesce(mnist_internal.html(coalesce(r.verdict, r.error)), '')), '' ORDER BY r.id DESC)
            FROM (SELECT * FROM @extschema@.mnist_run ORDER BY id DESC LIMIT 20) r))
        || coalesce(mnist_internal.report_curves(), ''));
END;
COMMENT ON FUNCTION mnist_internal.report_runs() IS 'the newest runs and their curves, in a report; internal';
