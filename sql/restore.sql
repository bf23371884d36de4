/*
 * Restoring a dump.
 *
 * pg_dump takes along all rows and all sequences, except mnist_label and mnist_internal.tally, which triggers fill
 * while mnist_feedback is restored, mnist_retention, and mnist_internal.metric, which is the same everywhere.
 *
 * A restore runs CREATE EXTENSION, which adds the bundled model, its deployment, its drift reference and the default
 * recipe, and then inserts rows with the same keys.  These may differ: the release that was dumped may have had another
 * bundled model.
 * So as long as the extension was not used, the restored rows replace those that CREATE EXTENSION added.  The sequences
 * show whether it was used: a restore inserts ids and draws none, and sets the sequences after all rows are there.
 *
 * Once the extension was used, a row is still skipped if it describes the same thing, for example the model with the
 * same weights: a subscriber of logical replication has such rows of its own.  Other rows are refused.  The triggers
 * are ENABLE ALWAYS, so that they fire on a subscriber.
 */

CREATE OR REPLACE FUNCTION mnist_internal.untouched() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT d.last_value = 1 AND NOT r.is_called AND NOT p.is_called AND c.last_value = 1
    FROM @extschema@.mnist_deployment_id_seq d, @extschema@.mnist_run_id_seq r, @extschema@.mnist_prediction_id_seq p,
        @extschema@.mnist_recipe_log_id_seq c;
END;
COMMENT ON FUNCTION mnist_internal.untouched() IS
    'whether no model was switched, no run begun, no prediction stored and no recipe set since CREATE EXTENSION; '
    'internal';

CREATE OR REPLACE FUNCTION mnist_internal.give_way() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    columns text := (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped);
    same_key text := (SELECT string_agg(format('t.%1$I = ($1).%1$I', c), ' AND ')
        FROM string_to_table(TG_ARGV[0], ' ') AS c);
    same_thing text := (SELECT string_agg(format('t.%1$I = ($1).%1$I', c), ' AND ')
        FROM string_to_table(TG_ARGV[1], ' ') AS c);
    same_row boolean;
    same boolean;
BEGIN
    EXECUTE format('SELECT t IS NOT DISTINCT FROM $1, %s FROM %s AS t WHERE %s', same_thing, TG_RELID::regclass,
        same_key)
    INTO same_row, same
    USING NEW;
    IF same IS NULL THEN
        RETURN NEW;
    ELSIF same_row THEN
        RETURN NULL;
    END IF;

    IF mnist_internal.untouched() THEN
        EXECUTE format('UPDATE %s AS t SET (%s) = (SELECT ($1).*) WHERE %s', TG_RELID::regclass, columns, same_key)
        USING NEW;
        IF TG_TABLE_NAME = 'mnist_model' AND NOT same THEN
            DELETE FROM @extschema@.mnist_drift_reference r WHERE r.model_version = NEW.version;
            -- This makes sessions look up the live model again (model.sql).
            UPDATE @extschema@.mnist_deployment d SET version = d.version WHERE d.version = NEW.version;
        END IF;
    ELSIF NOT same THEN
        RAISE EXCEPTION USING
            ERRCODE = 'unique_violation',
            MESSAGE = format('a row of %I that CREATE EXTENSION added cannot be replaced', TG_TABLE_NAME),
            DETAIL = 'A model was switched, a run begun, a prediction stored or a recipe set since.',
            HINT = 'Restore into a database in which the extension was not used.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.give_way() IS
    'trigger that replaces a row that CREATE EXTENSION added by one that a restore inserts; its arguments are the '
    'columns of the key and those that tell whether both describe the same thing; internal';

CREATE OR REPLACE TRIGGER mnist_model_give_way BEFORE INSERT ON @extschema@.mnist_model
    FOR EACH ROW WHEN (NEW.version = 1) EXECUTE FUNCTION mnist_internal.give_way('version', 'weights_sha256');
ALTER TABLE @extschema@.mnist_model ENABLE ALWAYS TRIGGER mnist_model_give_way;
CREATE OR REPLACE TRIGGER mnist_deployment_give_way BEFORE INSERT ON @extschema@.mnist_deployment
    FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION mnist_internal.give_way('id', 'version action');
ALTER TABLE @extschema@.mnist_deployment ENABLE ALWAYS TRIGGER mnist_deployment_give_way;
CREATE OR REPLACE TRIGGER mnist_recipe_log_give_way BEFORE INSERT ON @extschema@.mnist_recipe_log
    FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION mnist_internal.give_way('id', 'preset');
ALTER TABLE @extschema@.mnist_recipe_log ENABLE ALWAYS TRIGGER mnist_recipe_log_give_way;
CREATE OR REPLACE TRIGGER mnist_drift_reference_give_way BEFORE INSERT ON @extschema@.mnist_drift_reference
    FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION mnist_internal.give_way('id', 'model_version source');
ALTER TABLE @extschema@.mnist_drift_reference ENABLE ALWAYS TRIGGER mnist_drift_reference_give_way;
CREATE OR REPLACE TRIGGER mnist_drift_histogram_give_way BEFORE INSERT ON @extschema@.mnist_drift_histogram
    FOR EACH ROW WHEN (NEW.reference_id = 1)
    EXECUTE FUNCTION mnist_internal.give_way('reference_id feature', 'edges counts');
ALTER TABLE @extschema@.mnist_drift_histogram ENABLE ALWAYS TRIGGER mnist_drift_histogram_give_way;
