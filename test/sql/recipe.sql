-- The recipe: what automatic runs do, its history, what is refused, and what mnist_retrain takes from it.
\getenv srcdir PG_ABS_SRCDIR
\i :srcdir/sql/include/extension.sql
CREATE VIEW fields AS
SELECT preset, strategy, architectures, search, trials, epochs, augmentation, datasets, time_budget, run_from,
    run_until, require_approval, prune, report FROM mnist_recipe;

-- A fresh installation has the default.
SELECT * FROM fields \gx
SELECT recipe_id, note, changed_by = current_user AS mine FROM mnist_recipe;
SELECT preset, description, strategy, search, time_budget, run_from, run_until FROM mnist_recipe_preset;

-- Fields that are named change, the others stay; a preset begins anew; reset leaves a choice to setting and strategy.
SELECT mnist_set_recipe(epochs => 2, augmentation => 0.5, time_budget => '10 minutes', note => 'less');
SELECT * FROM fields \gx
SELECT mnist_set_recipe(require_approval => true, reset => '{epochs,augmentation}');
SELECT * FROM fields \gx
SELECT mnist_set_recipe('nightly_search', trials => 9, run_until => '5:30');
SELECT * FROM fields \gx
-- Nothing changes, and so nothing is recorded.
SELECT mnist_set_recipe('nightly_search', trials => 9, run_until => '5:30');
SELECT mnist_set_recipe();
SELECT mnist_set_recipe('fine_tune', prune => false, report => false, note => 'back');
SELECT id, preset, epochs, trials, prune, note, changed_by = current_user AS mine, changed_at <= now() AS past
FROM mnist_recipe_log ORDER BY id;
UPDATE mnist_recipe_log SET epochs = 1;
DELETE FROM mnist_recipe_log;
TRUNCATE mnist_recipe_log;

-- What mnist_retrain refuses, the recipe refuses, and keeps its value.
SELECT mnist_set_recipe('coarse_tune');
SELECT mnist_set_recipe(strategy => 'from_memory');
SELECT mnist_set_recipe(architectures => '{softmax}');
SELECT mnist_set_recipe(strategy => 'from_scratch', architectures => '{softmax,softmax}');
SELECT mnist_set_recipe(epochs => 0);
SELECT mnist_set_recipe(augmentation => -0.1);
SELECT mnist_set_recipe(augmentation => 2.1);
SELECT mnist_set_recipe(augmentation => 'NaN');
SELECT mnist_set_recipe(time_budget => '0.5 seconds');
SELECT mnist_set_recipe(time_budget => '2 years');
SELECT mnist_set_recipe(datasets => '{nowhere}');
SELECT mnist_set_recipe(search => true, trials => 0);
SELECT mnist_set_recipe(run_from => '22:00');
SELECT mnist_set_recipe(run_from => '22:00', run_until => '22:00');
SELECT mnist_set_recipe(reset => '{prune}');
SELECT mnist_set_recipe(reset => '{NULL}');
SELECT recipe_id, epochs FROM mnist_recipe;

-- The hours: of a day, over midnight, none.
SELECT h.run_from, h.run_until, array_agg(to_char(t.at, 'HH24:MI') ORDER BY t.at) AS allowed
FROM (VALUES (time '09:00', time '17:00'), ('22:00', '06:00'), (NULL, NULL)) AS h (run_from, run_until),
    unnest('{00:00,05:59,06:00,09:00,16:59,17:00,22:00,23:59}'::time[]) AS t (at)
WHERE mnist_internal.within_hours(h.run_from, h.run_until, t.at)
GROUP BY 1, 2 ORDER BY 1;

-- A call that names no strategy, architectures or trials follows the recipe; one that does takes nothing from it.
SELECT mnist_import_synthetic('drawn', 600);
SELECT mnist_import_synthetic('more', 300, 2);
-- A live model that every other one is better than.
SELECT mnist_activate(model_version)
FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, learning_rate => 1e-6, seed => 1, promote => false);
SELECT mnist_set_recipe(strategy => 'from_scratch', architectures => '{softmax}', epochs => 2, augmentation => 0.5,
    datasets => '{drawn}', time_budget => '1 hour', require_approval => true);
CREATE VIEW run AS
SELECT recipe_id IS NOT NULL AS follows, strategy, architecture, parameters->>'epochs' AS epochs,
    parameters->>'augmentation' AS augmentation, parameters->>'rotate' AS rotate, datasets, time_budget, shortened
FROM mnist_run ORDER BY id DESC LIMIT 1;
SELECT run_id > 0 AS done FROM mnist_retrain(learning_rate => 1e-3);
SELECT * FROM run;
SELECT verdict LIKE 'awaiting approval%' AS awaits FROM mnist_retrain(epochs => 10, seed => 1);
SELECT run_id > 0 AS done
FROM mnist_retrain(epochs => 1, augmentation => 0, datasets => '{more}', time_budget => '2 hours');
SELECT * FROM run;
SELECT run_id > 0 AS done FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false);
SELECT * FROM run;
SELECT run_id > 0 AS done FROM mnist_retrain(architectures => '{mlp}', epochs => 1, promote => false);
SELECT * FROM run;
-- Neither pruned anything, nor was there a report: not even if the recipe says so, because the calls had arguments.
SELECT mnist_set_recipe(prune => true, report => true) > 0 AS set;
SELECT run_id > 0 AS done FROM mnist_retrain(epochs => 1);
SELECT count(*) AS pruned FROM mnist_model WHERE weights IS NULL;
SELECT count(*) AS reports FROM mnist_report_log;

-- Without arguments it does all that the recipe says.
SET mnist_hil.keep_models = 1;
SELECT run_id > 0 AS done FROM mnist_retrain();
SELECT * FROM run;
SELECT count(*) AS kept_needlessly FROM mnist_model
WHERE weights IS NOT NULL AND version NOT IN (SELECT version FROM mnist_internal.kept_model)
    AND version < (SELECT max(version) FROM mnist_model);
SELECT count(*) > 0 AS pruned FROM mnist_model WHERE weights IS NULL;
SELECT kind, page LIKE '%follow the recipe: train from scratch: softmax, 2 epochs%' AS recipe FROM mnist_report_log;
SELECT kind FROM mnist_event WHERE kind IN ('models_pruned', 'follow_up_failed');
RESET mnist_hil.keep_models;

-- The recipe may require approval where the setting does not, but not the other way round.
SELECT mnist_set_recipe(require_approval => false) > 0 AS set;
SET mnist_hil.require_approval = on;
SELECT verdict LIKE 'awaiting approval%' AS awaits FROM mnist_retrain(epochs => 10, seed => 1);
RESET mnist_hil.require_approval;

-- A failure of what comes after is an event, and the run has succeeded.
SELECT mnist_set_recipe(report => false) > 0 AS set;
CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no pruning today';
END
$$;
SET mnist_hil.keep_models = 0;
CREATE TRIGGER spoil BEFORE UPDATE ON mnist_model FOR EACH STATEMENT EXECUTE FUNCTION spoil();
SELECT run_id FROM mnist_retrain() \gset
SELECT status FROM mnist_run WHERE id = :run_id;
SELECT message = format('pruning after run %s failed: no pruning today', :run_id) AS said, detail->>'error' AS error
FROM mnist_event WHERE kind = 'follow_up_failed';
DROP TRIGGER spoil ON mnist_model;

-- After a run that failed, too, there is a report.
SELECT mnist_set_recipe(architectures => ARRAY['conv 128 3x3 same, relu, conv 128 3x3 same, relu, maxpool 2, dense 10'],
    report => true) > 0 AS set;
SELECT count(*) AS reports FROM mnist_report_log \gset
SET mnist_hil.training_memory = '32MB';
DO $$
BEGIN
    PERFORM mnist_retrain();
EXCEPTION
    WHEN out_of_memory THEN
        RAISE NOTICE 'it failed';
END
$$;
RESET mnist_hil.training_memory;
SELECT r.status, (SELECT count(*) FROM mnist_report_log) - :reports AS reports
FROM mnist_run r ORDER BY id DESC LIMIT 1;
SELECT mnist_set_recipe(architectures => '{softmax}') > 0 AS set;

-- Augmentation that is given is not searched.
SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', trials => 2, trial_images => 256, augmentation => 1.5,
    epochs => 1, promote => false) \gset
SELECT bool_or(parameters ? 'augmentation') AS searched FROM mnist_trial WHERE run_id = :run_id;
SELECT parameters->>'augmentation' AS augmentation, parameters->>'rotate' AS rotate FROM mnist_run WHERE id = :run_id;

-- Labels alone are enough for a run.
SET mnist_hil.fail_threshold = 0;
SET mnist_hil.min_new_labels = 3;
SELECT count(mnist_correct(p.id, p.label)) AS confirmed
FROM mnist_predict_batch(ARRAY(SELECT mnist_draw(i, i, 28) FROM generate_series(0, 2) AS i)) AS p;
SELECT condition, value, threshold, met, explanation FROM mnist_retrain_decision
WHERE condition IN ('new_labels', 'failures');
SELECT retrain_due FROM mnist_status;
-- Not outside the hours of the recipe.
SET TimeZone = 'UTC';
SELECT mnist_set_recipe(epochs => 1, run_from => date_trunc('minute', localtime - interval '2 hours')::time,
    run_until => date_trunc('minute', localtime - interval '1 hour')::time) > 0 AS set;
SELECT retrain, run_id, regexp_replace(reasons[cardinality(reasons)], '\d\d:\d\d', 'HH:MM', 'g') AS why_not
FROM mnist_check();
SELECT mnist_set_recipe(run_from => date_trunc('minute', localtime - interval '1 hour')::time,
    run_until => date_trunc('minute', localtime + interval '1 hour')::time) > 0 AS set;
SELECT count(*) AS reports FROM mnist_report_log \gset
SELECT count(*) FILTER (WHERE weights IS NULL) AS pruned FROM mnist_model \gset
SELECT retrain FROM mnist_check();
-- Its last act is the report.
SELECT set_config('regress.reports', :'reports', false) IS NOT NULL AS set;
DO $$
BEGIN
    FOR i IN 1 .. 1200 LOOP
        EXIT WHEN (SELECT count(*) FROM mnist_report_log) > current_setting('regress.reports')::int;
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
SELECT trigger, status, r.recipe_id = c.recipe_id AS recipe, r.strategy FROM mnist_run r, mnist_recipe c
ORDER BY r.id DESC LIMIT 1;
SELECT count(*) - :reports AS reports FROM mnist_report_log;
SELECT count(*) FILTER (WHERE weights IS NULL) > :pruned AS pruned FROM mnist_model;

DROP VIEW fields, run;
DROP EXTENSION mnist_hil CASCADE;
DROP FUNCTION spoil;
