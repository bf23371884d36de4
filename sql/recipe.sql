/*
 * The recipe: what an automatic run does.
 *
 * mnist_check, and mnist_retrain without arguments, do what the recipe says.  It is the newest row of mnist_recipe_log,
 * to which mnist_set_recipe adds a row for each change.  A field that is NULL leaves the choice to a setting, or else
 * to the strategy.
 *
 * The values are checked by the code that checks the arguments of mnist_retrain, and are read by it when a run begins
 * (src/train/retrain.c).
 */

CREATE OR REPLACE VIEW @extschema@.mnist_recipe_preset AS
    SELECT p.preset, p.description, p.strategy, p.architectures::text[] AS architectures, p.search,
        p.trials::int AS trials, p.epochs::int AS epochs, p.augmentation::real AS augmentation,
        p.datasets::text[] AS datasets, p.time_budget::interval AS time_budget, p.run_from::time AS run_from,
        p.run_until::time AS run_until, p.require_approval::boolean AS require_approval, p.prune, p.report
    FROM (VALUES
        ('fine_tune', 'fine-tune the live model on base data and feedback, at any time of day',
            'fine_tune', NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true, true),
        ('nightly_search', 'search over families of networks, and train the best one from scratch, at night',
            'from_scratch', '{softmax,mlp,lenet5,keras_cnn,default}', true, NULL, NULL, NULL, NULL, '2 hours', '22:00',
            '06:00', NULL, true, true))
        AS p (preset, description, strategy, architectures, search, trials, epochs, augmentation, datasets, time_budget,
            run_from, run_until, require_approval, prune, report);
COMMENT ON VIEW @extschema@.mnist_recipe_preset IS
    'recipes to begin with: arguments of mnist_set_recipe; the columns are those of mnist_recipe';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.preset IS 'its name';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.description IS 'what an automatic run does then';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.strategy IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.architectures IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.search IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.trials IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.epochs IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.augmentation IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.datasets IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.time_budget IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.run_from IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.run_until IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.require_approval IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.prune IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe_preset.report IS 'see mnist_recipe_log';

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_recipe_log_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_recipe_log (
    id                bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_recipe_log_id_seq'),
    preset            text NOT NULL,
    strategy          text,
    architectures     text[],
    search            boolean,
    trials            int,
    epochs            int,
    augmentation      real,
    datasets          text[],
    time_budget       interval,
    run_from          time,
    run_until         time,
    require_approval  boolean,
    prune             boolean NOT NULL,
    report            boolean NOT NULL,
    note              text,
    changed_by        name NOT NULL DEFAULT session_user,
    changed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((run_from IS NULL) = (run_until IS NULL)),
    CHECK (run_from <> run_until)
);
ALTER SEQUENCE @extschema@.mnist_recipe_log_id_seq OWNED BY @extschema@.mnist_recipe_log.id;

COMMENT ON TABLE @extschema@.mnist_recipe_log IS
    'what automatic runs do and did: a row for each change by mnist_set_recipe; the newest row (highest id) is in '
    'force';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.id IS 'the recipe; ids follow the order of commits';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.preset IS 'the preset that it began with (mnist_recipe_preset)';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.strategy IS
    'fine_tune, from_scratch, or auto: from scratch if architectures are named; NULL: auto';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.architectures IS
    'the networks to train from scratch; NULL: the default one';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.search IS 'whether to search for hyperparameters; NULL: no';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.trials IS 'trials of a search; NULL: setting mnist_hil.trials';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.epochs IS
    'epochs of the training; NULL: setting mnist_hil.epochs, or else the strategy''s number';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.augmentation IS
    'the strength of the augmentation, as a multiple of the strategy''s: 0 .. 2; NULL: 1, or what a search finds';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.datasets IS 'the data sets to train on; NULL: all';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.time_budget IS 'how long a run may take; NULL: as long as it needs';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.run_from IS
    'mnist_check begins runs from this time of day on, in the session''s time zone; NULL: at any time';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.run_until IS
    'up to this time of day; a time before run_from is on the next day; NULL: at any time';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.require_approval IS
    'whether a model that passes the gate waits for mnist_approve; NULL or false: setting mnist_hil.require_approval';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.prune IS
    'whether the weights of old models are removed after the run, by mnist_prune';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.report IS 'whether a report is stored in mnist_report_log after the run';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.note IS 'why it was changed, as the role wrote';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.changed_by IS 'the role that changed it';
COMMENT ON COLUMN @extschema@.mnist_recipe_log.changed_at IS 'when; the change takes effect at commit';

CREATE OR REPLACE TRIGGER mnist_recipe_log_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.mnist_recipe_log
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.refuse('To change the recipe, use mnist_set_recipe.');

SELECT pg_extension_config_dump('@extschema@.mnist_recipe_log', '');
SELECT pg_extension_config_dump('@extschema@.mnist_recipe_log_id_seq', '');

INSERT INTO @extschema@.mnist_recipe_log (preset, strategy, architectures, search, trials, epochs, augmentation,
    datasets, time_budget, run_from, run_until, require_approval, prune, report, note)
SELECT p.preset, p.strategy, p.architectures, p.search, p.trials, p.epochs, p.augmentation, p.datasets, p.time_budget,
    p.run_from, p.run_until, p.require_approval, p.prune, p.report, 'the default'
FROM @extschema@.mnist_recipe_preset p
WHERE p.preset = 'fine_tune' AND NOT EXISTS (SELECT FROM @extschema@.mnist_recipe_log);

CREATE OR REPLACE VIEW @extschema@.mnist_recipe AS
    SELECT l.id AS recipe_id, l.preset, l.strategy, l.architectures, l.search, l.trials, l.epochs, l.augmentation,
        l.datasets, l.time_budget, l.run_from, l.run_until, l.require_approval, l.prune, l.report, l.note, l.changed_by,
        l.changed_at
    FROM @extschema@.mnist_recipe_log l
    ORDER BY l.id DESC
    LIMIT 1;
COMMENT ON VIEW @extschema@.mnist_recipe IS
    'what automatic runs do, those of mnist_check and of mnist_retrain without arguments; one row';
COMMENT ON COLUMN @extschema@.mnist_recipe.recipe_id IS 'the row of mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.preset IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.strategy IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.architectures IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.search IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.trials IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.epochs IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.augmentation IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.datasets IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.time_budget IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.run_from IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.run_until IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.require_approval IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.prune IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.report IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.note IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.changed_by IS 'see mnist_recipe_log';
COMMENT ON COLUMN @extschema@.mnist_recipe.changed_at IS 'see mnist_recipe_log';

---------------------------------------------------------------- changing it

CREATE OR REPLACE FUNCTION mnist_internal.check_recipe(strategy text, architectures text[], search boolean, trials int,
    epochs int, augmentation real, datasets text[], time_budget interval)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_check_recipe';
COMMENT ON FUNCTION mnist_internal.check_recipe(text, text[], boolean, int, int, real, text[], interval) IS
    'fail as mnist_retrain would with these arguments; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_set_recipe(
    preset text DEFAULT NULL,
    strategy text DEFAULT NULL,
    architectures text[] DEFAULT NULL,
    search boolean DEFAULT NULL,
    trials int DEFAULT NULL,
    epochs int DEFAULT NULL,
    augmentation real DEFAULT NULL,
    datasets text[] DEFAULT NULL,
    time_budget interval DEFAULT NULL,
    run_from time DEFAULT NULL,
    run_until time DEFAULT NULL,
    require_approval boolean DEFAULT NULL,
    prune boolean DEFAULT NULL,
    report boolean DEFAULT NULL,
    reset text[] DEFAULT NULL,
    note text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    optional CONSTANT text[] := '{strategy,architectures,search,trials,epochs,augmentation,datasets,time_budget,'
        'run_from,run_until,require_approval}';
    unknown text;
    present jsonb;
    begun jsonb;
    changed @extschema@.mnist_recipe_log;
BEGIN
    SELECT r.field INTO unknown FROM unnest(mnist_set_recipe.reset) AS r (field)
    WHERE r.field <> ALL (optional) OR r.field IS NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('field "%s" of the recipe cannot be reset', unknown),
            HINT = format('These can: %s.', array_to_string(optional, ', '));
    END IF;

    LOCK TABLE @extschema@.mnist_recipe_log IN SHARE ROW EXCLUSIVE MODE;
    SELECT to_jsonb(r) - '{recipe_id,note,changed_by,changed_at}'::text[] INTO present FROM @extschema@.mnist_recipe r;
    begun := present;
    IF mnist_set_recipe.preset IS NOT NULL THEN
        SELECT to_jsonb(p) - 'description' INTO begun
        FROM @extschema@.mnist_recipe_preset p
        WHERE p.preset = mnist_set_recipe.preset;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'undefined_object',
                MESSAGE = format('there is no preset "%s"', mnist_set_recipe.preset),
                HINT = 'The presets are listed in view mnist_recipe_preset.';
        END IF;
    END IF;
    changed := jsonb_populate_record(NULL::@extschema@.mnist_recipe_log,
        begun - coalesce(mnist_set_recipe.reset, '{}') || jsonb_strip_nulls(jsonb_build_object(
            'strategy', mnist_set_recipe.strategy, 'architectures', mnist_set_recipe.architectures,
            'search', mnist_set_recipe.search, 'trials', mnist_set_recipe.trials, 'epochs', mnist_set_recipe.epochs,
            'augmentation', mnist_set_recipe.augmentation, 'datasets', mnist_set_recipe.datasets,
            'time_budget', mnist_set_recipe.time_budget, 'run_from', mnist_set_recipe.run_from,
            'run_until', mnist_set_recipe.run_until, 'require_approval', mnist_set_recipe.require_approval,
            'prune', mnist_set_recipe.prune, 'report', mnist_set_recipe.report)));

    PERFORM mnist_internal.check_recipe(changed.strategy, changed.architectures, changed.search, changed.trials,
        changed.epochs, changed.augmentation, changed.datasets, changed.time_budget);
    IF (changed.run_from IS NULL) <> (changed.run_until IS NULL) OR changed.run_from = changed.run_until THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the hours of the recipe need two different times, run_from and run_until',
            HINT = 'To allow any time of day, use reset => ''{run_from,run_until}''.';
    END IF;
    IF present = to_jsonb(changed) - '{id,note,changed_by,changed_at}'::text[] THEN
        RETURN (SELECT r.recipe_id FROM @extschema@.mnist_recipe r);
    END IF;
    INSERT INTO @extschema@.mnist_recipe_log AS l (preset, strategy, architectures, search, trials, epochs,
        augmentation, datasets, time_budget, run_from, run_until, require_approval, prune, report, note, changed_by)
    VALUES (changed.preset, changed.strategy, changed.architectures, changed.search, changed.trials, changed.epochs,
        changed.augmentation, changed.datasets, changed.time_budget, changed.run_from, changed.run_until,
        changed.require_approval, changed.prune, changed.report, mnist_set_recipe.note, mnist_internal.invoker())
    RETURNING l.id INTO changed.id;
    RETURN changed.id;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_set_recipe(text, text, text[], boolean, int, int, real, text[], interval, time,
    time, boolean, boolean, boolean, text[], text) IS
    'change what automatic runs do: begin with a preset, or else the present recipe, set the fields in reset to NULL, '
    'and set the fields that are given; returns the id of the recipe';

---------------------------------------------------------------- using it

CREATE OR REPLACE FUNCTION mnist_internal.within_hours(run_from time, run_until time, at time) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN run_from IS NULL THEN true
        WHEN run_from < run_until THEN at >= run_from AND at < run_until
        ELSE at >= run_from OR at < run_until END;
END;
COMMENT ON FUNCTION mnist_internal.within_hours(time, time, time) IS
    'whether a time of day is in the hours of a recipe; internal';

CREATE OR REPLACE FUNCTION mnist_internal.out_of_hours() RETURNS text
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT format('due, but the recipe allows runs only from %s to %s (time zone %s)',
        to_char(r.run_from, 'HH24:MI'), to_char(r.run_until, 'HH24:MI'), current_setting('TimeZone'))
    FROM @extschema@.mnist_recipe r
    WHERE NOT mnist_internal.within_hours(r.run_from, r.run_until, clock_timestamp()::time);
END;
COMMENT ON FUNCTION mnist_internal.out_of_hours() IS
    'why the recipe does not allow mnist_check to begin a run at this time of day; NULL: it does; internal';

CREATE OR REPLACE FUNCTION mnist_internal.recipe_text() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT concat_ws(', ',
        CASE
            WHEN r.strategy = 'fine_tune' OR (coalesce(r.strategy, 'auto') = 'auto' AND r.architectures IS NULL)
                THEN 'fine-tune the live model'
            ELSE 'train from scratch: ' || coalesce(array_to_string(r.architectures, ', '), 'default') END,
        CASE WHEN r.search OR r.trials > 0 THEN 'after a search' || coalesce(format(' of %s trials', r.trials), '') END,
        r.epochs || ' epochs',
        'augmentation times ' || r.augmentation,
        'on ' || array_to_string(r.datasets, ', '),
        'within ' || r.time_budget,
        'from ' || to_char(r.run_from, 'HH24:MI') || ' to ' || to_char(r.run_until, 'HH24:MI'),
        CASE WHEN r.require_approval THEN 'each model awaits approval' END,
        CASE WHEN r.prune THEN 'prune old models' END,
        CASE WHEN r.report THEN 'store a report' END)
    FROM @extschema@.mnist_recipe r;
END;
COMMENT ON FUNCTION mnist_internal.recipe_text() IS 'the recipe as a line of text; internal';

CREATE OR REPLACE FUNCTION mnist_internal.follow_up_failed(run bigint, what text, error text) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT mnist_internal.event('follow_up_failed', format('%s after run %s failed: %s', what, run, error),
        jsonb_build_object('run_id', run, 'error', error));
END;
COMMENT ON FUNCTION mnist_internal.follow_up_failed(bigint, text, text) IS
    'store the event that pruning or the report after a run failed; internal';
