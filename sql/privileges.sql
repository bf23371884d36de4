/*
 * Who may do what.
 *
 * mnist_grant gives a role what its kind of user needs.  To add a privilege, add it to mnist_internal.privilege.
 */

CREATE TABLE IF NOT EXISTS mnist_internal.privilege (
    kind       text NOT NULL,
    privilege  text NOT NULL CHECK (privilege IN ('EXECUTE', 'SELECT')),
    object     name NOT NULL,
    PRIMARY KEY (kind, object)
);
COMMENT ON TABLE mnist_internal.privilege IS
    'the privileges of each kind of user, which mnist_grant grants: functions, tables and views by name; internal';

DELETE FROM mnist_internal.privilege;
INSERT INTO mnist_internal.privilege (kind, privilege, object)
SELECT k.kind, p.privilege, o.object
FROM (VALUES
    ('{application}'::text[], 'EXECUTE', '{mnist_predict, mnist_predict_batch}'::name[]),
    ('{annotator}', 'EXECUTE', '{mnist_correct}'),
    ('{annotator}', 'SELECT', '{mnist_to_label}'),
    ('{trainer}', 'EXECUTE', '{mnist_retrain, mnist_reproduce, mnist_check, mnist_housekeep, mnist_approve,
        mnist_activate, mnist_rollback, mnist_challenge, mnist_challenge_promote, mnist_challenge_drop,
        mnist_import_idx, mnist_import_images, mnist_import_synthetic, mnist_drop_dataset, mnist_export, mnist_import,
        mnist_prune, mnist_drift_rebase, mnist_schedule, mnist_unschedule, mnist_schedule_report,
        mnist_unschedule_report, mnist_set_recipe}'),
    ('{trainer}', 'SELECT', '{mnist_model, mnist_run_feedback}'),
    ('{trainer, observer}', 'EXECUTE', '{mnist_curve, mnist_mcnemar}'),
    ('{trainer, observer}', 'SELECT', '{mnist_run, mnist_trial, mnist_metric, mnist_deployment, mnist_challenger,
        mnist_dataset, mnist_event, mnist_notifier, mnist_notification, mnist_status, mnist_live,
        mnist_failure_counts, mnist_retrain_decision, mnist_training_progress, mnist_run_comparison,
        mnist_search_progress, mnist_gate, mnist_lineage, mnist_challenge_now, mnist_challenge_result,
        mnist_probation, mnist_set_aside, mnist_doubted, mnist_label_conflict,
        mnist_dataset_conflict, mnist_recipe, mnist_recipe_log, mnist_recipe_preset}'),
    ('{observer}', 'EXECUTE', '{mnist_report}'),
    ('{observer}', 'SELECT', '{mnist_confusion, mnist_model_confusion, mnist_model_performance,
        mnist_class_performance, mnist_accuracy_daily, mnist_calibration, mnist_data_quality,
        mnist_annotator_agreement, mnist_feature, mnist_drift, mnist_drift_share, mnist_drift_reference,
        mnist_drift_histogram, mnist_drift_check}'),
    ('{notifier}', 'EXECUTE', '{mnist_notify_next, mnist_notify_done}'),
    ('{observer, monitor}', 'EXECUTE', '{mnist_metrics_text}'),
    ('{observer, monitor}', 'SELECT', '{mnist_metrics}')
) AS p (kinds, privilege, objects)
CROSS JOIN unnest(p.kinds) AS k (kind)
CROSS JOIN unnest(p.objects) AS o (object);

CREATE OR REPLACE FUNCTION @extschema@.mnist_grant(kind text, grantee regrole) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
BEGIN
    PERFORM mnist_internal.refuse_null('{kind,grantee}', mnist_grant.kind IS NULL, grantee IS NULL);
    IF NOT EXISTS (SELECT FROM mnist_internal.privilege p WHERE p.kind = mnist_grant.kind) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('there is no kind of user "%s"', mnist_grant.kind),
            HINT = format('The kinds are %s.',
                (SELECT string_agg(DISTINCT p.kind, ', ' ORDER BY p.kind) FROM mnist_internal.privilege p));
    END IF;
    FOR statement IN
        SELECT format('GRANT USAGE ON SCHEMA %I TO %s', n.nspname, grantee)
        FROM pg_extension e
        JOIN pg_namespace n ON CASE e.extname
            WHEN 'mnist_hil' THEN n.oid = e.extnamespace
            WHEN 'pg_cron' THEN n.nspname = 'cron' AND mnist_grant.kind = 'trainer' END
        WHERE NOT has_schema_privilege(grantee, n.oid, 'USAGE')
        UNION ALL
        SELECT format('GRANT EXECUTE ON ROUTINE %s TO %s', string_agg(r.oid::regprocedure::text, ', '
            ORDER BY r.proname, r.oid), grantee)
        FROM mnist_internal.privilege p
        JOIN pg_proc r ON r.proname = p.object
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = r.oid AND d.deptype = 'e'
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        WHERE p.kind = mnist_grant.kind AND p.privilege = 'EXECUTE' AND e.extname = 'mnist_hil'
            AND r.pronamespace = e.extnamespace
        HAVING count(*) > 0
        UNION ALL
        SELECT format('GRANT SELECT ON %s TO %s', string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname), grantee)
        FROM mnist_internal.privilege p
        JOIN pg_class c ON c.relname = p.object
        JOIN pg_extension e ON c.relnamespace = e.extnamespace
        WHERE p.kind = mnist_grant.kind AND p.privilege = 'SELECT' AND e.extname = 'mnist_hil'
        HAVING count(*) > 0
    LOOP
        EXECUTE statement;
        RETURN NEXT statement;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_grant(text, regrole) IS
    'grant a role what a kind of user needs: application, annotator, trainer, observer, monitor or notifier; '
    'returns the statements that it executed; the caller must own the extension or be a superuser';

/*
 * PUBLIC has no privileges on the extension's objects except those that each subject grants.
 *
 * PUBLIC keeps the functions that neither store, change nor reveal stored data: to classify an image, and to convert
 * one.  It also has a few internal functions, because the functions of a view run with the rights of the role that
 * reads the view.  The grants stand with the functions.  All other functions still have the default privileges, that
 * is, no access control list; this block revokes them.
 */
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid
        FROM pg_depend d
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.deptype = 'e' AND e.extname = 'mnist_hil' AND p.proacl IS NULL
    LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine);
    END LOOP;
END
$$;
