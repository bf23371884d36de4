/*
 * Probation: a model that went live is compared with the one before it, and mnist_check rolls it back if it is worse.
 *
 * Every switch by activation or promotion puts the new model on probation.  mnist_check lets the former model predict
 * images that the new model has predicted: all labelled ones, and a sample of up to 5,000 whether labelled or not.  So
 * mnist_predict has nothing to do with it.  Each check handles at most 500 images.  src/stat/probation.c judges, in C,
 * from all of these predictions, and says how.
 *
 * Two checks do not do this at the same time: the first one has the lock of the loop.  No check waits for a lock.
 */

CREATE OR REPLACE FUNCTION mnist_internal.probation_settings(OUT labels int, OUT predictions int)
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_probation_settings';
COMMENT ON FUNCTION mnist_internal.probation_settings() IS
    'after how many labelled predictions and how many predictions a probation ends; labels 0: off; internal';

CREATE OR REPLACE FUNCTION mnist_internal.probation_judge(
    places int[], sampled boolean[], labels smallint[], former_labels smallint[], new_labels smallint[],
    former_confidences real[], new_confidences real[], max_labels int, max_sampled int, is_over boolean,
    OUT finding text, OUT labelled int, OUT former_only int, OUT new_only int, OUT compared int,
    OUT disagreements int, OUT former_confirmed int, OUT new_confirmed int, OUT neither_confirmed int,
    OUT agreements_confirmed int, OUT former_unsure int, OUT new_unsure int, OUT labels_count boolean)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_probation_judge';
COMMENT ON FUNCTION mnist_internal.probation_judge(int[], boolean[], smallint[], smallint[], smallint[], real[],
    real[], int, int, boolean) IS
    'whether a model on probation is worse than the former one (labels, disagreements or confidence; NULL: it is not '
    'known to be), from predictions of both: the place of its label in the order in which labels came (0: none), '
    'whether it was sampled, the label, what both predicted; internal';

---------------------------------------------------------------- the record

CREATE TABLE IF NOT EXISTS @extschema@.mnist_probation (
    deployment_id          bigint PRIMARY KEY REFERENCES @extschema@.mnist_deployment,
    version                int NOT NULL,
    former_version         int NOT NULL,
    outcome                text NOT NULL DEFAULT 'under way' CHECK (outcome IN ('under way', 'passed', 'rolled back',
        'superseded', 'given up')),
    finding                text CHECK (finding IN ('labels', 'disagreements', 'confidence')),
    reason                 text,
    began_at               timestamptz NOT NULL DEFAULT clock_timestamp(),
    checked_at             timestamptz,
    ended_at               timestamptz,
    max_labels             int NOT NULL,
    max_predictions        int NOT NULL,
    after_prediction       bigint NOT NULL,
    last_prediction        bigint NOT NULL,
    labels                 int NOT NULL DEFAULT 0,
    former_only            int NOT NULL DEFAULT 0,
    new_only               int NOT NULL DEFAULT 0,
    labels_count           boolean,
    predictions            int NOT NULL DEFAULT 0,
    disagreements          int NOT NULL DEFAULT 0,
    former_confirmed       int NOT NULL DEFAULT 0,
    new_confirmed          int NOT NULL DEFAULT 0,
    agreements_confirmed   int NOT NULL DEFAULT 0,
    former_unsure          int NOT NULL DEFAULT 0,
    new_unsure             int NOT NULL DEFAULT 0,
    CHECK ((outcome = 'under way') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX IF NOT EXISTS mnist_probation_under_way ON @extschema@.mnist_probation ((true))
    WHERE outcome = 'under way';

COMMENT ON TABLE @extschema@.mnist_probation IS
    'probations of models that went live: how each compares with the model before it, and how it ended';
COMMENT ON COLUMN @extschema@.mnist_probation.deployment_id IS 'the switch that made the model live';
COMMENT ON COLUMN @extschema@.mnist_probation.version IS 'the model';
COMMENT ON COLUMN @extschema@.mnist_probation.former_version IS 'the model that was live before it';
COMMENT ON COLUMN @extschema@.mnist_probation.outcome IS
    'under way; passed; rolled back (by mnist_check); superseded (by another switch); given up (the weights of the '
    'former model are gone)';
COMMENT ON COLUMN @extschema@.mnist_probation.finding IS
    'what shows that the model is worse: labels, disagreements or confidence; NULL: nothing';
COMMENT ON COLUMN @extschema@.mnist_probation.reason IS 'why it ended';
COMMENT ON COLUMN @extschema@.mnist_probation.began_at IS 'when the model was switched';
COMMENT ON COLUMN @extschema@.mnist_probation.checked_at IS 'when mnist_check last had something new to compare';
COMMENT ON COLUMN @extschema@.mnist_probation.ended_at IS 'when it ended; NULL: it is under way';
COMMENT ON COLUMN @extschema@.mnist_probation.max_labels IS
    'it ends after that many labelled predictions (mnist_hil.probation when it began)';
COMMENT ON COLUMN @extschema@.mnist_probation.max_predictions IS
    'or after that many predictions (mnist_hil.probation_predictions when it began)';
COMMENT ON COLUMN @extschema@.mnist_probation.after_prediction IS 'the newest prediction id at the switch';
COMMENT ON COLUMN @extschema@.mnist_probation.last_prediction IS 'the newest prediction id of the sample';
COMMENT ON COLUMN @extschema@.mnist_probation.labels IS
    'labelled predictions of the model so far, which the former model has predicted, too';
COMMENT ON COLUMN @extschema@.mnist_probation.former_only IS 'of these, those that only the former model got right';
COMMENT ON COLUMN @extschema@.mnist_probation.new_only IS 'of these, those that only the model got right';
COMMENT ON COLUMN @extschema@.mnist_probation.labels_count IS
    'whether the labels may decide: annotators do not seem to prefer wrong predictions';
COMMENT ON COLUMN @extschema@.mnist_probation.predictions IS
    'predictions of the sample that the former model has made, too, labelled or not';
COMMENT ON COLUMN @extschema@.mnist_probation.disagreements IS 'of these, those on which the models differ';
COMMENT ON COLUMN @extschema@.mnist_probation.former_confirmed IS
    'of the disagreements, those labelled with what the former model predicted';
COMMENT ON COLUMN @extschema@.mnist_probation.new_confirmed IS
    'of the disagreements, those labelled with what the model predicted';
COMMENT ON COLUMN @extschema@.mnist_probation.agreements_confirmed IS
    'of the predictions on which they agree, those labelled with what both predicted';
COMMENT ON COLUMN @extschema@.mnist_probation.former_unsure IS
    'predictions of the sample in which the former model''s confidence is below 0.5';
COMMENT ON COLUMN @extschema@.mnist_probation.new_unsure IS 'the same of the model';

SELECT pg_extension_config_dump('@extschema@.mnist_probation', '');

CREATE TABLE IF NOT EXISTS mnist_internal.probation_prediction (
    prediction_id      bigint PRIMARY KEY,                          -- refers to mnist_prediction
    sampled            boolean NOT NULL,
    place              int,
    former_label       smallint NOT NULL,
    former_confidence  real NOT NULL,
    new_label          smallint NOT NULL,
    new_confidence     real NOT NULL
);
COMMENT ON TABLE mnist_internal.probation_prediction IS
    'predictions of the model on probation, and what the former model predicted; empty when none is under way; '
    'internal';
COMMENT ON COLUMN mnist_internal.probation_prediction.sampled IS
    'whether it is in the sample; otherwise it is here because it is labelled';
COMMENT ON COLUMN mnist_internal.probation_prediction.place IS
    'its place in the order in which mnist_check saw the labels; NULL: not labelled yet';

SELECT pg_extension_config_dump('mnist_internal.probation_prediction', '');

---------------------------------------------------------------- beginning

-- A person who activates a model that probation rolled back before overrules it.
CREATE OR REPLACE FUNCTION mnist_internal.probation_begin() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former int;
    settings record;
BEGIN
    -- A restore inserts rows with ids that the sequence has not given out yet; its probations come from the dump.
    IF NEW.id > (SELECT s.last_value FROM @extschema@.mnist_deployment_id_seq s) THEN
        RETURN NULL;
    END IF;
    UPDATE @extschema@.mnist_probation p
    SET outcome = 'superseded', ended_at = clock_timestamp(),
        reason = format('model version %s went live (%s)', NEW.version, NEW.action)
    WHERE p.outcome = 'under way';
    IF FOUND THEN
        DELETE FROM mnist_internal.probation_prediction;
    END IF;

    SELECT * INTO settings FROM mnist_internal.probation_settings();
    SELECT m.version INTO former
    FROM @extschema@.mnist_deployment d
    JOIN @extschema@.mnist_model m ON m.version = d.version
    WHERE d.id = NEW.rollback_to AND m.version <> NEW.version AND m.weights IS NOT NULL;
    IF former IS NULL OR settings.labels = 0 OR (NEW.action = 'activate' AND EXISTS (
        SELECT FROM @extschema@.mnist_probation p WHERE p.version = NEW.version AND p.outcome = 'rolled back'))
    THEN
        RETURN NULL;
    END IF;
    INSERT INTO @extschema@.mnist_probation (deployment_id, version, former_version, max_labels, max_predictions,
        after_prediction, last_prediction)
    SELECT NEW.id, NEW.version, former, settings.labels, settings.predictions, n.newest, n.newest
    FROM (
        SELECT CASE WHEN q.is_called THEN q.last_value ELSE 0 END AS newest
        FROM @extschema@.mnist_prediction_id_seq q) n;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.probation_begin() IS
    'trigger that ends the probation under way when the live model is switched, and begins that of the new one; '
    'internal';

CREATE OR REPLACE TRIGGER mnist_deployment_on_probation AFTER INSERT ON @extschema@.mnist_deployment
    FOR EACH ROW WHEN (NEW.action IN ('activate', 'promote', 'rollback'))
    EXECUTE FUNCTION mnist_internal.probation_begin();

---------------------------------------------------------------- comparing

-- The sample takes every prediction, or a fraction if the probation lasts for more than 5,000.
CREATE OR REPLACE FUNCTION mnist_internal.probation_sample(p @extschema@.mnist_probation, most int) RETURNS bigint[]
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(array_agg(n.id ORDER BY n.id), '{}')
    FROM (
        SELECT r.id
        FROM @extschema@.mnist_prediction r
        WHERE r.id > (p).last_prediction AND r.model_version = (p).version
            AND mnist_internal.challenge_point(r.id) < 5000.0 / (p).max_predictions
        ORDER BY r.id
        LIMIT greatest(0, least(most, least(5000, (p).max_predictions) - (p).predictions))) n;
END;
COMMENT ON FUNCTION mnist_internal.probation_sample(@extschema@.mnist_probation, int) IS
    'the next predictions of the sample of a probation, at most that many; internal';

CREATE OR REPLACE FUNCTION mnist_internal.probation_labelled(p @extschema@.mnist_probation) RETURNS bigint[]
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(array_agg(l.prediction_id ORDER BY l.prediction_id), '{}')
    FROM @extschema@.mnist_label l
    WHERE l.prediction_id > (p).after_prediction AND l.model_version = (p).version AND l.label IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM mnist_internal.probation_prediction c
            WHERE c.prediction_id = l.prediction_id AND c.place IS NOT NULL);
END;
COMMENT ON FUNCTION mnist_internal.probation_labelled(@extschema@.mnist_probation) IS
    'the labelled predictions of the model on probation that no check has seen as labelled; internal';

CREATE OR REPLACE FUNCTION mnist_internal.probation_predict(predictions bigint[], former int, is_sampled boolean)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE mnist_internal.probation_prediction c
    SET sampled = true
    WHERE is_sampled AND c.prediction_id = ANY (predictions);
    INSERT INTO mnist_internal.probation_prediction (prediction_id, sampled, former_label, former_confidence,
        new_label, new_confidence)
    SELECT r.id, is_sampled, r.f[label.place], r.f[confidence.place], r.label, r.confidence
    FROM (
        SELECT n.id, n.label, n.confidence, mnist_internal.features(n.image, former) AS f
        FROM @extschema@.mnist_prediction n
        WHERE n.id = ANY (predictions)
            AND NOT EXISTS (SELECT FROM mnist_internal.probation_prediction c WHERE c.prediction_id = n.id)
        OFFSET 0) r
    CROSS JOIN (SELECT f.place FROM @extschema@.mnist_feature f WHERE f.name = 'label') label
    CROSS JOIN (SELECT f.place FROM @extschema@.mnist_feature f WHERE f.name = 'confidence') confidence;
END
$$;
COMMENT ON FUNCTION mnist_internal.probation_predict(bigint[], int, boolean) IS
    'let the former model predict the images of these predictions; internal';

CREATE OR REPLACE FUNCTION mnist_internal.probation_figures(p @extschema@.mnist_probation, is_over boolean,
    OUT finding text, OUT labelled int, OUT former_only int, OUT new_only int, OUT compared int,
    OUT disagreements int, OUT former_confirmed int, OUT new_confirmed int, OUT neither_confirmed int,
    OUT agreements_confirmed int, OUT former_unsure int, OUT new_unsure int, OUT labels_count boolean)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT j.*
    FROM (
        SELECT coalesce(array_agg(c.place ORDER BY c.prediction_id), '{}') AS places,
            coalesce(array_agg(c.sampled ORDER BY c.prediction_id), '{}') AS sampled,
            coalesce(array_agg(c.label ORDER BY c.prediction_id), '{}') AS labels,
            coalesce(array_agg(c.former_label ORDER BY c.prediction_id), '{}') AS former_labels,
            coalesce(array_agg(c.new_label ORDER BY c.prediction_id), '{}') AS new_labels,
            coalesce(array_agg(c.former_confidence ORDER BY c.prediction_id), '{}') AS former_confidences,
            coalesce(array_agg(c.new_confidence ORDER BY c.prediction_id), '{}') AS new_confidences
        FROM (
            -- A place is missing if annotators no longer agree on a label, or if the prediction was erased.
            SELECT b.*,
                CASE WHEN b.unlabelled THEN 0
                    ELSE row_number() OVER (PARTITION BY b.unlabelled ORDER BY b.labelled_at) END::int AS place
            FROM (
                SELECT a.prediction_id, a.sampled, a.former_label, a.new_label, a.former_confidence,
                    a.new_confidence, a.place AS labelled_at, coalesce(l.label, 0::smallint) AS label,
                    l.label IS NULL AS unlabelled
                FROM mnist_internal.probation_prediction a
                LEFT JOIN @extschema@.mnist_label l ON a.place IS NOT NULL AND l.prediction_id = a.prediction_id) b) c)
        g
    CROSS JOIN LATERAL mnist_internal.probation_judge(g.places, g.sampled, g.labels, g.former_labels, g.new_labels,
        g.former_confidences, g.new_confidences, (p).max_labels, least(5000, (p).max_predictions), is_over) AS j;
END;
COMMENT ON FUNCTION mnist_internal.probation_figures(@extschema@.mnist_probation, boolean) IS
    'judge the model on probation from all that was compared so far; is_over: for the last time; internal';

---------------------------------------------------------------- the check

CREATE OR REPLACE FUNCTION mnist_internal.probation_reason(p @extschema@.mnist_probation, finding text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT 'probation: ' || CASE finding
        WHEN 'labels' THEN format('of %s labelled predictions, only version %s was right on %s, only version %s on %s',
            (p).labels, (p).former_version, (p).former_only, (p).version, (p).new_only)
        WHEN 'disagreements' THEN format(
            'of %s predictions on which versions %s and %s differ, annotators labelled %s with what version %s '
            'predicts',
            (p).disagreements, (p).version, (p).former_version, (p).former_confirmed, (p).former_version)
        WHEN 'confidence' THEN format(
            'of %s predictions, version %s is unsure of %s (confidence below 0.5), version %s of %s',
            (p).predictions, (p).version, (p).new_unsure, (p).former_version, (p).former_unsure)
        ELSE format('passed after %s labelled predictions: only version %s was right on %s, only version %s on %s',
            (p).labels, (p).former_version, (p).former_only, (p).version, (p).new_only) END;
END;
COMMENT ON FUNCTION mnist_internal.probation_reason(@extschema@.mnist_probation, text) IS
    'a finding as a sentence, with its figures; internal';

CREATE OR REPLACE FUNCTION mnist_internal.probation_end(p @extschema@.mnist_probation, new_outcome text, why text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.mnist_probation b
    SET outcome = new_outcome, reason = why, ended_at = clock_timestamp()
    WHERE b.deployment_id = (p).deployment_id;
    DELETE FROM mnist_internal.probation_prediction;
    IF new_outcome = 'passed' THEN
        PERFORM mnist_internal.event('probation_passed', format('model version %s: %s', (p).version, why),
            jsonb_build_object('model_version', (p).version, 'former_version', (p).former_version,
                'deployment_id', (p).deployment_id, 'labels', (p).labels, 'former_only', (p).former_only,
                'new_only', (p).new_only, 'predictions', (p).predictions));
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.probation_end(@extschema@.mnist_probation, text, text) IS
    'end the probation under way; internal';

-- It waits for no lock: if there is a conflicting one, it fails with lock_not_available.
CREATE OR REPLACE FUNCTION mnist_internal.probation_roll_back(p @extschema@.mnist_probation, why text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target @extschema@.mnist_deployment;
BEGIN
    LOCK TABLE @extschema@.mnist_deployment IN SHARE ROW EXCLUSIVE MODE NOWAIT;
    PERFORM mnist_internal.lock_readers();
    SELECT d.* INTO target
    FROM @extschema@.mnist_live l
    JOIN @extschema@.mnist_deployment d ON d.id = l.rollback_to
    WHERE l.deployment_id = (p).deployment_id;
    IF FOUND THEN
        PERFORM mnist_internal.probation_end(p, 'rolled back', why);
        PERFORM mnist_internal.deploy(target.version, 'rollback', target.rollback_to, why);
    END IF;
END
$$;
COMMENT ON FUNCTION mnist_internal.probation_roll_back(@extschema@.mnist_probation, text) IS
    'go back to the former model; internal';

CREATE OR REPLACE FUNCTION mnist_internal.probation_check() RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT int := 500;
    p @extschema@.mnist_probation;
    f record;
    labelled bigint[];
    to_predict bigint[];
    sample bigint[];
    is_over boolean;
    why text;
BEGIN
    SELECT b.* INTO p
    FROM @extschema@.mnist_probation b
    JOIN @extschema@.mnist_live l ON l.deployment_id = b.deployment_id
    WHERE b.outcome = 'under way';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- With a finding an earlier check could not roll back.  Counting is faster than to look for the new labels.
    IF p.finding IS NULL
        AND (SELECT count(*) FROM mnist_internal.probation_prediction c WHERE c.place IS NOT NULL) = (
            SELECT count(*)
            FROM @extschema@.mnist_label l
            WHERE l.prediction_id > p.after_prediction AND l.model_version = p.version AND l.label IS NOT NULL)
        AND mnist_internal.probation_sample(p, 1) = '{}'
    THEN
        RETURN NULL;
    END IF;
    IF NOT mnist_internal.try_lock() THEN
        RETURN NULL;
    END IF;
    -- Another check may have ended since, and a switch that has not committed has a lock on the row.
    SELECT b.* INTO p
    FROM @extschema@.mnist_probation b
    WHERE b.deployment_id = (SELECT l.deployment_id FROM @extschema@.mnist_live l) AND b.outcome = 'under way'
    FOR NO KEY UPDATE NOWAIT;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM @extschema@.mnist_model m WHERE m.version = p.former_version AND m.weights IS NULL) THEN
        PERFORM mnist_internal.probation_end(p, 'given up', 'the weights of the former model were pruned');
        RETURN NULL;
    END IF;

    labelled := mnist_internal.probation_labelled(p);
    to_predict := ARRAY(
        SELECT l.id
        FROM unnest(labelled) AS l (id)
        WHERE NOT EXISTS (SELECT FROM mnist_internal.probation_prediction c WHERE c.prediction_id = l.id)
        ORDER BY l.id
        LIMIT most);
    PERFORM mnist_internal.probation_predict(to_predict, p.former_version, false);
    sample := mnist_internal.probation_sample(p, most - cardinality(to_predict));
    PERFORM mnist_internal.probation_predict(sample, p.former_version, true);
    UPDATE mnist_internal.probation_prediction c
    SET place = n.place
    FROM (
        SELECT l.id, coalesce((SELECT max(o.place) FROM mnist_internal.probation_prediction o), 0)
            + row_number() OVER (ORDER BY l.id) AS place
        FROM unnest(labelled) AS l (id)
        JOIN mnist_internal.probation_prediction o ON o.prediction_id = l.id) n
    WHERE c.prediction_id = n.id;

    p.predictions := p.predictions + cardinality(sample);
    p.last_prediction := coalesce(sample[cardinality(sample)], p.last_prediction);
    is_over := p.predictions >= least(5000, p.max_predictions) AND cardinality(to_predict) < most
        OR (SELECT count(*) FROM mnist_internal.probation_prediction c WHERE c.place IS NOT NULL) >= p.max_labels;
    SELECT * INTO f FROM mnist_internal.probation_figures(p, is_over);
    UPDATE @extschema@.mnist_probation b
    SET checked_at = clock_timestamp(), finding = f.finding, last_prediction = p.last_prediction,
        predictions = p.predictions, labels = f.labelled, former_only = f.former_only, new_only = f.new_only,
        labels_count = f.labels_count,
        disagreements = f.disagreements, former_confirmed = f.former_confirmed, new_confirmed = f.new_confirmed,
        agreements_confirmed = f.agreements_confirmed, former_unsure = f.former_unsure, new_unsure = f.new_unsure
    WHERE b.deployment_id = p.deployment_id
    RETURNING b.* INTO p;

    why := mnist_internal.probation_reason(p, f.finding);
    IF f.finding IS NOT NULL THEN
        BEGIN
            PERFORM mnist_internal.probation_roll_back(p, why);
        EXCEPTION
            WHEN lock_not_available OR serialization_failure THEN
                RETURN format('not rolled back yet: %s; %s', SQLERRM, why);
        END;
        RETURN format('rolled back to model version %s: %s', p.former_version, why);
    ELSIF is_over THEN
        PERFORM mnist_internal.probation_end(p, 'passed', why);
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN lock_not_available OR serialization_failure THEN
        RETURN NULL;            -- another session has changed the probation; the next check looks again
END
$$;
COMMENT ON FUNCTION mnist_internal.probation_check() IS
    'compare the model on probation with the former one as far as there is something new, and roll back if it is '
    'worse, or let it pass; returns a sentence if it rolled back, or could not; internal';

---------------------------------------------------------------- not the same again

CREATE OR REPLACE FUNCTION mnist_internal.rolled_back_as(candidate int) RETURNS int
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.version
    FROM @extschema@.mnist_probation p
    JOIN @extschema@.mnist_model m ON m.version = p.version
    JOIN @extschema@.mnist_model c ON c.weights_sha256 = m.weights_sha256
    WHERE c.version = candidate AND p.outcome = 'rolled back'
    ORDER BY p.version
    LIMIT 1;
END;
COMMENT ON FUNCTION mnist_internal.rolled_back_as(int) IS
    'the version with the same weights that probation rolled back; NULL: none; internal';
