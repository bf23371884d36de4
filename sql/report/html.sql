/*
 * Reports, 2: the elements of a page, the charts, and the page.
 *
 * A report is one self-contained HTML page: it contains its style sheet (report.css) and its charts, images are data:
 * URIs, and there is no script.  Every text from a table goes through mnist_internal.html; the other functions here
 * take and return HTML.  Charts are SVG with fixed coordinates that scales with its frame; colours are variables of
 * the style sheet, so that they follow light and dark mode.
 */

CREATE OR REPLACE FUNCTION mnist_internal.html(plain text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT replace(replace(replace(replace(replace(plain,
        '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
END;
COMMENT ON FUNCTION mnist_internal.html(text) IS
    'plain text as HTML, inside an element or a quoted attribute; internal';

CREATE OR REPLACE FUNCTION mnist_internal.percent(share float8, digits int DEFAULT 1) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT round((100 * share)::numeric, digits) || '&#160;%';
END;
COMMENT ON FUNCTION mnist_internal.percent(float8, int) IS 'a fraction of 0 .. 1 in percent, as HTML; internal';

CREATE OR REPLACE FUNCTION mnist_internal.count(n bigint) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT ltrim(to_char(n, 'FM999,999,999,999,999,990'));
END;
COMMENT ON FUNCTION mnist_internal.count(bigint) IS 'a number with separated thousands; internal';

CREATE OR REPLACE FUNCTION mnist_internal.time(t timestamptz) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT format('<time datetime="%s">%s</time>', to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        to_char(t, 'YYYY-MM-DD HH24:MI'));
END;
COMMENT ON FUNCTION mnist_internal.time(timestamptz) IS 'a time of the session''s time zone as HTML; internal';

CREATE OR REPLACE FUNCTION mnist_internal.duration(seconds float8) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN seconds < 60 THEN round(seconds::numeric, 1) || '&#160;s'
        WHEN seconds < 5400 THEN round((seconds / 60)::numeric) || '&#160;min'
        WHEN seconds < 129600 THEN round((seconds / 3600)::numeric) || '&#160;h'
        ELSE round((seconds / 86400)::numeric) || '&#160;days' END;
END;
COMMENT ON FUNCTION mnist_internal.duration(float8) IS 'seconds in a suitable unit, as HTML; internal';

---------------------------------------------------------------- elements

-- Cells with numbers are aligned right; cells with much text keep a minimum width.
CREATE OR REPLACE FUNCTION mnist_internal.row(VARIADIC cells text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<tr>' || string_agg(
        CASE WHEN c.cell ~ '^([-+.,0-9 %/]|&#160;|&lt;)+(s|min|h|days)?$' THEN '<td class="n">'
            WHEN length(c.cell) > 40 AND c.cell !~ '^<' THEN '<td class="t">' ELSE '<td>' END
            || coalesce(c.cell, '<span class="none">&#8211;</span>') || '</td>', '' ORDER BY c.place) || E'</tr>\n'
    FROM unnest(cells) WITH ORDINALITY AS c (cell, place);
END;
COMMENT ON FUNCTION mnist_internal.row(text[]) IS 'a row of a table, of cells in HTML; NULL: a dash; internal';

CREATE OR REPLACE FUNCTION mnist_internal.table(head text[], body text, empty text DEFAULT 'None yet.') RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN body IS NULL THEN '<p class="empty">' || empty || E'</p>\n'
        ELSE '<div class="wide"><table><thead><tr>'
            || (SELECT string_agg('<th scope="col">' || h.cell || '</th>', '' ORDER BY h.place)
                FROM unnest(head) WITH ORDINALITY AS h (cell, place))
            || E'</tr></thead>\n<tbody>\n' || body || E'</tbody></table></div>\n' END;
END;
COMMENT ON FUNCTION mnist_internal.table(text[], text, text) IS
    'a table of rows from mnist_internal.row; without any, the text empty; internal';

CREATE OR REPLACE FUNCTION mnist_internal.tile(name text, value text, note text DEFAULT NULL, mood text DEFAULT NULL)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT format(E'<div class="tile%s"><b>%s</b><strong>%s</strong><small>%s</small></div>\n', ' ' || mood, name,
        coalesce(value, '&#8211;'), note);
END;
COMMENT ON FUNCTION mnist_internal.tile(text, text, text, text) IS
    'a figure on a tile, with a note; mood: good, bad or NULL; internal';

CREATE OR REPLACE FUNCTION mnist_internal.section(id text, title text, body text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT format(E'<section id="%s">\n<h2>%s</h2>\n%s</section>\n', id, title, body);
END;
COMMENT ON FUNCTION mnist_internal.section(text, text, text) IS 'a section of a page; internal';

CREATE OR REPLACE FUNCTION mnist_internal.figure(content text, caption text, class text DEFAULT NULL) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT format(E'<figure%s>%s<figcaption>%s</figcaption></figure>\n', ' class="' || class || '"', content, caption);
END;
COMMENT ON FUNCTION mnist_internal.figure(text, text, text) IS 'a chart or image with its caption; internal';

CREATE OR REPLACE FUNCTION mnist_internal.heading(title text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<h3>' || title || '</h3>';
END;
COMMENT ON FUNCTION mnist_internal.heading(text) IS 'a heading within a section; internal';

CREATE OR REPLACE FUNCTION mnist_internal.block(class text, body text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT format('<div class="%s">%s</div>', class, body);
END;
COMMENT ON FUNCTION mnist_internal.block(text, text) IS
    'a group of tiles, charts or images: class is its style in report.css; internal';

CREATE OR REPLACE FUNCTION mnist_internal.note(body text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p class="soft">' || body || '</p>';
END;
COMMENT ON FUNCTION mnist_internal.note(text) IS 'a remark in small print; internal';

CREATE OR REPLACE FUNCTION mnist_internal.flag(words text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<span class="flag">&#9650; ' || words || '</span>';
END;
COMMENT ON FUNCTION mnist_internal.flag(text) IS 'a mark that something needs attention; internal';

CREATE OR REPLACE FUNCTION mnist_internal.in_order(words text DEFAULT '') RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT rtrim('<span class="ok">&#10003; ' || words) || '</span>';
END;
COMMENT ON FUNCTION mnist_internal.in_order(text) IS 'a mark that all is well; internal';

-- keys: the styles of lines or areas in report.css; names: what they stand for.
CREATE OR REPLACE FUNCTION mnist_internal.legend(element text, keys text[], names text[]) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT format('<%1$s class="legend">%2$s</%1$s>', element,
        string_agg(format('<span><span class="key %s"></span>%s</span>', k.key, k.name), '' ORDER BY k.place))
    FROM unnest(keys, names) WITH ORDINALITY AS k (key, name, place);
END;
COMMENT ON FUNCTION mnist_internal.legend(text, text[], text[]) IS
    'the legend of a chart, as an element of this name; internal';

CREATE OR REPLACE FUNCTION mnist_internal.interval(share float8, low float8, high float8) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT format('<span class="interval">%s <small>%s to %s</small></span>', mnist_internal.percent(share),
        round((100 * low)::numeric, 1), round((100 * high)::numeric, 1));
END;
COMMENT ON FUNCTION mnist_internal.interval(float8, float8, float8) IS
    'a fraction with its confidence interval, as HTML; internal';

-- The shade of a cell shows its fraction of the row.
CREATE OR REPLACE FUNCTION mnist_internal.matrix(counts bigint[]) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    WITH cell AS (
        SELECT l AS label, p AS predicted, counts[10 * l + p + 1] AS count,
            counts[10 * l + p + 1]::float8 / greatest(sum(counts[10 * l + p + 1]) OVER (PARTITION BY l), 1) AS fraction
        FROM generate_series(0, 9) AS l, generate_series(0, 9) AS p
    )
    SELECT '<div class="wide"><table class="confusion"><thead><tr><th scope="col">is</th>'
        || (SELECT string_agg(format('<th scope="col">%s</th>', d), '' ORDER BY d) FROM generate_series(0, 9) AS d)
        || E'</tr></thead><tbody>\n'
        || string_agg(r.row, '' ORDER BY r.label) || E'</tbody></table></div>\n'
    FROM (
        SELECT c.label, format('<tr><th scope="row">%s</th>', c.label) || string_agg(
            CASE WHEN c.count = 0 THEN '<td></td>'
                ELSE format('<td class="%s" style="--x:%s" title="%s of the %ss predicted as %s">%s</td>',
                    CASE WHEN c.label = c.predicted THEN 'right' ELSE 'wrong' END, round(c.fraction::numeric, 3),
                    mnist_internal.percent(c.fraction), c.label, c.predicted, mnist_internal.count(c.count)) END,
            '' ORDER BY c.predicted) || E'</tr>\n' AS row
        FROM cell c
        GROUP BY c.label) r;
END;
COMMENT ON FUNCTION mnist_internal.matrix(bigint[]) IS
    'a confusion matrix as a table, from 100 counts by label and predicted digit; internal';

-- An image that cannot be decoded, which a row inserted by hand may contain, must not prevent the report.
CREATE OR REPLACE FUNCTION mnist_internal.picture(image bytea, alt text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN format('<img width="84" height="84" alt="%s" src="data:image/png;base64,%s"/>', alt,
        translate(encode(@extschema@.mnist_png(mnist_internal.pixels(image), 3), 'base64'), E'\n', ''));
EXCEPTION
    WHEN invalid_binary_representation OR program_limit_exceeded THEN
        RETURN '<span class="none">no image</span>';
END
$$;
COMMENT ON FUNCTION mnist_internal.picture(bytea, text) IS 'an image in MNIST''s form, as HTML; internal';

---------------------------------------------------------------- charts

-- Bars are scaled to the highest count; if there are many, only some are labelled.
CREATE OR REPLACE FUNCTION mnist_internal.bars(labels text[], counts float8[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH bar AS (
        SELECT b.place, b.value, labels[b.place] AS label, cardinality(counts) AS n,
            greatest((SELECT max(c) FROM unnest(counts) AS c), 1e-9) AS most
        FROM unnest(counts) WITH ORDINALITY AS b (value, place)
    )
    SELECT '<svg viewBox="0 0 480 170" role="img">'
        || '<line class="axis" x1="40" y1="145" x2="480" y2="145"/>'
        || format('<text class="end" x="36" y="16">%s</text><text class="end" x="36" y="148">0</text>',
            mnist_internal.count(max(most)::bigint))
        || string_agg(format('<rect class="a" x="%s" y="%s" width="%s" height="%s"><title>%s: %s</title></rect>',
            round((40 + 440.0 * (place - 1) / n + 1)::numeric, 1), round((145 - 133 * value / most)::numeric, 1),
            round(greatest(440.0 / n - 2, 1)::numeric, 1), round((133 * value / most)::numeric, 1), label,
            mnist_internal.count(value::bigint)), '' ORDER BY place)
        || string_agg(format('<text class="mid" x="%s" y="162">%s</text>',
            round((40 + 440.0 * (place - 0.5) / n)::numeric, 1), label), '' ORDER BY place)
            FILTER (WHERE (place - 1) % greatest(1, ceil(n / 12.0)::int) = 0)
        || '</svg>'
    FROM bar;
END;
COMMENT ON FUNCTION mnist_internal.bars(text[], float8[]) IS 'a bar chart of counts; internal';

-- points: all values of the first line, then those of the next; NULL interrupts a line.  band: all lower ends, then all
-- upper ends.
CREATE OR REPLACE FUNCTION mnist_internal.lines(labels text[], points float8[], lines int, low float8, high float8,
    band float8[] DEFAULT NULL, percent boolean DEFAULT true) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH size AS (
        SELECT cardinality(labels) AS n, greatest(high - low, 1e-9) AS span
    ), point AS (
        SELECT (p.place - 1) / s.n AS line, (p.place - 1) % s.n AS step, p.value,
            round((48 + 424.0 * CASE WHEN s.n > 1
                THEN ((p.place - 1) % s.n)::float8 / (s.n - 1) ELSE 0.5 END)::numeric, 1) AS x,
            round((145 - 133 * (greatest(low, least(high, p.value)) - low) / s.span)::numeric, 1) AS y
        FROM unnest(points) WITH ORDINALITY AS p (value, place)
        CROSS JOIN size s
    ), whole AS (
        SELECT p.*, count(*) FILTER (WHERE p.value IS NULL) OVER (PARTITION BY p.line ORDER BY p.step) AS part
        FROM point p
    ), edge AS (
        SELECT (b.place - 1) / s.n AS side, (b.place - 1) % s.n AS step,
            round((48 + 424.0 * CASE WHEN s.n > 1
                THEN ((b.place - 1) % s.n)::float8 / (s.n - 1) ELSE 0.5 END)::numeric, 1) AS x,
            round((145 - 133 * (greatest(low, least(high, b.value)) - low) / s.span)::numeric, 1) AS y
        FROM unnest(band) WITH ORDINALITY AS b (value, place)
        CROSS JOIN size s
        WHERE b.value IS NOT NULL
    )
    SELECT '<svg viewBox="0 0 480 170" role="img">'
        || '<line class="axis" x1="48" y1="145" x2="472" y2="145"/>'
        || '<line class="grid" x1="48" y1="12" x2="472" y2="12"/>'
        || (SELECT string_agg(format('<text class="end" x="44" y="%s">%s</text>', t.y,
                CASE WHEN percent THEN mnist_internal.percent(t.value, CASE WHEN high - low < 0.05 THEN 1 ELSE 0 END)
                    ELSE trim_scale(round(t.value::numeric, 2))::text END), '')
            FROM (VALUES (16, high), (148, low)) AS t (y, value))
        || coalesce((SELECT '<polygon class="band" points="'
                || string_agg(format('%s,%s', e.x, e.y), ' '
                    ORDER BY e.side, CASE e.side WHEN 0 THEN e.step ELSE -e.step END)
                || '"/>'
            FROM edge e), '')
        || coalesce((SELECT string_agg(p.drawn, '')
            FROM (
                SELECT CASE WHEN count(*) > 1
                    THEN format('<polyline class="l%s" points="%s"/>', w.line + 1,
                        string_agg(format('%s,%s', w.x, w.y), ' ' ORDER BY w.step)) END AS drawn
                FROM whole w
                WHERE w.value IS NOT NULL
                GROUP BY w.line, w.part) p), '')
        || coalesce((SELECT string_agg(format(
                '<circle class="l%s" cx="%s" cy="%s" r="%s"><title>%s: %s</title></circle>',
                w.line + 1, w.x, w.y, CASE WHEN s.n > 60 THEN 1 ELSE 3 END, labels[w.step + 1],
                CASE WHEN percent THEN mnist_internal.percent(w.value, 2) ELSE round(w.value::numeric, 4)::text END), ''
                ORDER BY w.line, w.step)
            FROM whole w
            CROSS JOIN size s
            WHERE w.value IS NOT NULL), '')
        || coalesce((SELECT string_agg(format('<text class="mid" x="%s" y="162">%s</text>', p.x, labels[p.step + 1]), ''
                ORDER BY p.step)
            FROM point p
            CROSS JOIN size s
            WHERE p.line = 0 AND p.step % greatest(1, ceil(s.n / 7.0)::int) = 0), '')
        || '</svg>';
END;
COMMENT ON FUNCTION mnist_internal.lines(text[], float8[], int, float8, float8, float8[], boolean) IS
    'a line chart of values over labels between low and high, with a band behind the lines; internal';

-- Each count is spread evenly between its edges.  Counts outside low and high go to the outermost bins.
CREATE OR REPLACE FUNCTION mnist_internal.rebin(edges real[], counts bigint[], low float8, high float8, bins int)
    RETURNS float8[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    WITH piece AS (
        SELECT c.count, greatest(low, least(high, coalesce(edges[c.place - 1], low)::float8)) AS a,
            greatest(low, least(high, coalesce(edges[c.place], high)::float8)) AS b
        FROM unnest(counts) WITH ORDINALITY AS c (count, place)
        WHERE c.count > 0
    ), bin AS (
        SELECT i, low + (high - low) * (i - 1) / bins AS a, low + (high - low) * i / bins AS b
        FROM generate_series(1, bins) AS i
    )
    SELECT array_agg(coalesce(s.count, 0) / greatest((SELECT sum(c) FROM unnest(counts) AS c), 1) ORDER BY bin.i)
    FROM bin
    LEFT JOIN LATERAL (
        SELECT sum(p.count * CASE
            WHEN p.b - p.a > 1e-5 * (high - low)
                THEN greatest(0, least(p.b, bin.b) - greatest(p.a, bin.a)) / (p.b - p.a)
            -- a piece without width: all of it goes into one bin
            WHEN (p.a >= bin.a OR bin.i = 1) AND (p.a < bin.b OR bin.i = bins) THEN 1
            ELSE 0 END) AS count
        FROM piece p) s ON true;
END;
COMMENT ON FUNCTION mnist_internal.rebin(real[], bigint[], float8, float8, int) IS
    'a histogram with any edges, converted to fractions in bins of equal width between low and high; internal';

-- before: the fractions of the reference, drawn as an area; after: those of the window over the same bins, as a line.
CREATE OR REPLACE FUNCTION mnist_internal.histogram_pair(before float8[], after float8[], low text, high text)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH bin AS (
        SELECT b.place, b.was, b.now,
            greatest((SELECT max(v) FROM unnest(before || after) AS v), 1e-9) AS most, cardinality(before) AS n
        FROM unnest(before, after) WITH ORDINALITY AS b (was, now, place)
    )
    SELECT '<svg viewBox="0 0 240 110" role="img">'
        || string_agg(format('<rect class="was" x="%s" y="%s" width="%s" height="%s"/>',
            round((240.0 * (place - 1) / n)::numeric, 1), round((90 - 84 * was / most)::numeric, 1),
            round((240.0 / n + 0.3)::numeric, 1), round((84 * was / most)::numeric, 1)), '' ORDER BY place)
        || coalesce('<polyline class="is" points="0,90 ' || string_agg(format('%s,%s %s,%s',
            round((240.0 * (place - 1) / n)::numeric, 1), round((90 - 84 * now / most)::numeric, 1),
            round((240.0 * place / n)::numeric, 1), round((90 - 84 * now / most)::numeric, 1)), ' ' ORDER BY place)
            || ' 240,90"/>', '')
        || '<line class="axis" x1="0" y1="90" x2="240" y2="90"/>'
        || format('<text x="0" y="106">%s</text><text class="end" x="240" y="106">%s</text></svg>', low, high)
    FROM bin;
END;
COMMENT ON FUNCTION mnist_internal.histogram_pair(float8[], float8[], text, text) IS
    'a chart of two histograms over the same bins, one upon the other; internal';

---------------------------------------------------------------- the page

CREATE OR REPLACE FUNCTION mnist_internal.style() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT $style$
@report.css@
$style$;
END;
COMMENT ON FUNCTION mnist_internal.style() IS 'the style sheet of a report: report.css; internal';

CREATE OR REPLACE FUNCTION mnist_internal.page(title text, head text, body text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT E'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        || E'<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        || '<meta http-equiv="Content-Security-Policy" '
        || E'content="default-src ''none''; img-src data:; style-src ''unsafe-inline''"/>\n'
        || format(E'<title>%s</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n', title, mnist_internal.style())
        || head || body || E'</main>\n</body>\n</html>\n';
END;
COMMENT ON FUNCTION mnist_internal.page(text, text, text) IS
    'a whole page; its content security policy forbids scripts and external resources; internal';
