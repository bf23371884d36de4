/*
 * When to train: the conditions, as a view for people and for mnist_check (65-loop.sql).
 *
 * Which feedback is new is a question of mnist_label.new, which follows from what trained which run, and never of
 * ids or times: rows commit in any order.  What a run has used counts no more, whatever became of its model.
 */

CREATE OR REPLACE FUNCTION mnist_internal.settings(
    OUT fail_threshold int, OUT min_new_labels int, OUT accuracy_floor float8, OUT drift_threshold float8,
    OUT retry_delay interval, OUT retries int, OUT keep_models int, OUT retention interval)
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'mnist_hil_settings';
COMMENT ON FUNCTION mnist_internal.settings() IS
    'the settings that the loop goes by, as of now; internal, but open to readers of views';

-- Each condition is a branch of its own, so that asking for one does not work out the others.
CREATE OR REPLACE VIEW @extschema@.mnist_retrain_decision AS
    SELECT 'new_labels'::text AS condition,
        n.value,
        s.min_new_labels::float8 AS threshold,
        n.value >= s.min_new_labels AS met,
        format('%s new labels, %s are enough', n.value, s.min_new_labels) AS explanation
    FROM mnist_internal.settings() s
    CROSS JOIN (SELECT coalesce(sum(t.labels), 0)::float8 AS value FROM mnist_internal.tally t WHERE t.new) n
UNION ALL
    SELECT 'failures',
        f.value,
        s.fail_threshold,
        f.value >= s.fail_threshold,
        CASE WHEN f.value > 0
            THEN format('new failures, %s of a digit are enough: %s', s.fail_threshold, f.digits)
            ELSE 'no new failures' END
    FROM mnist_internal.settings() s
    CROSS JOIN (
        SELECT coalesce(max(d.failures), 0)::float8 AS value,
            string_agg(format('%s of digit %s', d.failures, d.label), ', ' ORDER BY d.failures DESC, d.label) AS digits
        FROM (
            SELECT t.label, sum(t.labels)::bigint AS failures
            FROM mnist_internal.tally t
            WHERE t.new AND t.label <> t.predicted_label
            GROUP BY t.label
            HAVING sum(t.labels) > 0) d) f
UNION ALL
    SELECT 'drift',
        d.share,
        s.drift_threshold,
        coalesce(d.alarm AND d.share > s.drift_threshold, false),
        CASE
            WHEN d.share IS NULL THEN 'drift is not known'
            ELSE format('%s %% of the features have drifted, more than %s %% are a reason',
                    round((100 * d.share)::numeric, 1), round((100 * s.drift_threshold)::numeric, 1))
                || CASE
                    WHEN d.share <= s.drift_threshold OR d.alarm THEN ''
                    WHEN d.breaches < d.breaches_needed
                        THEN format(', in %s looks in a row; this was one of %s', d.breaches_needed, d.breaches)
                    ELSE format(', but not before %s, because of the last run', d.cooling_until::timestamp(0)) END
        END
    FROM mnist_internal.settings() s
    LEFT JOIN @extschema@.mnist_drift_share d ON true
UNION ALL
    SELECT 'accuracy',
        a.value,
        nullif(s.accuracy_floor, 0),
        a.labels >= s.min_new_labels AND a.value < s.accuracy_floor,
        CASE WHEN a.labels >= s.min_new_labels
            THEN format('%s %% right of %s recent new labels%s', round((100 * a.value)::numeric, 1), a.labels,
                CASE WHEN s.accuracy_floor > 0
                    THEN format(', less than %s %% is a reason', round((100 * s.accuracy_floor)::numeric, 1)) END)
            ELSE format('%s recent new labels, too few of %s to tell the accuracy', a.labels, s.min_new_labels) END
    FROM mnist_internal.settings() s
    CROSS JOIN LATERAL (
        SELECT count(*) AS labels,
            CASE WHEN count(*) >= s.min_new_labels THEN avg((r.label = r.predicted_label)::int)::float8 END AS value
        FROM (
            SELECT l.label, l.predicted_label, l.model_version
            FROM @extschema@.mnist_label l
            WHERE l.new AND l.label IS NOT NULL
            ORDER BY l.prediction_id DESC
            LIMIT greatest(200, s.min_new_labels)) r
        WHERE r.model_version = (SELECT m.version FROM @extschema@.mnist_live m)) a;
COMMENT ON VIEW @extschema@.mnist_retrain_decision IS
    'the conditions that mnist_check goes by: train if new_labels and failures are met, or drift, or accuracy; four rows';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.condition IS
    'new_labels: labelled readings that no completed run has used; failures: those of them that the model misread, of the digit that has most; drift: share of drifted features; accuracy: share right of the newest labelled readings by the live model that no completed run has used, 200 or min_new_labels of them';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.value IS 'what it is; NULL: not known, or too few to tell';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.threshold IS
    'what it is held against: reached by new labels and failures, exceeded by drift, fallen short of by accuracy; NULL: off';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.met IS 'whether the condition holds';
COMMENT ON COLUMN @extschema@.mnist_retrain_decision.explanation IS 'the same in words';

-- The first two conditions together, for a check with nothing to do, which must be cheap.
CREATE OR REPLACE FUNCTION mnist_internal.enough_failures(min_new_labels int, fail_threshold int) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT coalesce(sum(d.new_labels) >= min_new_labels AND max(d.failures) >= fail_threshold, false)
    FROM (
        SELECT sum(t.labels) AS new_labels, sum(t.labels) FILTER (WHERE t.label <> t.predicted_label) AS failures
        FROM mnist_internal.tally t
        WHERE t.new
        GROUP BY t.label) d;
END;
COMMENT ON FUNCTION mnist_internal.enough_failures(int, int) IS
    'whether conditions new_labels and failures of mnist_retrain_decision are both met; cheap; internal';

-- What stands in the way of a run now although there is a reason for one.
CREATE OR REPLACE VIEW mnist_internal.retry AS
    SELECT r.id AS failed_run,
        r.attempt,
        r.error,
        CASE WHEN r.attempt <= s.retries
            THEN r.finished_at + s.retry_delay * power(4, r.attempt - 1) END AS not_before,
        r.attempt > s.retries AS given_up
    FROM mnist_internal.settings() s
    CROSS JOIN (
        SELECT e.*
        FROM @extschema@.mnist_run e
        WHERE e.status = 'succeeded' OR (e.status <> 'running' AND e.trigger = 'check')
        ORDER BY e.id DESC
        LIMIT 1) r
    WHERE r.status <> 'succeeded'
        AND NOT EXISTS (SELECT FROM @extschema@.mnist_dataset d WHERE d.created_at > r.finished_at)
        AND NOT (r.attempt > s.retries
            AND coalesce((SELECT f.created_at FROM @extschema@.mnist_feedback f ORDER BY f.id DESC LIMIT 1) > r.finished_at, false));
COMMENT ON VIEW mnist_internal.retry IS
    'the run that mnist_check began and that failed, until one succeeds, or there are new data sets, or, where it has given up, new feedback; one row or none; internal';
COMMENT ON COLUMN mnist_internal.retry.failed_run IS 'the run';
COMMENT ON COLUMN mnist_internal.retry.attempt IS 'which try it was, from 1';
COMMENT ON COLUMN mnist_internal.retry.error IS 'why it failed';
COMMENT ON COLUMN mnist_internal.retry.not_before IS 'when mnist_check tries again at the earliest; NULL: not at all';
COMMENT ON COLUMN mnist_internal.retry.given_up IS 'whether it has failed too often';
