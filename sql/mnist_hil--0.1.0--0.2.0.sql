\echo Use "ALTER EXTENSION mnist_hil UPDATE TO '0.2.0'" to load this file. \quit

/*
 * From 0.1.0 to 0.2.0: what the install script, which is run after this, cannot do because it only adds and replaces.
 * Views that are dropped here lose the privileges granted on them; all others keep theirs.
 */
SET LOCAL search_path = pg_catalog, pg_temp;

-- Runs: a decision more.
ALTER TABLE @extschema@.mnist_run
    DROP CONSTRAINT mnist_run_decision_check,
    ADD CONSTRAINT mnist_run_decision_check CHECK (decision IN ('promoted', 'rejected', 'awaiting approval', 'approved',
        'not promoted', 'promotion pending'));

ALTER TABLE @extschema@.mnist_run_feedback
    ADD COLUMN label_probability real CHECK (label_probability BETWEEN 0 AND 1),
    ADD COLUMN reference_share real CHECK (reference_share BETWEEN 0 AND 1),
    ADD COLUMN annotator_share real CHECK (annotator_share BETWEEN 0 AND 1);
