/*
 * Runs and trials side by side, and their curves drawn in text.
 */

CREATE OR REPLACE FUNCTION mnist_internal.sparkline(points real[]) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT string_agg(
        CASE WHEN getdatabaseencoding() = 'UTF8' THEN chr(9601 + l.level) ELSE substr('_.:-=+*#', l.level + 1, 1) END,
        '' ORDER BY l.place)
    FROM (
        SELECT v.place, CASE WHEN max(v.value) OVER () > min(v.value) OVER () THEN
            round((v.value - min(v.value) OVER ()) / (max(v.value) OVER () - min(v.value) OVER ()) * 7)::int ELSE 3 END AS level
        FROM unnest(points) WITH ORDINALITY v (value, place)
        WHERE v.value IS NOT NULL AND v.value <> 'NaN') l;
END;
COMMENT ON FUNCTION mnist_internal.sparkline(real[]) IS
    'numbers as a line of small bars, lowest to highest; internal, but open to readers of the views that draw curves';

CREATE OR REPLACE VIEW @extschema@.mnist_run_comparison AS
    SELECT r.id AS run_id,
        r.started_at,
        r.status,
        r.strategy,
        r.architecture,
        (r.parameters->>'epochs')::int AS epochs,
        (r.parameters->>'learning_rate')::real AS learning_rate,
        (r.parameters->>'batch_size')::int AS batch_size,
        substring(r.parameters->>'network' FROM 'dropout ([0-9.]+)')::real AS dropout,
        (r.parameters->>'weight_decay')::real AS weight_decay,
        (r.parameters->>'rotate')::real AS rotate,
        r.seed,
        r.train_images,
        r.feedback_train_images,
        t.trials,
        r.best_trial,
        r.finished_at - r.started_at AS duration,
        r.validation_accuracy,
        r.test_accuracy,
        r.feedback_accuracy,
        r.validation_accuracy - r.live_validation_accuracy AS validation_over_live,
        r.feedback_accuracy - r.live_feedback_accuracy AS feedback_over_live,
        q.id AS predecessor,
        r.validation_accuracy - q.validation_accuracy AS validation_change,
        r.test_accuracy - q.test_accuracy AS test_change,
        r.feedback_accuracy - q.feedback_accuracy AS feedback_change,
        c.changed,
        mnist_internal.sparkline(m.losses) AS loss_curve,
        mnist_internal.sparkline(m.accuracies) AS accuracy_curve,
        r.model_version,
        r.promoted,
        coalesce(r.verdict, r.error) AS outcome
    FROM @extschema@.mnist_run r
    LEFT JOIN LATERAL (
        SELECT p.* FROM @extschema@.mnist_run p WHERE p.id < r.id AND p.status = 'succeeded' ORDER BY p.id DESC LIMIT 1) q ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS trials FROM @extschema@.mnist_trial x WHERE x.run_id = r.id) t
    CROSS JOIN LATERAL (
        SELECT array_agg(y.validation_loss ORDER BY y.epoch) AS losses,
            array_agg(y.validation_accuracy ORDER BY y.epoch) AS accuracies
        FROM @extschema@.mnist_metric y WHERE y.run_id = r.id AND y.trial = 0) m
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(a.key, jsonb_build_array(q.parameters->a.key, a.value)) AS changed
        FROM jsonb_each(r.parameters) a
        WHERE q.id IS NOT NULL AND a.value IS DISTINCT FROM q.parameters->a.key) c
    ORDER BY r.id;
COMMENT ON VIEW @extschema@.mnist_run_comparison IS
    'training runs side by side: what they were told, what came of it, and what changed since the last one that succeeded';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.status IS 'running, succeeded, failed or cancelled';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.strategy IS 'fine_tune or from_scratch';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.architecture IS 'the network''s name';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.epochs IS 'epochs of the model''s training';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.learning_rate IS 'learning rate at its peak';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.batch_size IS 'images of a step';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.dropout IS 'rate of the network''s first dropout layer; NULL if it has none';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.weight_decay IS 'weight decay';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.rotate IS
    'how far training images are turned at most, in degrees; the other distortions are in mnist_run.parameters';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.seed IS 'what all randomness of the run follows from';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.train_images IS 'images of the data sets trained on';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.feedback_train_images IS 'corrected readings trained on';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.trials IS 'trials made or taken over';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.best_trial IS 'the trial whose architecture and hyperparameters the model has';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.duration IS 'from its beginning to its end';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.validation_accuracy IS 'share right of the validation images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.test_accuracy IS 'share right of the test images, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.feedback_accuracy IS 'share right of the held-out corrected readings, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.validation_over_live IS 'validation accuracy less the live model''s';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.feedback_over_live IS 'feedback accuracy less the live model''s';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.predecessor IS 'the newest run before it that succeeded';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.validation_change IS 'validation accuracy less the predecessor''s';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.test_change IS 'test accuracy less the predecessor''s';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.feedback_change IS
    'feedback accuracy less the predecessor''s; each by the held-out feedback of its time';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.changed IS
    'the hyperparameters that differ from the predecessor''s: for each the value there and here';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.loss_curve IS 'the validation loss, epoch by epoch, drawn';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.accuracy_curve IS 'the validation accuracy, epoch by epoch, drawn';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.model_version IS 'the model that it made';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.promoted IS 'whether that model went live';
COMMENT ON COLUMN @extschema@.mnist_run_comparison.outcome IS 'the verdict, or the error';

CREATE OR REPLACE VIEW @extschema@.mnist_search_progress AS
    SELECT t.run_id,
        t.trial,
        t.status,
        t.architecture,
        t.parameters - 'architecture' AS parameters,
        t.value,
        b.best_so_far,
        t.status = 'succeeded' AND t.trial = first_value(t.trial) OVER (
            PARTITION BY t.run_id ORDER BY CASE WHEN t.status = 'succeeded' THEN t.value END DESC NULLS LAST, t.trial)
            AS best,
        mnist_internal.sparkline(m.points) AS curve,
        t.epochs,
        coalesce(t.finished_at, clock_timestamp()) - t.started_at AS duration,
        t.taken_from,
        t.error
    FROM @extschema@.mnist_trial t
    CROSS JOIN LATERAL (
        SELECT max(p.value) AS best_so_far
        FROM @extschema@.mnist_trial p WHERE p.run_id = t.run_id AND p.trial <= t.trial AND p.status = 'succeeded') b
    CROSS JOIN LATERAL (
        SELECT array_agg(y.value ORDER BY y.epoch) AS points
        FROM @extschema@.mnist_metric y WHERE y.run_id = t.run_id AND y.trial = t.trial) m
    ORDER BY t.run_id, t.trial;
COMMENT ON VIEW @extschema@.mnist_search_progress IS 'the trials of each run, how they went and which is the best so far';
COMMENT ON COLUMN @extschema@.mnist_search_progress.run_id IS 'the run';
COMMENT ON COLUMN @extschema@.mnist_search_progress.trial IS 'the trial, from 1';
COMMENT ON COLUMN @extschema@.mnist_search_progress.status IS 'running, succeeded, pruned, failed or cancelled';
COMMENT ON COLUMN @extschema@.mnist_search_progress.architecture IS 'the network''s name, or its description';
COMMENT ON COLUMN @extschema@.mnist_search_progress.parameters IS 'the hyperparameters that were searched';
COMMENT ON COLUMN @extschema@.mnist_search_progress.value IS 'what trials are compared by, the more the better';
COMMENT ON COLUMN @extschema@.mnist_search_progress.best_so_far IS 'the best value of the trials up to this one';
COMMENT ON COLUMN @extschema@.mnist_search_progress.best IS 'whether it is the best of all';
COMMENT ON COLUMN @extschema@.mnist_search_progress.curve IS 'its value, report by report, drawn';
COMMENT ON COLUMN @extschema@.mnist_search_progress.epochs IS 'epochs that it was trained';
COMMENT ON COLUMN @extschema@.mnist_search_progress.duration IS 'from its beginning to its end, or to now';
COMMENT ON COLUMN @extschema@.mnist_search_progress.taken_from IS 'the run that made it, if this one took it over';
COMMENT ON COLUMN @extschema@.mnist_search_progress.error IS 'why, if it failed or was cancelled';

-- The SQLSTATEs are those of the other functions.
CREATE OR REPLACE FUNCTION @extschema@.mnist_curve(run_id bigint, metric text DEFAULT 'loss', trial int DEFAULT 0, width int DEFAULT 60,
    height int DEFAULT 12) RETURNS SETOF text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    metrics CONSTANT text[] := ARRAY['loss', 'accuracy', 'train_loss', 'train_accuracy', 'validation_loss',
        'validation_accuracy', 'value', 'learning_rate', 'images_per_second'];
    both_sides boolean := metric IN ('loss', 'accuracy');
    low real;
    high real;
    epochs int;
    canvas text[];
    point record;
    line text;
BEGIN
    IF run_id IS NULL OR metric IS NULL OR trial IS NULL OR width IS NULL OR height IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of mnist_curve must not be null';
    END IF;
    IF metric <> ALL (metrics) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('there is no metric "%s"', metric),
            HINT = format('There are %s.', array_to_string(metrics, ', '));
    END IF;
    IF width NOT BETWEEN 2 AND 1000 OR height NOT BETWEEN 2 AND 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'width and height of mnist_curve must be from 2 to 1000';
    END IF;
    IF NOT EXISTS (SELECT FROM @extschema@.mnist_run r WHERE r.id = mnist_curve.run_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('there is no run %s', run_id),
            HINT = 'The runs are listed in table mnist_run.';
    END IF;

    FOR point IN
        -- training first: where both fall on one place, validation is what is seen
        WITH numbers AS (
            SELECT m.epoch, s.side, (to_jsonb(m)->>(CASE WHEN both_sides THEN s.side || '_' || metric ELSE metric END))::real
                AS value
            FROM @extschema@.mnist_metric m, unnest(CASE WHEN both_sides THEN ARRAY['train', 'validation'] ELSE ARRAY['*'] END)
                WITH ORDINALITY s (side, place)
            WHERE m.run_id = mnist_curve.run_id AND m.trial = mnist_curve.trial)
        SELECT n.epoch, left(n.side, 1) AS mark, n.value, min(n.value) OVER () AS low, max(n.value) OVER () AS high,
            max(n.epoch) OVER () AS epochs
        FROM numbers n
        WHERE n.value IS NOT NULL AND n.value <> 'NaN' AND abs(n.value) < 'Infinity'
        ORDER BY n.side, n.epoch
    LOOP
        IF canvas IS NULL THEN
            low := point.low;
            high := point.high;
            epochs := point.epochs;
            canvas := array_fill(repeat(' ', width), ARRAY[height]);
        END IF;
        DECLARE
            x int := CASE WHEN epochs > 1 THEN round((point.epoch - 1)::numeric * (width - 1) / (epochs - 1)) ELSE 0 END;
            y int := CASE WHEN high > low
                THEN height - round(((point.value - low) / (high - low))::numeric * (height - 1)) ELSE height END;
        BEGIN
            canvas[y] := overlay(canvas[y] PLACING point.mark FROM x + 1 FOR 1);
        END;
    END LOOP;

    IF canvas IS NULL THEN
        RETURN NEXT format('%s of run %s: nothing on record yet', metric, run_id);
        RETURN;
    END IF;
    RETURN NEXT format('%s of run %s%s%s', metric, run_id, CASE WHEN trial > 0 THEN format(', trial %s', trial) END,
        CASE WHEN both_sides THEN ' (t: training, v: validation)' END);
    FOR i IN 1 .. height LOOP
        line := CASE i WHEN 1 THEN high::text WHEN height THEN low::text ELSE '' END;
        RETURN NEXT lpad(line, 12) || ' |' || rtrim(canvas[i]);
    END LOOP;
    RETURN NEXT repeat(' ', 13) || '+' || repeat('-', width);
    RETURN NEXT repeat(' ', 14) || rpad('1', width - length(epochs::text)) || epochs;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_curve(bigint, text, int, int, int) IS
    'a run''s curve drawn in text, a line a row: loss, accuracy, or any column of mnist_metric, epoch by epoch; trial 0 is the model''s own training';
