/*
 * Challenges: a second model is tried beside the live one, on a fraction of the predictions.
 *
 * mnist_challenger records them.  Its newest row decides: if that row begins a challenge, and the deployment that the
 * row names is still live, then this challenge is under way.  So there is at most one.  It ends when a later row ends
 * it, when another challenge begins, or when the live model is switched, because a comparison with a model that is no
 * longer live is pointless.  As with switches (model.sql), code that adds a row calls mnist_internal.lock_readers
 * first, and a challenge takes effect in every session when it commits.  src/model/challenge.c decides which
 * predictions the challenger takes part in.
 *
 * The fraction of a challenge never changes.  Another fraction needs another challenge, so that figures from different
 * fractions, and so from different times, are not mixed.
 */

CREATE SEQUENCE IF NOT EXISTS @extschema@.mnist_challenger_id_seq;
CREATE TABLE IF NOT EXISTS @extschema@.mnist_challenger (
    id             bigint PRIMARY KEY DEFAULT nextval('@extschema@.mnist_challenger_id_seq'),
    action         text NOT NULL CHECK (action IN ('challenge', 'promote', 'drop')),
    version        int NOT NULL REFERENCES @extschema@.mnist_model,
    share          real CHECK (share > 0 AND share <= 1),
    shadow         boolean,
    ends           bigint UNIQUE CHECK (ends < id),                 -- refers to this table
    deployment_id  bigint NOT NULL REFERENCES @extschema@.mnist_deployment,
    reason         text,
    decided_by     name NOT NULL DEFAULT session_user,
    decided_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    promote_when_better  boolean NOT NULL DEFAULT false,
    after_prediction     bigint NOT NULL DEFAULT 0,
    CHECK (CASE action
        WHEN 'challenge' THEN share IS NOT NULL AND shadow IS NOT NULL AND ends IS NULL
        ELSE share IS NULL AND shadow IS NULL AND ends IS NOT NULL END)
);
ALTER SEQUENCE @extschema@.mnist_challenger_id_seq OWNED BY @extschema@.mnist_challenger.id;

COMMENT ON TABLE @extschema@.mnist_challenger IS
    'challenges of the live model, and how they ended: who decided, when and why';
COMMENT ON COLUMN @extschema@.mnist_challenger.id IS 'the challenge, or the decision that ended one';
COMMENT ON COLUMN @extschema@.mnist_challenger.action IS 'challenge (one begins), or promote or drop (one ends)';
COMMENT ON COLUMN @extschema@.mnist_challenger.version IS 'the challenger';
COMMENT ON COLUMN @extschema@.mnist_challenger.share IS
    'the fraction of the predictions that it takes part in, above 0, up to 1';
COMMENT ON COLUMN @extschema@.mnist_challenger.shadow IS
    'whether the challenger only predicts beside the live model, which answers; if not, the challenger answers';
COMMENT ON COLUMN @extschema@.mnist_challenger.ends IS 'the row that began the challenge which this row ends';
COMMENT ON COLUMN @extschema@.mnist_challenger.deployment_id IS
    'the live model at that time: a switch to another ends the challenge';
COMMENT ON COLUMN @extschema@.mnist_challenger.reason IS 'why, as the role that decided wrote';
COMMENT ON COLUMN @extschema@.mnist_challenger.decided_by IS 'the role that decided';
COMMENT ON COLUMN @extschema@.mnist_challenger.decided_at IS 'when; it takes effect at commit';
COMMENT ON COLUMN @extschema@.mnist_challenger.promote_when_better IS
    'whether mnist_check promotes the challenger when it is found better, and drops it when the live model is';
COMMENT ON COLUMN @extschema@.mnist_challenger.after_prediction IS
    'the newest prediction id when the challenge began; 0 in rows from 0.1.0';

SELECT pg_extension_config_dump('@extschema@.mnist_challenger', '');
SELECT pg_extension_config_dump('@extschema@.mnist_challenger_id_seq', '');

CREATE OR REPLACE TRIGGER mnist_challenger_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.mnist_challenger
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.refuse(
        'Use mnist_challenge, mnist_challenge_promote or mnist_challenge_drop.');
CREATE OR REPLACE TRIGGER mnist_challenger_changed
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.mnist_challenger
    FOR EACH ROW EXECUTE FUNCTION mnist_internal.deployment_changed();
ALTER TABLE @extschema@.mnist_challenger ENABLE ALWAYS TRIGGER mnist_challenger_changed;

/*
 * Each prediction in shadow mode adds a row.  Hence there are no foreign keys, which would take longer to check than
 * the insert takes; the trigger below deletes the rows of deleted predictions.
 */
CREATE TABLE IF NOT EXISTS @extschema@.mnist_shadow (
    prediction_id  bigint PRIMARY KEY,                              -- refers to mnist_prediction
    challenge_id   bigint NOT NULL,                                 -- refers to mnist_challenger
    model_version  int NOT NULL,
    label          smallint NOT NULL CHECK (label BETWEEN 0 AND 9),
    confidence     real NOT NULL
);
COMMENT ON TABLE @extschema@.mnist_shadow IS
    'the predictions of a challenger in shadow mode, beside the stored predictions of the live model';
COMMENT ON COLUMN @extschema@.mnist_shadow.prediction_id IS 'the prediction';
COMMENT ON COLUMN @extschema@.mnist_shadow.challenge_id IS 'the challenge';
COMMENT ON COLUMN @extschema@.mnist_shadow.model_version IS 'the challenger';
COMMENT ON COLUMN @extschema@.mnist_shadow.label IS 'the digit that it predicted';
COMMENT ON COLUMN @extschema@.mnist_shadow.confidence IS 'its probability of that digit, 0 .. 1';

SELECT pg_extension_config_dump('@extschema@.mnist_shadow', '');

CREATE OR REPLACE FUNCTION mnist_internal.prediction_erased() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM @extschema@.mnist_shadow s USING erased e WHERE s.prediction_id = e.id;
    DELETE FROM mnist_internal.probation_prediction c USING erased e WHERE c.prediction_id = e.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.prediction_erased() IS
    'trigger that deletes what belongs to deleted predictions; internal';

CREATE OR REPLACE TRIGGER mnist_prediction_erased AFTER DELETE ON @extschema@.mnist_prediction
    REFERENCING OLD TABLE AS erased
    FOR EACH STATEMENT EXECUTE FUNCTION mnist_internal.prediction_erased();

---------------------------------------------------------------- the challenge under way

CREATE OR REPLACE VIEW @extschema@.mnist_challenge_now AS
    SELECT c.id AS challenge_id, c.version, c.share, c.shadow, live.version AS live_version, live.deployment_id,
        c.reason, c.decided_by, c.decided_at, c.promote_when_better
    FROM @extschema@.mnist_live live
    JOIN (SELECT n.* FROM @extschema@.mnist_challenger n ORDER BY n.id DESC LIMIT 1) c
        ON c.deployment_id = live.deployment_id AND c.action = 'challenge';
COMMENT ON VIEW @extschema@.mnist_challenge_now IS 'the challenge under way, one row; empty when there is none';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.challenge_id IS 'the row of mnist_challenger that began it';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.version IS 'the challenger';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.share IS 'the fraction of the predictions that it takes part in';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.shadow IS
    'whether the challenger only predicts beside the live model, which answers';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.live_version IS 'the live model';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.deployment_id IS 'the row of mnist_deployment that made it live';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.reason IS 'why the challenge began';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.decided_by IS 'the role that began it';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.decided_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_challenge_now.promote_when_better IS
    'whether mnist_check promotes the challenger when it is found better, and drops it when the live model is';

CREATE OR REPLACE FUNCTION mnist_internal.challenge_point(id bigint) RETURNS double precision
    AS 'MODULE_PATHNAME', 'mnist_hil_challenge_point' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mnist_internal.challenge_point(bigint) IS
    'a number from 0 to 1 for a prediction; the challenger takes part if it is below the fraction; internal';

---------------------------------------------------------------- beginning and ending

CREATE OR REPLACE FUNCTION @extschema@.mnist_challenge(version int, share real, shadow boolean DEFAULT false,
    reason text DEFAULT NULL, promote_when_better boolean DEFAULT false)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live @extschema@.mnist_live;
    under_way @extschema@.mnist_challenge_now;
    wanted_share real := CASE WHEN mnist_challenge.shadow THEN coalesce(mnist_challenge.share, 1)
        ELSE mnist_challenge.share END;
    challenge_id bigint;
BEGIN
    IF mnist_challenge.version IS NULL OR mnist_challenge.shadow IS NULL OR wanted_share IS NULL
        OR mnist_challenge.promote_when_better IS NULL
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('%s must not be null',
                CASE WHEN mnist_challenge.version IS NULL THEN 'version'
                    WHEN mnist_challenge.shadow IS NULL THEN 'shadow'
                    WHEN wanted_share IS NULL THEN 'share' ELSE 'promote_when_better' END),
            HINT = 'mnist_challenge_drop ends a challenge.';
    END IF;
    IF NOT (wanted_share > 0 AND wanted_share <= 1) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('share %s is out of range', wanted_share),
            DETAIL = 'It is the fraction of the predictions that the challenger takes part in: above 0, up to 1.',
            HINT = 'mnist_challenge_drop ends a challenge.';
    END IF;

    PERFORM mnist_internal.lock_readers();
    SELECT l.* INTO live FROM @extschema@.mnist_live l;
    SELECT n.* INTO under_way FROM @extschema@.mnist_challenge_now n;
    IF mnist_challenge.version = live.version THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('model version %s is live', live.version),
            DETAIL = 'A model cannot challenge itself.',
            HINT = 'mnist_model lists the others.';
    END IF;
    IF (under_way.version, under_way.share, under_way.shadow, under_way.promote_when_better)
        = (mnist_challenge.version, wanted_share, mnist_challenge.shadow, mnist_challenge.promote_when_better)
    THEN
        RAISE NOTICE 'this challenge by model version % is under way already', under_way.version;
        RETURN under_way.challenge_id;
    END IF;
    PERFORM mnist_internal.load(mnist_challenge.version);
    INSERT INTO @extschema@.mnist_challenger (action, version, share, shadow, deployment_id, reason, decided_by,
        promote_when_better, after_prediction)
    SELECT 'challenge', mnist_challenge.version, wanted_share, mnist_challenge.shadow, live.deployment_id,
        mnist_challenge.reason, mnist_internal.invoker(), mnist_challenge.promote_when_better,
        CASE WHEN s.is_called THEN s.last_value ELSE 0 END
    FROM @extschema@.mnist_prediction_id_seq s
    RETURNING id INTO challenge_id;
    RETURN challenge_id;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_challenge(int, real, boolean, text, boolean) IS
    'give a model version a fraction of the predictions that mnist_predict stores: to answer them, or (shadow) to '
    'predict beside the live model; takes effect at commit; ends the challenge before it; with promote_when_better '
    'mnist_check promotes or drops it by its finding; returns the id of the challenge';

CREATE OR REPLACE FUNCTION mnist_internal.end_challenge(new_action text, new_reason text)
    RETURNS @extschema@.mnist_challenge_now
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended @extschema@.mnist_challenge_now;
BEGIN
    PERFORM mnist_internal.lock_readers();
    SELECT n.* INTO ended FROM @extschema@.mnist_challenge_now n;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'no challenge is under way',
            DETAIL = 'There was none, or it has ended; switching the live model ends it, too.',
            HINT = 'mnist_challenge_result lists those that were; mnist_challenge begins one.';
    END IF;
    INSERT INTO @extschema@.mnist_challenger (action, version, ends, deployment_id, reason, decided_by)
    VALUES (new_action, ended.version, ended.challenge_id, ended.deployment_id, new_reason, mnist_internal.invoker());
    RETURN ended;
END
$$;
COMMENT ON FUNCTION mnist_internal.end_challenge(text, text) IS
    'end the challenge under way; returns it as it was; internal';

CREATE OR REPLACE FUNCTION @extschema@.mnist_challenge_promote(reason text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended @extschema@.mnist_challenge_now := mnist_internal.end_challenge('promote', mnist_challenge_promote.reason);
BEGIN
    RETURN mnist_internal.deploy(ended.version, 'promote', ended.deployment_id,
        format('challenge %s%s', ended.challenge_id, ': ' || mnist_challenge_promote.reason));
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_challenge_promote(text) IS
    'end the challenge under way and make its challenger live in every session at commit; returns its version';

CREATE OR REPLACE FUNCTION @extschema@.mnist_challenge_drop(reason text DEFAULT NULL) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended @extschema@.mnist_challenge_now := mnist_internal.end_challenge('drop', mnist_challenge_drop.reason);
BEGIN
    RETURN ended.version;
END
$$;
COMMENT ON FUNCTION @extschema@.mnist_challenge_drop(text) IS
    'end the challenge under way; the live model stays; returns the version of the challenger';

---------------------------------------------------------------- by itself

CREATE OR REPLACE FUNCTION mnist_internal.labels_unbiased(disagreements int, served int, other int, neither int,
    agreements int, confirmed int)
    RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_labels_unbiased';
COMMENT ON FUNCTION mnist_internal.labels_unbiased(int, int, int, int, int, int) IS
    'whether annotators do not seem to prefer wrong predictions: from predictions on which two models differ, those '
    'labelled with what the one predicted that annotators see, the other one, or neither, and from those on which '
    'they agree, and those labelled so; internal';

-- Of the shadow's newest 10,000 predictions.
CREATE OR REPLACE FUNCTION mnist_internal.shadow_unbiased(challenge bigint, after bigint) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT mnist_internal.labels_unbiased(
        (count(*) FILTER (WHERE n.differ))::int,
        (count(*) FILTER (WHERE n.differ AND n.correct = n.served))::int,
        (count(*) FILTER (WHERE n.differ AND n.correct = n.label))::int,
        (count(*) FILTER (WHERE n.differ AND n.correct NOT IN (n.served, n.label)))::int,
        (count(*) FILTER (WHERE NOT n.differ))::int,
        (count(*) FILTER (WHERE NOT n.differ AND n.correct = n.served))::int)
    FROM (
        SELECT s.label, p.label AS served, p.label <> s.label AS differ, l.label AS correct
        FROM @extschema@.mnist_shadow s
        JOIN @extschema@.mnist_prediction p ON p.id = s.prediction_id
        LEFT JOIN @extschema@.mnist_label l ON l.prediction_id = s.prediction_id
        WHERE s.prediction_id > after AND s.challenge_id = challenge
        ORDER BY s.prediction_id DESC
        LIMIT 10000) n;
END;
COMMENT ON FUNCTION mnist_internal.shadow_unbiased(bigint, bigint) IS
    'mnist_internal.labels_unbiased of a challenge in shadow mode; internal';

-- It waits for no lock: if there is a conflicting one, it fails with lock_not_available.
CREATE OR REPLACE FUNCTION mnist_internal.challenge_decide(is_better boolean, why text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE @extschema@.mnist_deployment IN SHARE ROW EXCLUSIVE MODE NOWAIT;
    RETURN format('challenger, model version %s, was %s: %s',
        CASE WHEN is_better THEN @extschema@.mnist_challenge_promote(why)
            ELSE @extschema@.mnist_challenge_drop(why) END,
        CASE WHEN is_better THEN 'promoted' ELSE 'dropped' END, why);
END
$$;
COMMENT ON FUNCTION mnist_internal.challenge_decide(boolean, text) IS
    'promote or drop the challenger; returns a sentence; internal';

/*
 * The finding rests on labels, and annotators who only correct errors make either side look better.  So a shadow is
 * promoted only if they do not seem to, and in an A/B test only if the challenger's right predictions are not labelled
 * less often than its share.
 */
CREATE OR REPLACE FUNCTION mnist_internal.challenge_check() RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c @extschema@.mnist_challenge_now;
    k record;
    after bigint;
    finding text;
    same int;
BEGIN
    SELECT n.* INTO c FROM @extschema@.mnist_challenge_now n WHERE n.promote_when_better;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT b.after_prediction INTO after FROM @extschema@.mnist_challenger b WHERE b.id = c.challenge_id;
    SELECT count(*) FILTER (WHERE l.model_version <> c.version AND l.predicted_label <> l.label) AS live_errors,
        count(*) FILTER (WHERE l.model_version = c.version AND l.predicted_label <> l.label) AS challenger_errors,
        count(*) FILTER (WHERE l.model_version <> c.version AND l.predicted_label = l.label) AS live_right,
        count(*) FILTER (WHERE l.model_version = c.version AND l.predicted_label = l.label) AS challenger_right,
        count(*) FILTER (WHERE l.predicted_label = l.label AND l.challenger_label <> l.label) AS only_live_right,
        count(*) FILTER (WHERE l.predicted_label <> l.label AND l.challenger_label = l.label) AS only_challenger_right
    INTO k
    FROM @extschema@.mnist_label l
    WHERE l.prediction_id > after AND l.challenge_id = c.challenge_id AND l.label IS NOT NULL;
    finding := mnist_internal.challenge_finding(c.shadow, c.share, k.live_errors, k.challenger_errors,
        k.only_live_right, k.only_challenger_right);
    IF finding = 'undecided' OR NOT mnist_internal.try_lock() THEN
        RETURN NULL;
    END IF;
    IF finding = 'challenger better' THEN
        IF (CASE WHEN c.shadow THEN NOT mnist_internal.shadow_unbiased(c.challenge_id, after)
            ELSE NOT mnist_internal.more_than_expected(k.challenger_right, k.live_right, c.share) END)
        THEN
            RETURN NULL;
        END IF;
        same := mnist_internal.rolled_back_as(c.version);
        IF same IS NOT NULL THEN
            RETURN mnist_internal.challenge_decide(false,
                format('the same weights as version %s, which probation rolled back', same));
        END IF;
    END IF;
    RETURN mnist_internal.challenge_decide(finding = 'challenger better', CASE
        WHEN c.shadow THEN format('%s: of the labelled predictions, only version %s was right on %s, only version %s '
            'on %s', finding, c.live_version, k.only_live_right, c.version, k.only_challenger_right)
        ELSE format('%s: annotators found %s errors of version %s, which answered %s %% of the predictions, and %s of '
            'version %s', finding, k.challenger_errors, c.version, round((100 * c.share)::numeric, 1), k.live_errors,
            c.live_version) END);
EXCEPTION
    WHEN lock_not_available OR serialization_failure THEN
        RETURN NULL;            -- another session is switching; the next check looks again
END
$$;
COMMENT ON FUNCTION mnist_internal.challenge_check() IS
    'promote the challenger that is found better, or drop it when the live model is, if it began with '
    'promote_when_better; returns a sentence if it did; internal';

---------------------------------------------------------------- events

CREATE OR REPLACE FUNCTION mnist_internal.challenge_noted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A restore inserts rows with ids that the sequence has not given out yet; their events come from the dump.
    IF (SELECT NOT s.is_called OR NEW.id > s.last_value FROM @extschema@.mnist_challenger_id_seq s) THEN
        RETURN NULL;
    END IF;
    PERFORM mnist_internal.event(
        CASE NEW.action WHEN 'challenge' THEN 'challenge_began' ELSE 'challenge_dropped' END,
        CASE NEW.action
            WHEN 'challenge' THEN format('model version %s takes part in %s %% of the predictions%s%s', NEW.version,
                round((100 * NEW.share)::numeric, 2), CASE WHEN NEW.shadow THEN ', in shadow mode' END,
                ': ' || NEW.reason)
            ELSE format('challenge by model version %s was dropped%s', NEW.version, ': ' || NEW.reason) END,
        jsonb_strip_nulls(jsonb_build_object('model_version', NEW.version, 'challenge_id', coalesce(NEW.ends, NEW.id),
            'share', NEW.share, 'shadow', NEW.shadow, 'reason', NEW.reason, 'decided_by', NEW.decided_by)));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.challenge_noted() IS
    'trigger that stores the event of a challenge that begins or is dropped; internal';

-- A promotion has the event of the switch.
CREATE OR REPLACE TRIGGER mnist_challenger_noted AFTER INSERT ON @extschema@.mnist_challenger
    FOR EACH ROW WHEN (NEW.action <> 'promote')
    EXECUTE FUNCTION mnist_internal.challenge_noted();

CREATE OR REPLACE FUNCTION mnist_internal.challenge_overtaken() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    challenge @extschema@.mnist_challenger;
BEGIN
    IF NEW.id > (SELECT s.last_value FROM @extschema@.mnist_deployment_id_seq s) THEN
        RETURN NULL;
    END IF;
    SELECT c.* INTO challenge FROM @extschema@.mnist_challenger c ORDER BY c.id DESC LIMIT 1;
    IF challenge.action = 'challenge'
        AND challenge.deployment_id = (SELECT max(d.id) FROM @extschema@.mnist_deployment d WHERE d.id < NEW.id)
    THEN
        PERFORM mnist_internal.event('challenge_ended', format(
                'challenge by model version %s ended, as the live model was switched to version %s',
                challenge.version, NEW.version),
            jsonb_build_object('model_version', challenge.version, 'challenge_id', challenge.id,
                'deployment_id', NEW.id));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION mnist_internal.challenge_overtaken() IS
    'trigger that stores the event of a challenge that a switch of the live model ends; internal';

CREATE OR REPLACE TRIGGER mnist_deployment_ends_challenge AFTER INSERT ON @extschema@.mnist_deployment
    FOR EACH ROW EXECUTE FUNCTION mnist_internal.challenge_overtaken();

---------------------------------------------------------------- the finding

CREATE OR REPLACE FUNCTION mnist_internal.sequential_evidence(hits bigint, misses bigint, p float8) RETURNS float8
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_sequential_evidence';
COMMENT ON FUNCTION mnist_internal.sequential_evidence(bigint, bigint, float8) IS
    'logarithm of the evidence against "a hit has probability p", which reaches ln(1 / alpha) with a probability of '
    'at most alpha, however often one looks; internal, but open to readers of mnist_challenge_result';

CREATE OR REPLACE FUNCTION mnist_internal.more_than_expected(hits bigint, misses bigint, p float8) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN mnist_internal.sequential_evidence(hits, misses, p) >= ln(20::float8)
        THEN hits > p * (hits + misses) END;
END;
COMMENT ON FUNCTION mnist_internal.more_than_expected(bigint, bigint, float8) IS
    'whether a hit has a probability above p, false: below it; NULL: undecided; two-sided at 5 %, however often one '
    'looks; internal, but open to readers of mnist_challenge_result';

/*
 * In shadow mode both models predict the same images, and those decide on which only one is right.  In an A/B test the
 * errors that annotators find decide: if both models are equally good, the challenger has made its share of them.  That
 * holds whether or not annotators also confirm correct predictions.
 */
CREATE OR REPLACE FUNCTION mnist_internal.challenge_finding(shadow boolean, share float8, live_errors bigint,
    challenger_errors bigint, only_live_right bigint, only_challenger_right bigint)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        CASE WHEN shadow THEN mnist_internal.more_than_expected(coalesce(only_challenger_right, 0),
                coalesce(only_live_right, 0), 0.5)
            ELSE NOT mnist_internal.more_than_expected(coalesce(challenger_errors, 0), coalesce(live_errors, 0),
                share) END
        WHEN true THEN 'challenger better'
        WHEN false THEN 'live model better'
        ELSE 'undecided' END;
END;
COMMENT ON FUNCTION mnist_internal.challenge_finding(boolean, float8, bigint, bigint, bigint, bigint) IS
    'which model of a challenge is better; internal, but open to readers of mnist_challenge_result';

GRANT EXECUTE ON FUNCTION mnist_internal.sequential_evidence, mnist_internal.more_than_expected,
    mnist_internal.challenge_finding TO PUBLIC;

---------------------------------------------------------------- results

/*
 * The labelled predictions of each challenge are counted from mnist_label alone.  It contains the challenger's
 * predictions in shadow mode, copied from mnist_shadow when the label was given, so that 1,000,000 rows of mnist_shadow
 * need not be read.  In shadow mode only images count for which both models have made a prediction.
 */
CREATE OR REPLACE VIEW @extschema@.mnist_challenge_result AS
    SELECT c.id AS challenge_id,
        c.version,
        d.version AS live_version,
        c.share,
        c.shadow,
        CASE
            WHEN e.action = 'promote' OR e.id IS NULL AND switch.version = c.version THEN 'promoted'
            WHEN e.action = 'drop' THEN 'dropped'
            WHEN next.id IS NOT NULL THEN 'replaced'
            WHEN switch.id IS NOT NULL THEN 'overtaken'
            ELSE 'under way' END AS outcome,
        coalesce(k.live_labels, 0) AS live_labels,
        coalesce(k.live_right, 0) AS live_right,
        (k.live_right::float8 / nullif(k.live_labels, 0))::real AS live_accuracy,
        live.low::real AS live_low,
        live.high::real AS live_high,
        coalesce(k.challenger_labels, 0) AS challenger_labels,
        coalesce(k.challenger_right, 0) AS challenger_right,
        (k.challenger_right::float8 / nullif(k.challenger_labels, 0))::real AS challenger_accuracy,
        challenger.low::real AS challenger_low,
        challenger.high::real AS challenger_high,
        (k.challenger_right::float8 / nullif(k.challenger_labels, 0)
            - k.live_right::float8 / nullif(k.live_labels, 0))::real AS difference,
        coalesce(paired.low, unpaired.low)::real AS difference_low,
        coalesce(paired.high, unpaired.high)::real AS difference_high,
        mnist_internal.challenge_finding(c.shadow, c.share, k.live_labels - k.live_right,
            k.challenger_labels - k.challenger_right, k.only_live_right, k.only_challenger_right) AS finding,
        CASE WHEN c.shadow THEN coalesce(k.only_live_right, 0) END AS only_live_right,
        CASE WHEN c.shadow THEN coalesce(k.only_challenger_right, 0) END AS only_challenger_right,
        mcnemar.exact AS mcnemar_exact,
        mcnemar.mid_p AS mcnemar_mid_p,
        (errors.share / nullif(1 - errors.share, 0) * errors.odds)::real AS error_ratio,
        (errors.low / nullif(1 - errors.low, 0) * errors.odds)::real AS error_ratio_low,
        (errors.high / nullif(1 - errors.high, 0) * errors.odds)::real AS error_ratio_high,
        c.reason,
        c.decided_by AS began_by,
        c.decided_at AS began_at,
        coalesce(e.reason, CASE WHEN next.id IS NOT NULL THEN next.reason ELSE switch.reason END) AS end_reason,
        coalesce(e.decided_by, next.decided_by, switch.deployed_by) AS ended_by,
        coalesce(e.decided_at, next.decided_at, switch.deployed_at) AS ended_at,
        c.promote_when_better
    FROM @extschema@.mnist_challenger c
    JOIN @extschema@.mnist_deployment d ON d.id = c.deployment_id
    LEFT JOIN @extschema@.mnist_challenger e ON e.ends = c.id
    LEFT JOIN LATERAL (
        SELECT n.* FROM @extschema@.mnist_challenger n WHERE n.id > c.id ORDER BY n.id LIMIT 1) next
        ON next.action = 'challenge' AND next.deployment_id = c.deployment_id
    LEFT JOIN LATERAL (
        SELECT n.* FROM @extschema@.mnist_deployment n WHERE n.id > c.deployment_id ORDER BY n.id LIMIT 1) switch
            ON true
    LEFT JOIN (
        SELECT r.challenge_id,
            sum(r.n) FILTER (WHERE r.live IS NOT NULL)::bigint AS live_labels,
            coalesce(sum(r.n) FILTER (WHERE r.live), 0)::bigint AS live_right,
            sum(r.n) FILTER (WHERE r.challenger IS NOT NULL)::bigint AS challenger_labels,
            coalesce(sum(r.n) FILTER (WHERE r.challenger), 0)::bigint AS challenger_right,
            coalesce(sum(r.n) FILTER (WHERE r.live AND r.challenger), 0)::bigint AS both_right,
            coalesce(sum(r.n) FILTER (WHERE r.live AND NOT r.challenger), 0)::bigint AS only_live_right,
            coalesce(sum(r.n) FILTER (WHERE NOT r.live AND r.challenger), 0)::bigint AS only_challenger_right,
            coalesce(sum(r.n) FILTER (WHERE NOT r.live AND NOT r.challenger), 0)::bigint AS both_wrong
        FROM (
            -- Whether each model was right; NULL: it did not predict or, in shadow mode, the other model did not.
            SELECT g.challenge_id, g.n,
                CASE WHEN a.shadow AND g.challenger IS NOT NULL OR NOT a.shadow AND g.model_version <> a.version
                    THEN g.answer END AS live,
                CASE WHEN a.shadow THEN g.challenger WHEN g.model_version = a.version THEN g.answer END AS challenger
            FROM (
                SELECT l.challenge_id, l.model_version, l.predicted_label = l.label AS answer,
                    l.challenger_label = l.label AS challenger, count(*) AS n
                FROM @extschema@.mnist_label l
                WHERE l.label IS NOT NULL AND l.challenge_id IS NOT NULL
                GROUP BY 1, 2, 3, 4) g
            JOIN @extschema@.mnist_challenger a ON a.id = g.challenge_id) r
        GROUP BY r.challenge_id) k ON k.challenge_id = c.id
    CROSS JOIN LATERAL mnist_internal.wilson(k.live_right, k.live_labels) AS live
    CROSS JOIN LATERAL mnist_internal.wilson(k.challenger_right, k.challenger_labels) AS challenger
    CROSS JOIN LATERAL mnist_internal.newcombe(
        CASE WHEN NOT c.shadow THEN k.challenger_right END, k.challenger_labels, k.live_right, k.live_labels)
            AS unpaired
    CROSS JOIN LATERAL mnist_internal.newcombe_paired(
        CASE WHEN c.shadow THEN k.both_right END, k.only_challenger_right, k.only_live_right, k.both_wrong) AS paired
    CROSS JOIN LATERAL mnist_internal.mcnemar(
        CASE WHEN c.shadow THEN k.only_live_right END, k.only_challenger_right) AS mcnemar
    LEFT JOIN LATERAL (
        SELECT f.challenger::float8 / nullif(f.challenger + f.live, 0) AS share,
            (1 - c.share::float8) / c.share AS odds,
            w.low, w.high
        FROM (SELECT k.challenger_labels - k.challenger_right AS challenger, k.live_labels - k.live_right AS live) f,
            mnist_internal.wilson(f.challenger, f.challenger + f.live) AS w) errors ON NOT c.shadow
    WHERE c.action = 'challenge';
COMMENT ON VIEW @extschema@.mnist_challenge_result IS
    'every challenge, how it ended, and how challenger and live model compare on labelled predictions; intervals are '
    'of 95 %, and valid for a single look';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.challenge_id IS 'the row of mnist_challenger that began it';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.version IS 'the challenger';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.live_version IS 'the live model that it challenged';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.share IS
    'the fraction of the predictions that the challenger took part in';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.shadow IS
    'whether the challenger only predicted beside the live model; if not, it answered';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.outcome IS
    'under way; promoted (the challenger went live), dropped, replaced (by another challenge), or overtaken (by a '
    'switch to another model)';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.live_labels IS 'labelled predictions of the live model';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.live_right IS 'of these, the correct ones';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.live_accuracy IS 'the fraction of these that was correct, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.live_low IS 'lower end of the accuracy''s interval (Wilson)';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.live_high IS 'upper end of the accuracy''s interval';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.challenger_labels IS
    'labelled predictions of the challenger; in shadow mode the same ones as the live model''s';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.challenger_right IS 'of these, the correct ones';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.challenger_accuracy IS
    'the fraction of these that was correct, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.challenger_low IS 'lower end of the accuracy''s interval (Wilson)';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.challenger_high IS 'upper end of the accuracy''s interval';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.difference IS 'the challenger''s accuracy minus the live model''s';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.difference_low IS
    'lower end of the difference''s interval (Newcombe, method 10; in shadow mode the paired form)';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.difference_high IS 'upper end of the difference''s interval';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.finding IS
    'challenger better, live model better, or undecided; valid however often one looks, unlike the intervals, which '
    'it does not use: in shadow mode from only_live_right and only_challenger_right, otherwise from the errors found '
    'of each model and its share of the predictions';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.only_live_right IS
    'in shadow mode: labelled predictions that only the live model got right';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.only_challenger_right IS
    'in shadow mode: labelled predictions that only the challenger got right';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.mcnemar_exact IS
    'in shadow mode: p-value of McNemar''s exact test of the two counts before';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.mcnemar_mid_p IS 'in shadow mode: its mid-p-value, less cautious';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.error_ratio IS
    'A/B: errors found of the challenger, for each error found of the live model, scaled to equally many predictions '
    'of both; valid even if annotators only correct errors';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.error_ratio_low IS 'lower end of that ratio''s interval';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.error_ratio_high IS
    'upper end of that ratio''s interval; NULL: none';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.reason IS 'why it began';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.began_by IS 'the role that began it';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.began_at IS 'when it began';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.end_reason IS
    'why it ended, or the reason of the challenge that replaced it, or of the switch that overtook it';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.ended_by IS 'the role that ended it';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.ended_at IS 'when it ended';
COMMENT ON COLUMN @extschema@.mnist_challenge_result.promote_when_better IS
    'whether mnist_check was to promote the challenger when it is found better, and to drop it when the live model is';
