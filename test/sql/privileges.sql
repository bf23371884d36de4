-- Who may do what: four roles with the grants that the README shows, and what each of them can and cannot do.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS mnist_hil CASCADE;
RESET client_min_messages;
CREATE SCHEMA digits;
CREATE EXTENSION mnist_hil SCHEMA digits;
SET search_path = digits, public;

-- The README's grants, word for word but for the names of the roles.
CREATE ROLE regress_application;
CREATE ROLE regress_annotator;
CREATE ROLE regress_trainer;
CREATE ROLE regress_observer;
CREATE ROLE regress_nobody;
GRANT USAGE ON SCHEMA digits TO regress_application, regress_annotator, regress_trainer, regress_observer,
    regress_nobody;

GRANT EXECUTE ON FUNCTION mnist_predict, mnist_predict_batch TO regress_application;
GRANT EXECUTE ON FUNCTION mnist_correct TO regress_annotator;
GRANT EXECUTE ON FUNCTION mnist_retrain, mnist_activate, mnist_rollback, mnist_import_idx, mnist_import_images,
    mnist_import_synthetic, mnist_drop_dataset, mnist_export, mnist_import, mnist_challenge, mnist_challenge_promote,
    mnist_challenge_drop TO regress_trainer;
GRANT SELECT ON mnist_status, mnist_live, mnist_failure_counts, mnist_confusion,
    mnist_training_progress TO regress_observer;
GRANT SELECT ON mnist_challenge_now, mnist_challenge_result TO regress_observer;
GRANT SELECT ON mnist_metrics TO regress_observer;
GRANT SELECT ON mnist_feature, mnist_drift, mnist_drift_share, mnist_data_quality, mnist_annotator_agreement,
    mnist_model_performance, mnist_class_performance, mnist_accuracy_daily, mnist_calibration,
    mnist_model_confusion TO regress_observer;
GRANT EXECUTE ON FUNCTION mnist_drift_rebase TO regress_trainer;
GRANT EXECUTE ON PROCEDURE mnist_housekeep TO regress_trainer;
GRANT EXECUTE ON FUNCTION mnist_metrics_text, mnist_report TO regress_observer;

SELECT mnist_import_synthetic('base', 70) IS NOT NULL AS imported;
SELECT r.id IS NOT NULL AS stored FROM mnist_predict(mnist_draw(3)) AS r;
INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256)
SELECT 2, architecture, network, parameters, weights, weights_sha256 FROM mnist_model;

-- What each of them can do.  Calls are made, and undone; yes: done, -: 42501 insufficient_privilege, else the SQLSTATE.
CREATE FUNCTION public.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION SQLSTATE 'UNDOX';
EXCEPTION
    WHEN SQLSTATE 'UNDOX' THEN
        RETURN 'yes';
    WHEN insufficient_privilege THEN
        RETURN '-';
    WHEN OTHERS THEN
        RETURN SQLSTATE;
END
$$;
CREATE TABLE public.act (n serial, what text, statement text);
INSERT INTO public.act (what, statement) VALUES
    ('predict', 'SELECT mnist_predict(mnist_draw(1))'),
    ('predict_batch', 'SELECT mnist_predict_batch(ARRAY[mnist_draw(1)])'),
    ('classify', 'SELECT mnist_classify(mnist_draw(1))'),
    ('probabilities', 'SELECT mnist_probabilities(mnist_draw(1))'),
    ('preprocess', 'SELECT mnist_preprocess(mnist_draw(1))'),
    ('ascii', 'SELECT mnist_ascii(mnist_draw(1))'),
    ('png', 'SELECT mnist_png(mnist_preprocess(mnist_draw(1)))'),
    ('correct', 'SELECT mnist_correct(1, 3)'),
    ('import_idx', 'SELECT mnist_import_idx(''x'', ''train'', '''', '''')'),
    ('import_images', 'SELECT mnist_import_images(''x'', ''train'', ARRAY[mnist_draw(1)], ARRAY[1])'),
    ('import_synthetic', 'SELECT mnist_import_synthetic(''x'', 60)'),
    ('drop_dataset', 'SELECT mnist_drop_dataset(''base'')'),
    ('retrain', 'SELECT mnist_retrain(strategy => ''nonsense'')'),
    ('activate', 'SELECT mnist_activate(2)'),
    ('rollback', 'SELECT mnist_rollback()'),
    ('challenge', 'SELECT mnist_challenge(2, 0.5)'),
    ('promote the challenger', 'SELECT mnist_challenge_promote()'),
    ('drop the challenger', 'SELECT mnist_challenge_drop()'),
    ('export', 'SELECT mnist_export(1)'),
    ('import', 'SELECT mnist_import(mnist_export(1, ''safetensors''), ''default'')'),
    ('look at images', 'SELECT image FROM mnist_prediction'),
    ('look at feedback', 'SELECT * FROM mnist_feedback'),
    ('look at weights', 'SELECT weights FROM mnist_model'),
    ('look at runs', 'SELECT * FROM mnist_run'),
    ('look at deployments', 'SELECT * FROM mnist_deployment'),
    ('look at challenges', 'SELECT * FROM mnist_challenger'),
    ('look at shadows', 'SELECT * FROM mnist_shadow'),
    ('look at base images', 'SELECT pixels FROM mnist_sample'),
    ('mnist_status', 'SELECT * FROM mnist_status'),
    ('mnist_live', 'SELECT * FROM mnist_live'),
    ('mnist_failure_counts', 'SELECT * FROM mnist_failure_counts'),
    ('mnist_confusion', 'SELECT * FROM mnist_confusion'),
    ('mnist_challenge_result', 'SELECT * FROM mnist_challenge_result, mnist_challenge_now'),
    ('mnist_training_progress', 'SELECT * FROM mnist_training_progress'),
    ('features', 'SELECT mnist_features(mnist_draw(1))'),
    ('housekeep', 'CALL mnist_housekeep()'),
    ('erase', 'SELECT mnist_erase(''x'')'),
    ('rebase drift', 'SELECT mnist_drift_rebase(''base data'')'),
    ('mnist_drift', 'SELECT * FROM mnist_drift, mnist_drift_share, mnist_feature'),
    ('mnist_data_quality', 'SELECT * FROM mnist_data_quality, mnist_annotator_agreement'),
    ('mnist_model_performance',
        'SELECT * FROM mnist_model_performance, mnist_class_performance, mnist_accuracy_daily, mnist_calibration, '
            'mnist_model_confusion'),
    ('look at references', 'SELECT * FROM mnist_drift_reference, mnist_drift_histogram, mnist_drift_check'),
    ('internal: bind', 'SELECT mnist_internal.drift_bind(1)'),
    ('mnist_metrics', 'SELECT * FROM mnist_metrics'),
    ('mnist_metrics_text', 'SELECT mnist_metrics_text()'),
    ('mnist_report', 'SELECT mnist_report()'),
    ('look at reports', 'SELECT page FROM mnist_report_log'),
    ('write predictions',
        'INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version) '
            'VALUES ('''', 1, 1, ''{}'', 1)'),
    ('write feedback',
        'INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator, pixels_sha256) '
            'VALUES (1, 1, 1, 1, ''x'', sha256(''''))'),
    ('erase feedback', 'DELETE FROM mnist_feedback'),
    ('switch by hand', 'INSERT INTO mnist_deployment (version, action) VALUES (2, ''activate'')'),
    ('write models',
        'INSERT INTO mnist_model (version, architecture, network, parameters, weights_sha256) '
            'VALUES (9, ''x'', ''x'', 1, sha256(''''))'),
    ('internal: resolve', 'SELECT mnist_internal.resolve(''{}'')'),
    ('internal: deploy', 'SELECT mnist_internal.deploy(2, ''activate'', 1, NULL)'),
    ('internal: end challenge', 'SELECT mnist_internal.end_challenge(''drop'', NULL)'),
    ('internal: weights', 'SELECT mnist_internal.default_weights()');
CREATE TABLE public.outcome (act text, role text, outcome text);
GRANT SELECT ON public.act TO PUBLIC;
GRANT INSERT ON public.outcome TO PUBLIC;
SET ROLE regress_application;
INSERT INTO public.outcome SELECT what, 'application', attempt(statement) FROM act ORDER BY n;
SET ROLE regress_annotator;
INSERT INTO public.outcome SELECT what, 'annotator', attempt(statement) FROM act ORDER BY n;
SET ROLE regress_trainer;
INSERT INTO public.outcome SELECT what, 'trainer', attempt(statement) FROM act ORDER BY n;
SET ROLE regress_observer;
INSERT INTO public.outcome SELECT what, 'observer', attempt(statement) FROM act ORDER BY n;
SET ROLE regress_nobody;
INSERT INTO public.outcome SELECT what, 'nobody', attempt(statement) FROM act ORDER BY n;
RESET ROLE;
SELECT a.what,
    max(o.outcome) FILTER (WHERE o.role = 'application') AS application,
    max(o.outcome) FILTER (WHERE o.role = 'annotator') AS annotator,
    max(o.outcome) FILTER (WHERE o.role = 'trainer') AS trainer,
    max(o.outcome) FILTER (WHERE o.role = 'observer') AS observer,
    max(o.outcome) FILTER (WHERE o.role = 'nobody') AS nobody
FROM act a JOIN outcome o ON o.act = a.what GROUP BY a.n, a.what ORDER BY a.n;

-- A role cannot slip objects of its own under what runs as the owner.
GRANT CREATE ON SCHEMA public TO regress_annotator;
SET ROLE regress_annotator;
CREATE TEMP TABLE mnist_feedback (LIKE digits.mnist_feedback);
CREATE TEMP TABLE mnist_prediction (LIKE digits.mnist_prediction);
CREATE FUNCTION public.format(text, bigint) RETURNS text
    LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught as %', current_user; END $$;
CREATE FUNCTION public.sha256(bytea) RETURNS bytea
    LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught as %', current_user; END $$;
SET search_path = pg_temp, public, digits;
SELECT mnist_correct(1, 4) IS NOT NULL AS corrected;
SELECT digits.mnist_correct(99, 4);
RESET ROLE;
SET search_path = digits, public;
SELECT count(*) FROM digits.mnist_feedback;

-- The owner grants what a kind of user needs, USAGE on a schema with any name included.
CREATE SCHEMA "My Schema";
DROP EXTENSION mnist_hil;
CREATE EXTENSION mnist_hil SCHEMA "My Schema";
SET search_path = "My Schema", public;
SELECT mnist_grant('annotator', 'regress_nobody');
SELECT mnist_grant('annotator', 'regress_nobody');
SELECT mnist_grant('superuser', 'regress_nobody');
SELECT mnist_grant('annotator', NULL);
SELECT mnist_grant('annotator', 'regress_missing');
SET ROLE regress_nobody;
SELECT count(*) FROM mnist_to_label;
SELECT mnist_grant('trainer', 'regress_nobody');
RESET ROLE;
-- Every privilege is on something that exists, so that none is granted in vain.
SELECT p.object AS missing FROM mnist_internal.privilege p
WHERE CASE p.privilege WHEN 'SELECT' THEN to_regclass(quote_ident(p.object)) IS NULL
    ELSE NOT EXISTS (SELECT FROM pg_proc r WHERE r.proname = p.object) END;

DROP EXTENSION mnist_hil;
DROP SCHEMA "My Schema";
DROP TABLE public.act, public.outcome;
DROP FUNCTION public.attempt;
DROP OWNED BY regress_application, regress_annotator, regress_trainer, regress_observer, regress_nobody;
DROP SCHEMA digits;
DROP ROLE regress_application, regress_annotator, regress_trainer, regress_observer, regress_nobody;
