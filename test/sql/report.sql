-- mnist_report: one page that needs nothing else, escapes what people typed, and is kept, ten of them.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql

-- What is wrong with a page: tags that are not closed in order, what would be fetched or run from a page, and text that
-- is not there.  A page is well-formed as XML is, so that a stack is all it takes.
CREATE FUNCTION pg_temp.faults(page text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    stack text[] := '{}';
    tag text[];
BEGIN
    FOR tag IN
        SELECT regexp_matches(regexp_replace(page, '<style>.*?</style>|<!DOCTYPE html>', '', 'g'),
            '<(/?)([^\s/>]*)([^>]*?)(/?)>', 'g')
    LOOP
        IF tag[2] !~ '^[a-z][a-z0-9]*$' THEN
            RETURN NEXT 'no tag: ' || tag[2];
        ELSIF tag[1] = '/' THEN
            IF stack[cardinality(stack)] IS DISTINCT FROM tag[2] THEN
                RETURN NEXT format('</%s> closes <%s>', tag[2], stack[cardinality(stack)]);
            END IF;
            stack := stack[:cardinality(stack) - 1];
        ELSIF tag[4] = '' THEN
            stack := stack || tag[2];
        END IF;
        IF tag[2] = ANY ('{script,link,iframe,object,embed,form,base,foreignobject}') OR tag[3] ~* '\mon[a-z]+\s*='
            OR tag[3] ~* 'javascript:' THEN
            RETURN NEXT 'runs or fetches: <' || tag[2] || tag[3] || '>';
        END IF;
        IF regexp_replace(tag[3], '"[^"<]*"', '', 'g') !~ '^(\s+[a-zA-Z0-9_:-]+=)*\s*$' THEN
            RETURN NEXT 'attributes: <' || tag[2] || tag[3] || '>';
        END IF;
        RETURN QUERY SELECT 'refers to elsewhere: ' || r[1]
        FROM regexp_matches(tag[3], '\m(?:src|href|xlink:href|action|srcset)="([^"]*)"', 'g') AS r
            WHERE r[1] !~ '^(#[a-z]+$|data:image/png;base64,[A-Za-z0-9+/]+=*$)';
    END LOOP;
    RETURN QUERY SELECT 'not closed: <' || s || '>' FROM unnest(stack) AS s;
    RETURN QUERY SELECT 'a style that fetches' WHERE page ~* '@import|url\(';
    RETURN QUERY SELECT 'a link that is none: ' || r[1] FROM regexp_matches(page, 'href="#([a-z]+)"', 'g') AS r
        WHERE position('id="' || r[1] || '"' IN page) = 0;
    RETURN QUERY SELECT 'an & that stands for nothing' WHERE page ~ '&(?!(amp|lt|gt|quot|#[0-9]+);)';
    IF page !~ '^<!DOCTYPE html>\n<html lang="en">' OR page !~ '<title>[^<]+</title>' OR page !~ '</html>\n$' THEN
        RETURN NEXT 'no page';
    END IF;
END
$$;
-- It finds faults.
SELECT pg_temp.faults('<p><b>x</p> & <img src="http://e.x/a.png"/><a href="#y">z</a><i onclick="x">');

-- With nothing to report yet.
SELECT kind, pg_temp.faults(mnist_report(kind)) FROM unnest('{full,drift,quality,performance}'::text[]) AS kind;

-- Names and reasons that try to be HTML; predictions, labels, runs with their curves.
CREATE ROLE "regress_<img src=x onerror=alert(1)>";
GRANT EXECUTE ON FUNCTION mnist_correct TO "regress_<img src=x onerror=alert(1)>";
SELECT mnist_import_synthetic('</td><script>alert("data")</script>', 600) AS imported;
SELECT count(id)
FROM mnist_predict_batch((SELECT array_agg(mnist_draw(i % 10, i, 56)) FROM generate_series(1, 300) AS i));
SET ROLE "regress_<img src=x onerror=alert(1)>";
SELECT count(mnist_correct(id, CASE WHEN id % 20 = 0 THEN 3 ELSE (id % 10)::int END))
FROM generate_series(1, 200) AS id;
RESET ROLE;
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256)
SELECT 2, '<b>bold</b> & "quoted"', network, parameters, weights, weights_sha256 FROM mnist_model;
SELECT mnist_activate(2, '"><script>alert(''why'')</script>');
SELECT promoted FROM mnist_retrain(architectures => '{softmax}', strategy => 'from_scratch', epochs => 3, seed => 1);
CREATE TEMP TABLE page AS SELECT kind, mnist_report(kind) AS page
FROM unnest('{full,drift,quality,performance}'::text[]) AS kind;
SELECT kind, pg_temp.faults(page) FROM page;

-- What people typed is there, as they typed it, and is no tag.
SELECT kind, position('&lt;/td&gt;&lt;script&gt;alert(&quot;data&quot;)&lt;/script&gt;' IN page) > 0 AS dataset,
    position('regress_&lt;img src=x onerror=alert(1)&gt;' IN page) > 0 AS annotator,
    position('&quot;&gt;&lt;script&gt;alert(&#39;why&#39;)&lt;/script&gt;' IN page) > 0 AS reason,
    position('&lt;b&gt;bold&lt;/b&gt; &amp; &quot;quoted&quot;' IN page) > 0 AS architecture,
    page ~* '<(script|b>bold|img src=x)' AS injected
FROM page;

-- What belongs into which kind.
SELECT kind, array(SELECT r[1] FROM regexp_matches(page, '<section id="([a-z]+)">', 'g') AS r) AS sections,
    page LIKE '%<nav>%' AS contents,
    array_length(regexp_split_to_array(page, 'src="data:image/png;base64,'), 1) - 1 AS pictures,
    page LIKE '%prefers-color-scheme: dark%' AS dark, page LIKE '%@media print%' AS prints
FROM page;

-- The images are PNGs: of predictions that were wrong, the most confident first, and of the least certain ones.
SELECT bool_and(substr(decode(r[1], 'base64'), 1, 8) = '\x89504e470d0a1a0a') AS pngs, count(*)
FROM page, regexp_matches(page, 'src="data:image/png;base64,([^"]*)"', 'g') AS r WHERE kind = 'performance';
SELECT (regexp_match(page, 'no\. ([0-9]+)'))[1]::bigint = (
        SELECT p.id FROM mnist_label l JOIN mnist_prediction p ON p.id = l.prediction_id
        WHERE l.label <> l.predicted_label ORDER BY p.confidence DESC, p.id DESC LIMIT 1) AS worst
FROM page WHERE kind = 'performance';

-- Figures are those of the views.
SELECT position(format('<b>Predictions</b><strong>%s</strong>', (SELECT count(*) FROM mnist_prediction)) IN page)
    > 0 AS predictions,
    position(format('<strong>version %s</strong>', (SELECT version FROM mnist_live)) IN page) > 0 AS live,
    position(format('>%s</td>', (SELECT max(count) FROM mnist_confusion)) IN page) > 0 AS confusion,
    position(mnist_internal.html((SELECT verdict FROM mnist_run)) IN page) > 0 AS verdict
FROM page WHERE kind = 'full';
SELECT bool_and(position(format('<title>%s: %s</title>', to_char(d.day, 'MM-DD'), d.predictions) IN page)
    > 0) AS readings_a_day
FROM page, (SELECT date_trunc('day', created_at) AS day, count(*) AS predictions FROM mnist_prediction GROUP BY 1) AS d
WHERE kind = 'full';
SELECT bool_and(position(mnist_internal.html(q.explanation) IN page) > 0 AND position(q.name IN page) > 0) AS checks
FROM page, mnist_data_quality q WHERE kind = 'quality';
SELECT bool_and(position(mnist_internal.interval(p.accuracy, p.accuracy_low, p.accuracy_high) IN page) > 0) AS accuracy,
    bool_and(position(mnist_internal.html(p.warning) IN page) > 0) AS warning
FROM page, mnist_model_performance p WHERE kind = 'performance';
SELECT bool_and(position(mnist_internal.row(c.label::text, c.shown::text, c."read"::text,
    mnist_internal.interval(c.precision, c.precision_low, c.precision_high),
        mnist_internal.interval(c.recall, c.recall_low, c.recall_high), mnist_internal.percent(c.f1)) IN page)
            > 0) AS digits
FROM page, mnist_class_performance c WHERE kind = 'performance' AND c.model_version = 1;

-- Drawings: two curves a run; a pair of histograms a feature, which say what the view says.
SELECT array_length(regexp_split_to_array(page, '<figcaption>Run '), 1) - 1 = 2 * count(DISTINCT m.run_id) AS curves
FROM page, mnist_metric m WHERE kind = 'full' GROUP BY page;
SELECT mnist_rollback();
SELECT pg_temp.faults(mnist_report('drift'));
SELECT count(d.effect) > 15 AS features,
    array_length(regexp_split_to_array(page, '<polyline class="is"'), 1) - 1 = count(d.effect) AS histograms,
    bool_and(page ~ (replace(d.feature, '_', ' ') || '</b>[^<]*(<span class="flag">[^<]*</span>)?<br/>[^<]*PSI '
        || round(d.effect::numeric, 2)))
        FILTER (WHERE d.effect IS NOT NULL) AS effects
FROM mnist_drift d, (SELECT page FROM mnist_report_log ORDER BY id DESC LIMIT 1) AS l GROUP BY page;

-- Bins of equal width from bins of any: what lies between is shared out, a single value stays whole, the rest goes
-- outermost.
SELECT mnist_internal.rebin('{0,1,2}', '{1,4,2,3}', 0, 2, 4);
SELECT mnist_internal.rebin('{5,5.0000001,6}', '{0,7,0,1}', 5, 6, 2);

-- An image that cannot be read, which somebody put there by hand, costs that image only.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
    VALUES ('no picture', 4, 0.01, '{}', 1);
SELECT pg_temp.faults(mnist_report('performance'));
SELECT page LIKE '%no image</span>%' AS placeholder FROM mnist_report('performance') AS page;

-- The last ten are kept, word for word.
SELECT count(mnist_report('quality')) FROM generate_series(1, 12);
SELECT count(*), max(id) - min(id) AS span, bool_and(kind = 'quality') AS newest, count(DISTINCT requested_by) AS by
FROM mnist_report_log;
SELECT md5(mnist_report()) AS made \gset
SELECT md5(page) = :'made' AS same FROM mnist_report_log ORDER BY id DESC LIMIT 1;
SELECT id - min(id) OVER () AS nth, kind FROM mnist_report_log ORDER BY id;
BEGIN;
SELECT length(mnist_report()) > 1000 AS made;
ROLLBACK;
SELECT count(*) FROM mnist_report_log;

-- In a read-only transaction, as on a standby, it is returned and not kept.
BEGIN READ ONLY;
SELECT pg_temp.faults(mnist_report());
COMMIT;
SELECT count(*), max(id) - min(id) AS span FROM mnist_report_log;

-- Who may; and what is no kind.
SET ROLE "regress_<img src=x onerror=alert(1)>";
SELECT mnist_report();
RESET ROLE;
GRANT EXECUTE ON FUNCTION mnist_report TO "regress_<img src=x onerror=alert(1)>";
SET ROLE "regress_<img src=x onerror=alert(1)>";
SELECT length(mnist_report('drift')) > 1000 AS allowed;
SELECT page FROM mnist_report_log;
RESET ROLE;
SELECT requested_by, kind FROM mnist_report_log ORDER BY id DESC LIMIT 1;
SELECT mnist_report('everything');
SELECT mnist_report(NULL);

DROP EXTENSION mnist_hil;
DROP ROLE "regress_<img src=x onerror=alert(1)>";
