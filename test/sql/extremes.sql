-- also: not preloaded
-- Every C function with every kind of argument at its extremes: an answer, or an error that says what is wrong.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
-- What does not come to an end fails this test.
SET statement_timeout = '120s';

-- 20 MB, of which some 240 kB are stored.
CREATE TEMP TABLE big AS SELECT decode(repeat('00', 20971520), 'hex') AS bytes, repeat('x', 20971520) AS text;

---------------------------------------------------------------- the functions, and arguments that they take

-- A function that is not here fails the test: add it, with arguments that are nothing special.
CREATE TEMP TABLE usual (function text PRIMARY KEY, arguments text[]);
INSERT INTO usual
SELECT split_part(line, ': ', 1), string_to_array(split_part(line, ': ', 2), '; ')
FROM regexp_split_to_table($list$
mnist_ascii: mnist_draw(3)
mnist_classify: mnist_draw(3)
mnist_draw: 3; 1; 28
mnist_explain: mnist_draw(3); 3
mnist_explanation: mnist_draw(3); 3
mnist_export: 1; 'onnx'
mnist_features: mnist_draw(3)
mnist_internal.mcnemar_exact: 3; 5
mnist_mcnemar: 3; 5
mnist_png: mnist_internal.synthetic(3, 1); 2
mnist_predict: mnist_draw(3)
mnist_predict_batch: ARRAY[mnist_draw(3)]
mnist_preprocess: mnist_draw(3)
mnist_probabilities: mnist_draw(3)
mnist_reproduce: 1
mnist_retrain: 'from_scratch'; '{softmax}'; 1; 1; true; NULL; 0.01; 128; true; 3; true; NULL; 1; 1000; 1; '1 hour'
mnist_schedule: '* * * * *'
mnist_schedule_report: '* * * * *'; 'full'
mnist_internal.challenge_point: 1
mnist_internal.check_recipe: 'from_scratch'; '{softmax}'; true; 3; 1; 1; NULL; '1 hour'
mnist_internal.describe: '\x00'
mnist_internal.features: mnist_draw(3); 1
mnist_internal.histogram_add: internal_in(NULL); '{1}'; '{{1}}'
mnist_internal.histogram_counts: internal_in(NULL)
mnist_internal.labels_unbiased: 10; 3; 4; 1; 90; 50
mnist_internal.load: 1
mnist_internal.pixels: mnist_draw(3)
mnist_internal.probation_judge: '{1,0}'; '{t,t}'; '{3,0}'; '{3,4}'; '{4,4}'; '{1,1}'; '{1,1}'; 500; 5000; false
mnist_internal.readable_pixels: mnist_draw(3)
mnist_internal.process_alive: 1; now()
mnist_internal.quantile_edges: '{1,2,3,4}'; 2
mnist_internal.read_idx: '\x0000080300000001'; '\x00000801'
mnist_internal.read_safetensors: '\x00'; 'softmax'
mnist_internal.retrain_by_check: '{new labels}'; 1; 0
mnist_internal.sequential_evidence: 3; 5; 0.5
mnist_internal.synthetic: 3; 1
mnist_internal.two_sample: 'flag'; '{1,2}'; '{3,4}'
$list$, '\n') AS line
WHERE line <> '';

CREATE TEMP VIEW c_function AS
SELECT p.oid, CASE WHEN n.nspname = 'mnist_internal' THEN 'mnist_internal.' ELSE '' END || p.proname AS name,
    p.proargtypes, p.proargnames, p.pronargs
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass
JOIN pg_extension e ON e.oid = d.refobjid
WHERE l.lanname = 'c' AND e.extname = 'mnist_hil';
SELECT coalesce(c.name, u.function) AS only_in_one, c.name IS NULL AS gone, u.function IS NULL AS missing_above
FROM c_function c FULL JOIN usual u ON u.function = c.name AND cardinality(u.arguments) = c.pronargs
WHERE c.pronargs IS DISTINCT FROM 0 AND (c.name IS NULL OR u.function IS NULL);

---------------------------------------------------------------- extreme values of each type

CREATE TEMP TABLE extreme (type regtype, value text);
INSERT INTO extreme
SELECT split_part(line, ': ', 1)::regtype, unnest(string_to_array(split_part(line, ': ', 2), '; '))
FROM regexp_split_to_table($list$
int: NULL; -2147483648; -1; 0; 1; 2147483647
bigint: NULL; -9223372036854775808; -1; 0; 2147483648; 9007199254740993; 9223372036854775807
real: NULL; 'NaN'; 'Infinity'; '-Infinity'; -1; 0; 1e-45; 3.4e38
double precision: NULL; 'NaN'; 'Infinity'; '-Infinity'; -1; 0; 1e-320; 1.7e308
boolean: NULL; true; false
timestamptz: NULL; 'infinity'; '-infinity'; '4714-11-24 00:00:00+00 BC'
interval: NULL; '0'; '-1 microsecond'; '178000000 years'; '-178000000 years'; '1 month -1 day'
internal: internal_in(NULL)
text: NULL; ''; '%s%n'; (SELECT text FROM big)
bytea: NULL; ''; '\x00'; '\x89504e470d0a1a0a'; (SELECT bytes FROM big)
bytea[]: NULL; '{}'; '{NULL}'; '{{NULL,NULL},{NULL,NULL}}'; '[5:6]={NULL,NULL}'
bytea[]: array_fill(NULL::bytea, ARRAY[100000]); ARRAY[(SELECT bytes FROM big)]
text[]: NULL; '{}'; '{NULL}'; '{{a,b},{c,d}}'; '[-3:-2]={a,b}'
text[]: array_fill('a'::text, ARRAY[100000]); ARRAY[(SELECT text FROM big)]
boolean[]: NULL; '{}'; '{NULL}'; '{{t,f},{f,t}}'; array_fill(true, ARRAY[2000000])
smallint[]: NULL; '{}'; '{NULL}'; '{-32768,32767}'; '{{1,2},{3,4}}'; array_fill(1::smallint, ARRAY[2000000])
int[]: NULL; '{}'; '{NULL}'; '{-2147483648,2147483647}'; '{{1,2},{3,4}}'; array_fill(1, ARRAY[2000000])
real[]: NULL; '{}'; '{NULL}'; '{NaN,Infinity,-Infinity,0,-1,3.4e38}'; '{{1,2},{3,4}}'; '[5:6]={1,2}'
real[]: array_fill(0::real, ARRAY[2000000])
bigint[]: NULL; '{}'; '{NULL}'; '{-1}'; '{9223372036854775807,9223372036854775807}'; '{{1,2},{3,4}}'; '[5:6]={1,2}'
bigint[]: array_fill(1::bigint, ARRAY[100000])
$list$, '\n') AS line
WHERE line <> '';
SELECT DISTINCT format_type(t, NULL) AS type_without_values FROM c_function c, unnest(c.proargtypes) AS t
WHERE t NOT IN (SELECT type FROM extreme);

---------------------------------------------------------------- each of them in the place of each argument

CREATE FUNCTION pg_temp.outcome(statement text, OUT state text, OUT message text, OUT helped boolean)
    LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    state := 'answer';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    state := SQLSTATE;
    helped := detail <> '' OR hint <> '';
END
$$;
CREATE FUNCTION pg_temp.argument(value text, type oid) RETURNS text LANGUAGE sql
RETURN format('(%s)::%s', value, format_type(type, NULL));
CREATE TEMP TABLE made AS
SELECT c.name, coalesce(c.proargnames[place], place::text) AS argument, e.value, o.*
FROM c_function c
JOIN usual u ON u.function = c.name,
    generate_series(1, c.pronargs) AS place
JOIN extreme e ON true,
    pg_temp.outcome(format('SELECT count(*) FROM %s(%s)', c.name, (
        SELECT string_agg(pg_temp.argument(CASE WHEN n = place THEN e.value ELSE u.arguments[n] END,
            c.proargtypes[n - 1]), ', ' ORDER BY n)
        FROM generate_series(1, c.pronargs::int) AS n))) AS o
WHERE e.type = c.proargtypes[place - 1]
    -- What pg_cron makes of a schedule depends on whether it is there.
    AND NOT (c.name LIKE 'mnist\_schedule%' AND u.arguments[place] ~ '\*' AND e.value = $$'%s%n'$$);
SELECT count(*) > 300 AS many, count(*) FILTER (WHERE state = 'answer') > 100 AS answers,
    count(*) FILTER (WHERE state ~ '^(XX|58|57)') AS internal_errors, max(length(message)) < 300 AS short_messages
FROM made;
SELECT name, argument, left(value, 40) AS value, state, message FROM made WHERE state ~ '^(XX|58|57)';
-- All errors there are, and where; but for the server's own about values of type internal, whose wording varies.
\pset format unaligned
SELECT state, message,
    string_agg(DISTINCT name || '(' || argument || ')', ', ' ORDER BY name || '(' || argument || ')') AS of
FROM made WHERE state <> 'answer' AND message !~ 'type "?internal' GROUP BY state, message ORDER BY state, message;
\pset format aligned
-- What exceeds a limit says which.
SELECT DISTINCT name, message FROM made WHERE state = '54000' AND NOT helped;

-- What is too large is refused before it is read: not one block of the table that it is stored in.
CREATE FUNCTION pg_temp.blocks_read(statement text, OUT state text, OUT blocks bigint) LANGUAGE plpgsql AS $$
DECLARE
    toast oid := (SELECT reltoastrelid FROM pg_class WHERE oid = 'pg_temp.big'::regclass);
BEGIN
    blocks := pg_stat_get_xact_blocks_fetched(toast);
    state := (pg_temp.outcome(statement)).state;
    blocks := pg_stat_get_xact_blocks_fetched(toast) - blocks;
END
$$;
SELECT (pg_temp.blocks_read('SELECT length(bytes || ''\x00'') FROM big')).blocks > 0 AS counts;
SELECT r.state, r.blocks, count(*) AS arguments
FROM c_function c
JOIN usual u ON u.function = c.name,
    generate_series(1, c.pronargs) AS place
JOIN extreme e ON e.value LIKE '(SELECT % FROM big)',
    pg_temp.blocks_read(format('SELECT count(*) FROM %s(%s)', c.name, (
        SELECT string_agg(pg_temp.argument(CASE WHEN n = place THEN e.value ELSE u.arguments[n] END,
            c.proargtypes[n - 1]), ', ' ORDER BY n)
        FROM generate_series(1, c.pronargs::int) AS n))) AS r
WHERE e.type = c.proargtypes[place - 1] AND c.name NOT IN ('mnist_internal.read_idx', 'mnist_internal.features',
        'mnist_internal.pixels', 'mnist_internal.readable_pixels')
GROUP BY r.state, r.blocks ORDER BY r.state, r.blocks;

---------------------------------------------------------------- several at once

-- Counts of any size.
SELECT kind, a, b, test, round(statistic::numeric, 6) AS statistic, round(p_value::numeric, 6) AS p_value,
    round(effect::numeric, 6) AS effect, round(shift::numeric, 6) AS shift
FROM (VALUES ('flag'), ('category'), ('continuous')) AS k (kind),
    (VALUES
        ('{9223372036854775807,9223372036854775807}'::bigint[], '{9223372036854775807,9223372036854775807}'::bigint[]),
        ('{9223372036854775807,1}', '{9223372036854775807,2}'),
        ('{9007199254740993,9007199254740993}', '{9007199254740993,9223372036854775807}'),
        ('{0,0}', '{9223372036854775807,1}')) AS c (a, b),
    mnist_internal.two_sample(kind, a, b)
ORDER BY kind, a, b;
SELECT count(*) AS bins
FROM mnist_internal.two_sample('continuous', array_fill(1::bigint, ARRAY[2003]),
    array_fill(9223372036854775807, ARRAY[2003]));
SELECT a, b, mnist_mcnemar(a, b) FROM (VALUES (9223372036854775807, 9223372036854775807), (9223372036854775807, 0),
    (9223372036854775807, 9223372036854775806), (4611686018427387904, 4611686020427387904)) AS c (a, b);

-- Runs that there are not.
SELECT run, o.state, o.message FROM (VALUES (0), (-1), (9223372036854775807)) AS r (run),
    pg_temp.outcome(format('SELECT mnist_retrain(resume_run => %s)', run)) AS o;

-- Edges of samples that are nothing but extremes.
SELECT bins, mnist_internal.quantile_edges(sample, bins) FROM (VALUES (2), (1000)) AS b (bins),
    (VALUES ('{NaN,Infinity,-Infinity}'::real[]), ('{-3.4028235e38,3.4028235e38}'), ('{0,-0,1e-45}')) AS s (sample);
SELECT * FROM pg_temp.outcome($$SELECT mnist_internal.quantile_edges('{1}', 1001)$$);

-- The aggregate: features of any value, edges of any shape; its functions want its state, and no other's.
SELECT mnist_internal.histogram(f, '{{0,1,Infinity},{NaN,NaN,NaN}}')
FROM (VALUES ('{NaN,NaN}'::real[]), ('{Infinity,0}'), ('{-Infinity}'), ('{}'), (NULL), ('{0.5,0,1,2,3}')) AS v (f);
SELECT mnist_internal.histogram('{1}', NULL) IS NULL AS without_edges, mnist_internal.histogram(NULL, '{}') AS no_edges;
SELECT * FROM pg_temp.outcome($$SELECT mnist_internal.histogram('{1}', '{1,2}')$$);
SELECT * FROM pg_temp.outcome($$SELECT mnist_internal.histogram('{1}', array_fill(1::real, ARRAY[1001, 1]))$$);
SELECT * FROM pg_temp.outcome($$SELECT mnist_internal.histogram('{1}', array_fill(1::real, ARRAY[1, 2003]))$$);
CREATE AGGREGATE pg_temp.mixed (text, text) (SFUNC = string_agg_transfn, STYPE = internal,
    FINALFUNC = mnist_internal.histogram_counts);
SELECT * FROM pg_temp.outcome($$SELECT pg_temp.mixed(repeat('x', 100), ',')$$);

SET client_min_messages = warning;
DROP EXTENSION mnist_hil CASCADE;
