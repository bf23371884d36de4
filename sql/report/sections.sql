/*
 * Reports, 3: the sections.  Each is a function that reads views and returns HTML, which the functions of html.sql
 * make.  None writes anything.
 */

---------------------------------------------------------------- summary

CREATE OR REPLACE FUNCTION mnist_internal.report_tiles() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.block('tiles',
        mnist_internal.tile('Live model', 'version ' || l.version,
            mnist_internal.html(l.architecture) || ', since ' || mnist_internal.time(l.deployed_at))
        || mnist_internal.tile('Predictions', mnist_internal.count(v.predictions),
            'newest ' || mnist_internal.time(v.newest))
        || mnist_internal.tile('Mean confidence', mnist_internal.percent(v.confidence),
            mnist_internal.percent(v.low_confidence) || ' below 50 %, of the newest 1,000')
        || mnist_internal.tile('Accuracy', mnist_internal.percent(v.accuracy),
            format('of the newest %s labelled', mnist_internal.count(v.labels)),
            CASE WHEN v.accuracy_floor > 0
                THEN CASE WHEN v.accuracy < v.accuracy_floor THEN 'bad' ELSE 'good' END END)
        || mnist_internal.tile('Feedback', mnist_internal.count(v.feedback),
            mnist_internal.count(v.new_labels) || ' labels not yet trained on')
        || mnist_internal.tile('Drifted features', d.drifted || ' of ' || d.features,
            CASE WHEN d.features IS NULL THEN 'mnist_check has not checked yet'
                ELSE 'at ' || mnist_internal.time(d.checked_at)
                    || CASE WHEN d.alarm THEN ', a reason to train' ELSE '' END END,
            CASE WHEN d.features IS NULL THEN NULL WHEN d.share > d.threshold THEN 'bad' ELSE 'good' END)
        || mnist_internal.tile('Last run', r.status, 'run ' || r.id || ', ' || mnist_internal.time(r.finished_at),
            CASE r.status WHEN 'succeeded' THEN 'good' WHEN 'failed' THEN 'bad' END)) || E'\n'
    FROM mnist_internal.report_figures v
    LEFT JOIN @extschema@.mnist_live l ON true
    LEFT JOIN @extschema@.mnist_drift_share d ON true
    LEFT JOIN (SELECT * FROM @extschema@.mnist_run r WHERE r.status <> 'running' ORDER BY r.id DESC LIMIT 1) r ON true;
END;
COMMENT ON FUNCTION mnist_internal.report_tiles() IS 'the figures at the head of a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_summary() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.section('summary', 'Summary',
        mnist_internal.report_tiles()
        || mnist_internal.heading('Is it time to retrain?') || mnist_internal.table('{Condition,Met,Because}', (
            SELECT string_agg(mnist_internal.row(replace(d.condition, '_', ' '),
                CASE WHEN d.met THEN mnist_internal.flag('yes') ELSE 'no' END,
                mnist_internal.html(d.explanation)), '')
            FROM @extschema@.mnist_retrain_decision d))
        || coalesce((
            SELECT mnist_internal.heading('Predictions a day') || mnist_internal.figure(
                mnist_internal.bars(array_agg(to_char(d.day, 'MM-DD') ORDER BY d.day),
                    array_agg(d.predictions::float8 ORDER BY d.day)),
                'Of the last 30 days' || CASE WHEN max(d.step) > 1
                    THEN format(', estimated from one prediction in %s', max(d.step)) ELSE '' END || '.')
            FROM mnist_internal.report_days d
            HAVING count(*) > 0), '')
        || mnist_internal.heading('Deployments') || mnist_internal.table('{When,Version,How,By,Why}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.time(d.deployed_at), d.version::text, d.action,
                mnist_internal.html(d.deployed_by), mnist_internal.html(d.reason)), '' ORDER BY d.id DESC)
            FROM (SELECT * FROM @extschema@.mnist_deployment ORDER BY id DESC LIMIT 10) d))
        || mnist_internal.heading('Events') || mnist_internal.table('{When,Kind,What}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.time(e.created_at), replace(e.kind, '_', ' '),
                mnist_internal.html(e.message)), '' ORDER BY e.id DESC)
            FROM (SELECT * FROM @extschema@.mnist_event ORDER BY id DESC LIMIT 10) e)));
END;
COMMENT ON FUNCTION mnist_internal.report_summary() IS 'section summary of a report; internal';

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
        -- With many bins low and high are not the outermost edges, because an outlier would squeeze the rest.
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
    RETURN mnist_internal.figure(
        mnist_internal.histogram_pair(before, after,
            trim_scale(round(low::numeric, 2))::text, trim_scale(round(high::numeric, 2))::text),
        format('<b>%s</b>%s<br/>%s. PSI %s', replace(d.feature, '_', ' '),
            CASE WHEN d.drifted THEN ' ' || mnist_internal.flag('drifted') END,
            upper(left(description, 1)) || mnist_internal.html(substr(description, 2)),
            round(d.effect::numeric, 2)),
        CASE WHEN d.drifted THEN 'drifted' END);
END
$$;
COMMENT ON FUNCTION mnist_internal.report_drift_figure(@extschema@.mnist_drift, text) IS
    'the histograms of a feature in a report: of the reference and of the newest predictions; internal';

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
            ELSE 'earlier predictions' END || format(' (%s)', mnist_internal.count(r.readings))
        INTO source
    FROM @extschema@.mnist_drift_reference r WHERE r.id = drift[1].reference_id;
    SELECT mnist_internal.percent(s.drift_threshold, 0) INTO threshold FROM mnist_internal.settings() s;
    SELECT CASE
        WHEN source IS NULL THEN 'There is no reference yet to compare predictions with.'
        WHEN count(d.drifted) = 0 THEN format('%s predictions by the live model are too few to compare.',
            mnist_internal.count(coalesce(max(d.window_size), 0)))
        ELSE format('%s of %s features of the newest %s predictions have drifted from %s. '
                'More than %s would be a reason to train.',
            count(*) FILTER (WHERE d.drifted), count(d.drifted), mnist_internal.count(max(d.window_size)), source,
                threshold) END
        INTO said
    FROM unnest(drift) AS d;

    SELECT mnist_internal.block('charts', mnist_internal.figure(mnist_internal.lines(
            array_agg(to_char(c.checked_at, 'MM-DD HH24:MI') ORDER BY c.id),
            array_agg(c.share::float8 ORDER BY c.id) || array_agg(c.threshold::float8 ORDER BY c.id), 2, 0, 1),
            mnist_internal.legend('span', '{l1,l2}', '{fraction of drifted features,threshold}')
            || 'What mnist_check found.')) || E'\n'
        INTO history
    FROM (SELECT * FROM @extschema@.mnist_drift_check ORDER BY id DESC LIMIT 200) c
    HAVING count(*) > 1;

    RETURN mnist_internal.section('drift', 'Drift', '<p>' || said || E'</p>\n'
        || coalesce(history, '')
        || coalesce(mnist_internal.legend('p', '{was,is}', '{reference,newest predictions}')
            || mnist_internal.block('small', (
                SELECT string_agg(mnist_internal.report_drift_figure(d, f.description), '' ORDER BY f.place)
                FROM unnest(drift) AS d
                JOIN @extschema@.mnist_feature f ON f.name = d.feature
                WHERE d.effect IS NOT NULL)), '')
        || mnist_internal.heading('The tests')
        || mnist_internal.table('{Feature,Test,Statistic,p,"Effect (PSI)",Shift,Drifted}', (
            SELECT string_agg(mnist_internal.row(replace(d.feature, '_', ' '), d.test,
                round(d.statistic::numeric, 3)::text,
                CASE WHEN d.p_value < 0.0001 THEN '&lt; 0.0001' ELSE round(d.p_value::numeric, 4)::text END,
                round(d.effect::numeric, 3)::text, to_char(d.shift, 'SG0.00'),
                CASE WHEN d.drifted THEN mnist_internal.flag('yes') WHEN NOT d.drifted THEN 'no' END), ''
                ORDER BY d.drifted IS TRUE DESC, d.effect DESC NULLS LAST)
            FROM unnest(drift) AS d
            WHERE d.test IS NOT NULL), 'There is nothing to test yet.')
        || mnist_internal.note('A feature has drifted if the test finds a difference and the effect is large. PSI, the '
            || 'population stability index: below 0.1 little has changed, above 0.25 much. Shift: the direction, from '
            || '-1 (all values are lower than in the reference) to 1 (all are higher).'));
END
$$;
COMMENT ON FUNCTION mnist_internal.report_drift() IS 'section drift of a report; internal';

---------------------------------------------------------------- quality

CREATE OR REPLACE FUNCTION mnist_internal.report_quality() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.section('quality', 'Data quality',
        mnist_internal.table('{Check,Found,Fraction,Threshold,"In order",What}', (
            SELECT string_agg(mnist_internal.row(q.name, trim_scale(round(q.value::numeric, 3))::text,
                mnist_internal.percent(q.share),
                CASE q.name WHEN 'class balance' THEN 'at least ' || mnist_internal.percent(q.threshold)
                    WHEN 'agreement' THEN 'kappa at least ' || q.threshold
                    ELSE 'at most ' || mnist_internal.percent(q.threshold) END,
                CASE WHEN q.ok THEN mnist_internal.in_order('yes') WHEN NOT q.ok THEN mnist_internal.flag('no') END,
                mnist_internal.html(q.explanation)), '')
            FROM @extschema@.mnist_data_quality q))
        || mnist_internal.figure((
                SELECT mnist_internal.bars(array_agg(d.digit::text ORDER BY d.digit),
                    array_agg(d.predictions::float8 ORDER BY d.digit))
                FROM mnist_internal.report_digits d),
            'Predicted digits of the newest 10,000 predictions.')
        || mnist_internal.heading('Annotators')
        || mnist_internal.table('{Annotator,Feedback,Corrections,Newest}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.html(a.annotator), mnist_internal.count(a.feedback),
                mnist_internal.percent(a.corrections), mnist_internal.time(a.newest)), '' ORDER BY a.feedback DESC)
            FROM mnist_internal.report_annotators a))
        || mnist_internal.heading('Do they agree?')
        || mnist_internal.table('{Annotator,And,"Both labelled",Agree,"Cohen''s kappa"}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.html(a.annotator), mnist_internal.html(a.other),
                mnist_internal.count(a.readings), mnist_internal.percent(a.agreement),
                round(a.kappa::numeric, 2)::text), '')
            FROM (SELECT * FROM @extschema@.mnist_annotator_agreement a ORDER BY a.readings DESC LIMIT 20) a),
            'No two annotators have labelled the same prediction.')
        || mnist_internal.heading('Base data')
        || mnist_internal.table('{"Data set",Source,Training,Validation,Test,Imported,By}', (
            SELECT string_agg(mnist_internal.row(mnist_internal.html(d.name), mnist_internal.html(d.source),
                mnist_internal.count(d.train), mnist_internal.count(d.validation), mnist_internal.count(d.test),
                mnist_internal.time(d.created_at), mnist_internal.html(d.created_by)), '' ORDER BY d.id)
            FROM mnist_internal.report_datasets d)));
END;
COMMENT ON FUNCTION mnist_internal.report_quality() IS
    'section quality of a report: what comes in and who labels it; internal';

---------------------------------------------------------------- performance

CREATE OR REPLACE FUNCTION mnist_internal.report_models() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.heading('By model version') || mnist_internal.table(
            '{Version,Labels,Accuracy,Adjusted,Precision,Recall,F1,"Calibration error",Warning}', (
            SELECT string_agg(mnist_internal.row(p.model_version
                    || CASE WHEN p.model_version = (SELECT l.version FROM @extschema@.mnist_live l)
                        THEN ' (live)' ELSE '' END,
                mnist_internal.count(p.labels), mnist_internal.interval(p.accuracy, p.accuracy_low, p.accuracy_high),
                mnist_internal.percent(p.accuracy_adjusted), mnist_internal.percent(p.precision),
                mnist_internal.percent(p.recall), mnist_internal.percent(p.f1), round(p.ece::numeric, 3)::text,
                coalesce(mnist_internal.html(p.warning), '')), '')
            FROM (SELECT * FROM @extschema@.mnist_model_performance p ORDER BY p.model_version DESC LIMIT 10) p),
            'No prediction is labelled yet.')
        || mnist_internal.note('Over labelled predictions, a sample that annotators chose: they correct errors more '
            || 'often than they confirm, and prefer doubtful images. Adjusted: weighted to the confidences of all '
            || 'predictions.');
END;
COMMENT ON FUNCTION mnist_internal.report_models() IS 'the performance of each model, in a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_charts(version int) RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.block('charts',
        coalesce((
            SELECT mnist_internal.figure(mnist_internal.lines(array_agg(to_char(d.day, 'MM-DD') ORDER BY d.day),
                    array_agg(d.accuracy::float8 ORDER BY d.day), 1, floor(min(d.accuracy_low) * 10) / 10, 1,
                    array_agg(d.accuracy_low::float8 ORDER BY d.day)
                        || array_agg(d.accuracy_high::float8 ORDER BY d.day)),
                'Accuracy of the labelled predictions of each day, with its 95 % interval.')
            FROM (SELECT * FROM @extschema@.mnist_accuracy_daily a ORDER BY a.day DESC LIMIT 60) d
            HAVING count(*) > 0), '')
        || coalesce((
            SELECT mnist_internal.figure(mnist_internal.lines(
                    array_agg(mnist_internal.percent(b.confidence_from, 0) ORDER BY b.confidence_from),
                    array_agg(b.accuracy::float8 ORDER BY b.confidence_from)
                        || array_fill(NULL::float8, ARRAY[count(*)::int])
                        || array_agg(b.confidence::float8 ORDER BY b.confidence_from), 3, 0, 1,
                    array_agg(b.accuracy_low::float8 ORDER BY b.confidence_from)
                        || array_agg(b.accuracy_high::float8 ORDER BY b.confidence_from)),
                format('Calibration of version %s: accuracy (line, with its interval) by tenths of confidence; '
                    'dashed: mean confidence.', version))
            FROM @extschema@.mnist_calibration b
            WHERE b.model_version = report_charts.version
            HAVING count(*) > 0), '')) || E'\n';
END;
COMMENT ON FUNCTION mnist_internal.report_charts(int) IS
    'accuracy by day, and the calibration of a version, in a report; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_worst() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.heading('Wrong with the highest confidence') || coalesce(mnist_internal.block('pictures', (
            SELECT string_agg(mnist_internal.figure(
                mnist_internal.picture(w.image,
                    format('prediction %s: a %s predicted as %s', w.id, w.label, w.predicted)),
                format('is <b>%s</b>, predicted %s (%s)<br/>no. %s', w.label, w.predicted,
                    mnist_internal.percent(w.confidence, 0), w.id)), '' ORDER BY w.confidence DESC, w.id DESC)
            FROM mnist_internal.report_wrong w)), '<p class="empty">No labelled prediction is wrong.</p>')
        || mnist_internal.heading('Unlabelled with the lowest confidence')
        || coalesce(mnist_internal.block('pictures', (
            SELECT string_agg(mnist_internal.figure(
                mnist_internal.picture(u.image, format('prediction %s, predicted as %s', u.id, u.predicted)),
                format('predicted %s (%s)<br/>no. %s', u.predicted, mnist_internal.percent(u.confidence, 0), u.id)),
                '' ORDER BY u.confidence, u.id DESC)
            FROM mnist_internal.report_unsure u)), '<p class="empty">Every prediction is labelled.</p>');
END;
COMMENT ON FUNCTION mnist_internal.report_worst() IS
    'images in a report: the wrong predictions with the most confidence, and the unlabelled ones with the least; '
    'internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_performance() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- the live version, or the newest that has labels
    version int := (
        SELECT m.model_version
        FROM (SELECT DISTINCT c.model_version FROM @extschema@.mnist_model_confusion c) m
        ORDER BY m.model_version = (SELECT l.version FROM @extschema@.mnist_live l) DESC, m.model_version DESC
        LIMIT 1);
BEGIN
    RETURN mnist_internal.section('performance', 'Performance', mnist_internal.report_models()
        || coalesce(mnist_internal.report_charts(version)
            || mnist_internal.heading(format('By digit, version %s', version))
            || mnist_internal.table('{Digit,Shown,Predicted,Precision,Recall,F1}', (
                SELECT string_agg(mnist_internal.row(p.label::text, mnist_internal.count(p.shown),
                    mnist_internal.count(p."read"),
                    mnist_internal.interval(p.precision, p.precision_low, p.precision_high),
                    mnist_internal.interval(p.recall, p.recall_low, p.recall_high), mnist_internal.percent(p.f1)), '')
                FROM @extschema@.mnist_class_performance p
                WHERE p.model_version = version)), '')
        || mnist_internal.heading('Confusion matrix, all versions')
        || (SELECT mnist_internal.matrix(array_agg(c.count ORDER BY c.label, c.predicted))
            FROM @extschema@.mnist_confusion c)
        || mnist_internal.report_worst());
END
$$;
COMMENT ON FUNCTION mnist_internal.report_performance() IS 'section performance of a report; internal';

---------------------------------------------------------------- runs

CREATE OR REPLACE FUNCTION mnist_internal.report_curves() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.heading('Curves')
        || mnist_internal.legend('p', '{l1,l2}', '{validation images,training images (augmented)}')
        || mnist_internal.block('charts', string_agg(mnist_internal.figure(
                mnist_internal.lines(c.epochs, c.validation_accuracy || c.train_accuracy, 2,
                    floor(c.lowest_accuracy * 20) / 20, 1),
                format('Run %s%s: accuracy by epoch', c.run_id,
                    CASE WHEN c.trial > 0 THEN ', trial ' || c.trial END))
            || mnist_internal.figure(
                mnist_internal.lines(c.epochs, c.validation_loss || c.train_loss, 2, 0, c.highest_loss,
                    percent => false),
                format('Run %s%s: cross-entropy by epoch', c.run_id,
                    CASE WHEN c.trial > 0 THEN ', trial ' || c.trial END)),
            '' ORDER BY c.run_id DESC)) || E'\n'
    FROM mnist_internal.report_curves c
    HAVING count(*) > 0;
END;
COMMENT ON FUNCTION mnist_internal.report_curves() IS
    'the curves of the newest runs, in a report; NULL: there are none; internal';

CREATE OR REPLACE FUNCTION mnist_internal.report_runs() RETURNS text
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.section('runs', 'Training runs',
        mnist_internal.note(
            'Automatic runs follow the recipe: ' || mnist_internal.html(mnist_internal.recipe_text()) || '.')
        || mnist_internal.note('Accuracy of the candidate and, after the slash, of the live model on the same images.')
        || mnist_internal.table(
            '{Run,Begun,Took,"Requested by",How,"Data sets",Model,Validation,"Held-out feedback",Outcome}', (
            SELECT string_agg(mnist_internal.row(r.id::text, mnist_internal.time(r.started_at),
                mnist_internal.duration(extract(epoch FROM r.finished_at - r.started_at)::float8),
                mnist_internal.html(r.requested_by
                    || CASE WHEN r.trigger = 'check' THEN ', by mnist_check' ELSE '' END),
                replace(r.strategy, '_', ' ') || ', ' || mnist_internal.html(r.architecture),
                mnist_internal.html(array_to_string(r.datasets, ', ')),
                r.model_version::text,
                mnist_internal.percent(r.validation_accuracy, 2) || ' / '
                    || mnist_internal.percent(r.live_validation_accuracy, 2),
                mnist_internal.percent(r.feedback_accuracy, 1) || ' / '
                    || mnist_internal.percent(r.live_feedback_accuracy, 1),
                CASE WHEN r.status = 'failed' THEN mnist_internal.flag('failed') || ' '
                    WHEN r.status <> 'succeeded' THEN r.status || ' '
                    WHEN r.promoted THEN mnist_internal.in_order() || ' ' ELSE '' END
                    || coalesce(mnist_internal.html(coalesce(r.verdict, r.error)), '')), '' ORDER BY r.id DESC)
            FROM (SELECT * FROM @extschema@.mnist_run ORDER BY id DESC LIMIT 20) r))
        || coalesce(mnist_internal.report_curves(), ''));
END;
COMMENT ON FUNCTION mnist_internal.report_runs() IS
    'section runs of a report: the newest runs and their curves; internal';
