-- also: not preloaded
-- mnist_erase: what it removes of a person and of an image, what it keeps and says so, what is derived from the rest.
-- That no byte is left in a dump is in test/t/erase.pl.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
CREATE ROLE regress_ann;
CREATE ROLE regress_annabel;
CREATE ROLE regress_bob;
GRANT EXECUTE ON FUNCTION mnist_correct, mnist_activate TO regress_ann, regress_annabel, regress_bob;

-- Six predictions; ann labels the first four, annabel and bob some of them.  A model learns from ann's first label,
-- another
-- one is compared with the second, one comes from the model that learnt, one from that, one was pruned.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
SELECT mnist_draw(i, i, 28), 1, 0.9, '{0.9}', 1 FROM generate_series(1, 6) AS i;
INSERT INTO mnist_shadow SELECT id, 1, 1, 2, 0.5 FROM mnist_prediction WHERE id <= 3;
SET ROLE regress_ann;
SELECT mnist_correct(id, 7) FROM generate_series(1, 4) AS id;
SELECT mnist_correct(4, 8);
SET ROLE regress_annabel;
SELECT mnist_correct(id, 5) FROM generate_series(2, 5) AS id;
SET ROLE regress_bob;
SELECT mnist_correct(id, 5) FROM generate_series(3, 3) AS id;
RESET ROLE;
INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at, verdict,
    reasons)
SELECT 'succeeded', 'fine_tune', 'default', 1, '{}', CASE i WHEN 3 THEN 'regress_ann' ELSE 'bob' END, 1, now(),
    'said regress_annabel', '{}' FROM generate_series(1, 4) AS i;
INSERT INTO mnist_internal.snapshot (id, newest, added) VALUES (1, 6, '{[3,4),[6,7)}'), (2, 6, '{[1,3)}'),
    (4, 8, '{[8,9)}');
INSERT INTO mnist_internal.run_snapshot VALUES (1, 1), (2, 2), (4, 4);
INSERT INTO mnist_internal.snapshot_exception (feedback_id, first_snapshot, next_snapshot, weight, reason)
VALUES (1, 2, 4, 0, 'outvoted'), (1, 4, NULL, 0, 'replaced'), (2, 2, 4, 0, 'tie'), (2, 4, NULL, 0, 'replaced'),
    (3, 2, NULL, 0, 'replaced'), (6, 2, NULL, 0, 'replaced');
INSERT INTO mnist_model (version, parent_version, run_id, architecture, network, parameters, weights, weights_sha256)
SELECT v.version, v.parent, v.run, architecture, network, parameters, CASE WHEN v.version <> 6 THEN weights END,
    weights_sha256
FROM mnist_model, (VALUES (2, 1, 1), (3, 1, 2), (4, 2, 3), (5, 4, NULL), (6, 2, NULL), (7, NULL, 4)) AS v (version,
    parent, run);
SELECT mnist_activate(2, 'regress_ann likes it');
SET ROLE regress_ann;
SELECT mnist_activate(3);
RESET ROLE;
SELECT mnist_report() <> '' AS reported;
SELECT mnist_report('drift') <> '' AS reported;
SELECT kind, count(*) FROM mnist_report_log GROUP BY 1 ORDER BY 1;
SELECT kind, message FROM mnist_event ORDER BY id;

-- Who may, and what not.
SELECT outcome('SELECT mnist_erase()');
SELECT outcome('SELECT mnist_erase(NULL, NULL)');
SET ROLE regress_bob;
SELECT outcome('SELECT mnist_erase(''regress_ann'')');
RESET ROLE;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT outcome('SELECT mnist_erase(''regress_ann'')');
ROLLBACK;

-- Nobody and nothing that there is: zeros, as where it was erased before.
SELECT * FROM mnist_erase('regress', '{99,NULL}');
SELECT sum(removed) AS removed, sum(kept) AS kept FROM mnist_erase(predictions => '{}');
SELECT count(*) AS feedback, (SELECT count(*) FROM mnist_prediction) AS predictions FROM mnist_feedback;

-- A person: the labels of ann go, and the reports and events that name ann; annabel, whose name begins the same, stays.
SELECT * FROM mnist_erase('regress_ann');
SELECT id, prediction_id, label, annotator FROM mnist_feedback ORDER BY id;
SELECT prediction_id, label, votes, annotators, new, feedback_ids FROM mnist_label ORDER BY prediction_id;
SELECT label, failures, corrected FROM mnist_failure_counts WHERE corrected > 0;
SELECT run_id, feedback_id FROM mnist_run_feedback ORDER BY 1, 2;
SELECT count(*) AS predictions, (SELECT count(*) FROM mnist_shadow) AS shadows FROM mnist_prediction;
SELECT kind, count(*) FROM mnist_report_log GROUP BY 1 ORDER BY 1;
SELECT kind, message, detail - 'erased_by' AS detail, detail ->> 'erased_by' = current_user AS by_me FROM mnist_event
ORDER BY id;
SELECT sum(removed) AS once_more FROM mnist_erase('regress_ann');

-- Images: the prediction, all its labels, and the reports that show it or an equal one.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
SELECT image, 1, 0.1, '{0.1}', 1 FROM mnist_prediction WHERE id = 3;
DELETE FROM mnist_report_log;
SELECT mnist_report('performance') <> '' AS reported;
SELECT mnist_report('drift') <> '' AS reported;
UPDATE mnist_report_log SET page = regexp_replace(page, 'src="[^"]*"', '', 'g');
SELECT what, removed FROM mnist_erase(predictions => '{6}') WHERE removed > 0;
SELECT kind FROM mnist_report_log;
SELECT mnist_report('performance') <> '' AS reported;
UPDATE mnist_report_log SET page = replace(replace(page, 'no. 3<', 'no. 33<'), 'prediction 3:', 'prediction 33:');
SELECT * FROM mnist_erase(predictions => '{3,3}');
SELECT id, prediction_id, label, annotator FROM mnist_feedback ORDER BY id;
SELECT prediction_id, label, votes FROM mnist_label ORDER BY prediction_id;
SELECT id FROM mnist_prediction ORDER BY id;
SELECT prediction_id FROM mnist_shadow ORDER BY 1;

-- Both: the one and the other.
SELECT what, removed FROM mnist_erase('regress_annabel', '{1}') WHERE removed > 0;
SELECT count(*) AS feedback, (SELECT count(*) FROM mnist_label) AS labels FROM mnist_feedback;

-- Names of all kinds are found in text, HTML and JSON, as a word and not within one.
CREATE FUNCTION noted(name text) RETURNS TABLE (in_text bigint, in_json bigint, in_other bigint, in_html bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM mnist_event;
    DELETE FROM mnist_report_log;
    PERFORM mnist_internal.event('said', format('so said %s, and went', name));
    PERFORM mnist_internal.event('told', 'x', jsonb_build_object('by', ARRAY[name]));
    PERFORM mnist_internal.event('other', format('x%sx', name), jsonb_build_object('name', name || 'y'));
    INSERT INTO mnist_report_log (kind, requested_by, page)
        VALUES ('full', 'x', '<p>' || mnist_internal.html(name) || '</p>');
    PERFORM mnist_erase(name);
    RETURN QUERY SELECT count(*) FILTER (WHERE kind = 'said'), count(*) FILTER (WHERE kind = 'told'),
        count(*) FILTER (WHERE kind = 'other'), (SELECT count(*) FROM mnist_report_log) FROM mnist_event;
END
$$;
SELECT name, n.* FROM unnest(ARRAY['ann', 'Ann O''Neill', '"ann" <b>', 'a.n*', 'a\n', '_ann', '[x', '日本']) AS name,
    noted(name) AS n;

-- A role that may call it needs no right on the tables.
CREATE ROLE regress_officer;
GRANT EXECUTE ON FUNCTION mnist_erase TO regress_officer;
SET ROLE regress_officer;
SELECT what, removed FROM mnist_erase(predictions => '{2}') WHERE removed > 0;
RESET ROLE;
SELECT message, detail FROM mnist_event WHERE kind = 'data_erased';

-- No image among the planner's samples.
INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
SELECT '\x00', 1, 0.1, '{0.1}', 1 FROM generate_series(1, 100);
ANALYZE mnist_prediction;
SELECT count(*) AS samples FROM pg_stats WHERE tablename = 'mnist_prediction' AND attname = 'image';

DROP EXTENSION mnist_hil;
DROP FUNCTION outcome, noted;
DROP ROLE regress_ann, regress_annabel, regress_bob, regress_officer;
