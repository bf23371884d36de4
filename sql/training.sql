/*
 * Training: to begin a run, and to repeat one from its record.
 */

CREATE OR REPLACE FUNCTION @extschema@.mnist_retrain(
    strategy text DEFAULT NULL,
    architectures text[] DEFAULT NULL,
    epochs int DEFAULT NULL,
    seed bigint DEFAULT NULL,
    wait boolean DEFAULT true,
    datasets text[] DEFAULT NULL,
    learning_rate real DEFAULT NULL,
    batch_size int DEFAULT NULL,
    promote boolean DEFAULT true,
    trials int DEFAULT NULL,
    search boolean DEFAULT NULL,
    resume_run bigint DEFAULT NULL,
    trial_epochs int DEFAULT NULL,
    trial_images int DEFAULT NULL,
    augmentation real DEFAULT NULL,
    time_budget interval DEFAULT NULL,
    OUT run_id bigint,
    OUT model_version int,
    OUT promoted boolean,
    OUT verdict text,
    OUT test_accuracy real,
    OUT validation_accuracy real,
    OUT live_validation_accuracy real,
    OUT feedback_accuracy real,
    OUT live_feedback_accuracy real,
    OUT seconds real
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'mnist_retrain';
COMMENT ON FUNCTION @extschema@.mnist_retrain(text, text[], int, bigint, boolean, text[], real, int, boolean, int,
    boolean, bigint, int, int, real, interval) IS
    'train a model on base data and feedback, in processes of its own, and make it live if it is no worse than the '
    'live one; without arguments it does what the recipe says (mnist_recipe); while the caller waits, its snapshot '
    'delays VACUUM: for a long run use wait => false and mnist_training_progress';

---------------------------------------------------------------- repeating a run

CREATE OR REPLACE FUNCTION mnist_internal.recorded_datasets(data jsonb, OUT place int, OUT name text,
    OUT dataset_id int)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- A data set is found by its name, or by the hashes stored at import.  The hashes of its images now must match.
    SELECT r.place::int, r.item->>'name', (
        SELECT d.id
        FROM @extschema@.mnist_dataset d
        WHERE (d.name = r.item->>'name'
                OR (d.train_sha256 IS NOT DISTINCT FROM decode(r.item->>'train', 'hex')
                    AND d.validation_sha256 IS NOT DISTINCT FROM decode(r.item->>'validation', 'hex')
                    AND d.test_sha256 IS NOT DISTINCT FROM decode(r.item->>'test', 'hex')))
            AND NOT EXISTS (
                SELECT FROM unnest(ARRAY['train', 'validation', 'test']) AS s (split)
                WHERE mnist_internal.split_digest(d.id, s.split) IS DISTINCT FROM decode(r.item->>s.split, 'hex'))
        ORDER BY d.name = r.item->>'name' DESC, d.id
        LIMIT 1)
    FROM jsonb_array_elements(data->'datasets') WITH ORDINALITY AS r (item, place);
END;
COMMENT ON FUNCTION mnist_internal.recorded_datasets(jsonb) IS
    'the data sets of mnist_run.data, and which data set holds the same images and labels now; internal';

CREATE OR REPLACE FUNCTION mnist_internal.reproduce_missing(run_id bigint, software text) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run @extschema@.mnist_run;
    missing text[];
    feedback jsonb;
BEGIN
    SELECT r.* INTO run FROM @extschema@.mnist_run r WHERE r.id = reproduce_missing.run_id;

    SELECT array_agg(format(CASE WHEN EXISTS (SELECT FROM @extschema@.mnist_dataset e WHERE e.name = d.name)
            THEN 'Data set "%s" has other images or labels now.'
            ELSE 'Data set "%s" was dropped.' END, d.name) ORDER BY d.place)
    INTO missing
    FROM mnist_internal.recorded_datasets(run.data) d
    WHERE d.dataset_id IS NULL;

    feedback := mnist_internal.feedback_digest(run.id);
    IF feedback <> run.data->'feedback' THEN
        missing := missing || format(
            'Feedback was erased: of %s images to train on and %s held-out images, %s and %s are left.',
            run.data->'feedback'->>'train', run.data->'feedback'->>'held_out', feedback->>'train',
            feedback->>'held_out');
    END IF;
    IF run.strategy = 'fine_tune'
        AND NOT EXISTS (
            SELECT FROM @extschema@.mnist_model m WHERE m.version = run.parent_version AND m.weights IS NOT NULL)
    THEN
        missing := missing || format('The weights of version %s, with which it began, were pruned.',
            run.parent_version);
    END IF;
    -- The weights do not depend on the version of the server or of the extension.  A release with different arithmetic
    -- records that as part of the software.
    IF regexp_replace(software, '^mnist_hil [^,]*, PostgreSQL [^,]*', '')
        <> regexp_replace(run.software, '^mnist_hil [^,]*, PostgreSQL [^,]*', '')
    THEN
        missing := missing || format('It was trained by %s; this is %s.', run.software, software);
    END IF;
    RETURN coalesce(missing, '{}');
END
$$;
COMMENT ON FUNCTION mnist_internal.reproduce_missing(bigint, text) IS
    'what a run needs to be repeated and is missing, as sentences; software: NULL if unknown; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_reproduce(
    INOUT run_id bigint,
    OUT model_version int,
    OUT promoted boolean,
    OUT verdict text,
    OUT test_accuracy real,
    OUT validation_accuracy real,
    OUT live_validation_accuracy real,
    OUT feedback_accuracy real,
    OUT live_feedback_accuracy real,
    OUT seconds real)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'mnist_reproduce';
COMMENT ON FUNCTION @extschema@.mnist_reproduce(bigint) IS
    'repeat a run from its record; the verdict tells whether the weights are the same; an error tells what is '
    'missing; returns what mnist_retrain returns, with the new run''s id';
