/*
 * The registry: where each model comes from, and which models keep their weights.
 */

CREATE OR REPLACE VIEW @extschema@.mnist_lineage AS
    WITH RECURSIVE descent AS (
        SELECT m.version, ARRAY[m.version] AS line, m.parent_version AS next
        FROM @extschema@.mnist_model m
        UNION ALL
        SELECT d.version, p.version || d.line, p.parent_version
        FROM descent d
        JOIN @extschema@.mnist_model p ON p.version = d.next
    )
    SELECT m.version,
        m.parent_version,
        d.line,
        m.architecture,
        m.run_id,
        r.strategy,
        r.trigger,
        r.reasons,
        r.datasets,
        r.data_sha256,
        r.feedback_train_images,
        r.feedback_held_out_images,
        r.seed,
        m.validation_accuracy,
        m.test_accuracy,
        r.verdict,
        m.created_at,
        m.created_by,
        m.version = (SELECT l.version FROM @extschema@.mnist_live l) AS live,
        s.deployments,
        s.last_deployed_at,
        m.weights IS NULL AS pruned
    FROM @extschema@.mnist_model m
    JOIN descent d ON d.version = m.version AND d.next IS NULL
    LEFT JOIN @extschema@.mnist_run r ON r.id = m.run_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS deployments, max(x.deployed_at) AS last_deployed_at
        FROM @extschema@.mnist_deployment x
        WHERE x.version = m.version) s
    ORDER BY m.version;
COMMENT ON VIEW @extschema@.mnist_lineage IS
    'where each model comes from: parents, run, data and role; and whether it was live';
COMMENT ON COLUMN @extschema@.mnist_lineage.version IS 'the model';
COMMENT ON COLUMN @extschema@.mnist_lineage.parent_version IS
    'the model that its training started from; NULL: from scratch, or imported';
COMMENT ON COLUMN @extschema@.mnist_lineage.line IS 'the models from its first ancestor to itself';
COMMENT ON COLUMN @extschema@.mnist_lineage.architecture IS 'its architecture';
COMMENT ON COLUMN @extschema@.mnist_lineage.run_id IS 'the run that made it; NULL: bundled or imported';
COMMENT ON COLUMN @extschema@.mnist_lineage.strategy IS 'fine_tune or from_scratch';
COMMENT ON COLUMN @extschema@.mnist_lineage.trigger IS
    'what began the run: by hand (mnist_retrain), or check (mnist_check)';
COMMENT ON COLUMN @extschema@.mnist_lineage.reasons IS 'why mnist_check began it';
COMMENT ON COLUMN @extschema@.mnist_lineage.datasets IS 'the data sets trained on';
COMMENT ON COLUMN @extschema@.mnist_lineage.data_sha256 IS 'SHA-256 over the exact data of the run';
COMMENT ON COLUMN @extschema@.mnist_lineage.feedback_train_images IS 'labelled predictions trained on';
COMMENT ON COLUMN @extschema@.mnist_lineage.feedback_held_out_images IS
    'held-out labelled predictions on which the gate compared it';
COMMENT ON COLUMN @extschema@.mnist_lineage.seed IS 'the seed of all randomness of the run';
COMMENT ON COLUMN @extschema@.mnist_lineage.validation_accuracy IS
    'accuracy on the validation images when it was made, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_lineage.test_accuracy IS 'accuracy on the test images when it was made, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_lineage.verdict IS 'why it went live, or not';
COMMENT ON COLUMN @extschema@.mnist_lineage.created_at IS 'when it was added';
COMMENT ON COLUMN @extschema@.mnist_lineage.created_by IS 'the role that asked for it';
COMMENT ON COLUMN @extschema@.mnist_lineage.live IS 'whether it is live now';
COMMENT ON COLUMN @extschema@.mnist_lineage.deployments IS 'how often it went live';
COMMENT ON COLUMN @extschema@.mnist_lineage.last_deployed_at IS 'when it went live last';
COMMENT ON COLUMN @extschema@.mnist_lineage.pruned IS 'whether its weights were pruned';

---------------------------------------------------------------- pruning

CREATE OR REPLACE VIEW mnist_internal.kept_model AS
    SELECT l.version, 'live' AS reason FROM @extschema@.mnist_live l
UNION ALL
    SELECT d.version, 'rollback'
    FROM @extschema@.mnist_live l
    JOIN @extschema@.mnist_deployment d ON d.id = l.rollback_to
UNION ALL
    SELECT c.version, 'challenger' FROM @extschema@.mnist_challenge_now c
UNION ALL
    SELECT d.version, 'live before'
    FROM (SELECT x.version FROM @extschema@.mnist_deployment x ORDER BY x.id DESC OFFSET 1 LIMIT 1) d
UNION ALL
    SELECT r.model_version, r.decision
    FROM @extschema@.mnist_run r
    WHERE r.decision IN ('awaiting approval', 'promotion pending') AND r.model_version IS NOT NULL;
COMMENT ON VIEW mnist_internal.kept_model IS 'models whose weights mnist_prune never removes, and why; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_prune(
    keep int DEFAULT (mnist_internal.settings()).keep_models, dry_run boolean DEFAULT false) RETURNS SETOF int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pruned int[];
BEGIN
    PERFORM mnist_internal.refuse_null('{keep,dry_run}', keep IS NULL, dry_run IS NULL);
    IF keep < 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('cannot keep %s model versions', keep),
            HINT = 'The live one and the one before it are kept even with 0.';
    END IF;

    -- An older snapshot would not show a model that went live since, and its weights would be pruned.
    IF current_setting('transaction_isolation') NOT LIKE 'read%' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('mnist_prune does not work in a %s transaction', current_setting('transaction_isolation')),
            HINT = 'Call it in a READ COMMITTED transaction.';
    END IF;

    -- This is the lock of a switch: no model goes live until this transaction commits.
    IF NOT dry_run THEN
        LOCK TABLE @extschema@.mnist_deployment IN SHARE ROW EXCLUSIVE MODE;
    END IF;
    SELECT coalesce(array_agg(m.version ORDER BY m.version), '{}') INTO pruned
    FROM @extschema@.mnist_model m
    WHERE m.weights IS NOT NULL
        AND m.version NOT IN (
            SELECT n.version
            FROM @extschema@.mnist_model n
            WHERE n.weights IS NOT NULL
            ORDER BY n.version DESC
            LIMIT keep)
        AND m.version NOT IN (SELECT k.version FROM mnist_internal.kept_model k);
    IF NOT dry_run AND pruned <> '{}' THEN
        UPDATE @extschema@.mnist_model m SET weights = NULL WHERE m.version = ANY (pruned);
        PERFORM mnist_internal.event('models_pruned',
            format('weights of %s model versions were pruned: %s', cardinality(pruned), array_to_string(pruned, ', ')),
            jsonb_build_object('versions', pruned, 'pruned_by', mnist_internal.invoker()));
    END IF;
    RETURN QUERY SELECT unnest(pruned);
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_prune(int, boolean) IS
    'set the weights of models to NULL, except the newest (keep), the live one, the one before it, a challenger, and '
    'those that wait to go live; their history stays; returns the versions; dry_run changes nothing';
