/*
 * Views for monitoring.  They read with the rights of the extension's owner, so that an observer needs no privilege on
 * the tables.  Each answers within 100 ms over 1,000,000 predictions and 100,000 corrections, however long ago the last
 * vacuum was.  Hence predictions are counted by their sequence, and labels by mnist_internal.tally.
 */

CREATE OR REPLACE VIEW @extschema@.mnist_failure_counts AS
    SELECT d.label::smallint AS label,
        coalesce(c.failures, 0) AS failures,
        coalesce(c.new_failures, 0) AS new_failures,
        coalesce(c.corrected, 0) AS corrected,
        coalesce(c.new_labels, 0) AS new_labels
    FROM generate_series(0, 9) AS d (label)
    LEFT JOIN (
        SELECT t.label,
            sum(t.labels) FILTER (WHERE t.label <> t.predicted_label)::bigint AS failures,
            sum(t.labels) FILTER (WHERE t.label <> t.predicted_label AND t.new)::bigint AS new_failures,
            sum(t.labels)::bigint AS corrected,
            sum(t.labels) FILTER (WHERE t.new)::bigint AS new_labels
        FROM mnist_internal.tally t
        GROUP BY t.label) c ON c.label = d.label
    ORDER BY d.label;
COMMENT ON VIEW @extschema@.mnist_failure_counts IS
    'wrong predictions of the images of each digit, according to annotators; ten rows, zeros included';
COMMENT ON COLUMN @extschema@.mnist_failure_counts.label IS 'the digit that the image shows';
COMMENT ON COLUMN @extschema@.mnist_failure_counts.failures IS 'labelled predictions of its images that were wrong';
COMMENT ON COLUMN @extschema@.mnist_failure_counts.new_failures IS
    'of these, those with feedback that no completed run has used';
COMMENT ON COLUMN @extschema@.mnist_failure_counts.corrected IS 'labelled predictions of its images, right and wrong';
COMMENT ON COLUMN @extschema@.mnist_failure_counts.new_labels IS
    'of these, those with feedback that no completed run has used';

CREATE OR REPLACE VIEW @extschema@.mnist_confusion AS
    SELECT t.label::smallint AS label, p.label::smallint AS predicted, coalesce(c.count, 0) AS count
    FROM generate_series(0, 9) AS t (label)
    CROSS JOIN generate_series(0, 9) AS p (label)
    LEFT JOIN (
        SELECT t.label, t.predicted_label, sum(t.labels)::bigint AS count
        FROM mnist_internal.tally t
        GROUP BY t.label, t.predicted_label) c ON c.label = t.label AND c.predicted_label = p.label
    ORDER BY t.label, p.label;
COMMENT ON VIEW @extschema@.mnist_confusion IS
    'labelled predictions by label and predicted digit: all 100 pairs, zeros included, for a plot or \crosstabview';
COMMENT ON COLUMN @extschema@.mnist_confusion.label IS 'the digit that the image shows';
COMMENT ON COLUMN @extschema@.mnist_confusion.predicted IS 'the predicted digit';
COMMENT ON COLUMN @extschema@.mnist_confusion.count IS 'labelled predictions with this label and predicted digit';

CREATE OR REPLACE VIEW @extschema@.mnist_status AS
    SELECT live.version AS live_version,
        live.architecture AS live_architecture,
        live.deployed_at AS live_since,
        cache.place AS models_in,
        cache.memory_used,
        cache.memory_size,
        (SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM @extschema@.mnist_prediction_id_seq s)
            AS predictions,
        counts.feedback,
        counts.labels,
        counts.new_labels,
        (SELECT count(*) FROM @extschema@.mnist_model) AS models,
        (SELECT count(*) FROM @extschema@.mnist_dataset) AS datasets,
        (
            SELECT coalesce(sum(coalesce(d.images,
                (SELECT count(*) FROM @extschema@.mnist_sample s WHERE s.dataset_id = d.id))), 0)::bigint
            FROM @extschema@.mnist_dataset d) AS samples,
        (SELECT p.run_id FROM @extschema@.mnist_training_progress p) AS running_run,
        last.id AS last_run,
        last.status AS last_run_status,
        last.verdict AS last_run_verdict,
        last.finished_at AS last_run_finished_at,
        (SELECT r.id FROM @extschema@.mnist_run r WHERE r.decision = 'awaiting approval' ORDER BY r.id DESC LIMIT 1)
            AS awaiting_approval,
        decision.retrain_due,
        decision.retrain_reasons,
        retry.not_before AS retry_not_before,
        coalesce(retry.given_up, false) AS given_up,
        job.schedule AS check_schedule,
        NULL::timestamptz AS next_check,
        challenge.version AS challenger_version,
        challenge.share AS challenge_share,
        challenge.shadow AS challenge_shadow,
        cache.models AS models_cached,
        cache.pinned AS models_pinned,
        cache.private AS models_private,
        cache.fallbacks AS cache_fallbacks,
        cache.evictions AS cache_evictions,
        job.last_check,
        job.last_check_status,
        job.failing_since AS checks_failing_since
    FROM mnist_internal.cache() AS cache
    CROSS JOIN mnist_internal.check_job() AS job
    CROSS JOIN (
        SELECT mnist_internal.due_conditions(array_agg(d.condition)) <> '{}' AS retrain_due,
            array_agg(d.explanation) AS retrain_reasons
        FROM @extschema@.mnist_retrain_decision d
        WHERE d.met) decision
    LEFT JOIN mnist_internal.retry retry ON true
    LEFT JOIN @extschema@.mnist_live live ON true
    LEFT JOIN @extschema@.mnist_challenge_now challenge ON true
    CROSS JOIN (
        SELECT coalesce(sum(t.feedback), 0)::bigint AS feedback, coalesce(sum(t.labels), 0)::bigint AS labels,
            coalesce(sum(t.labels) FILTER (WHERE t.new), 0)::bigint AS new_labels
        FROM mnist_internal.tally t) counts
    LEFT JOIN LATERAL (
        SELECT r.* FROM @extschema@.mnist_run r WHERE r.status <> 'running' ORDER BY r.id DESC LIMIT 1) last ON true;
COMMENT ON VIEW @extschema@.mnist_status IS 'the state of the extension; one row';
COMMENT ON COLUMN @extschema@.mnist_status.live_version IS 'the live model';
COMMENT ON COLUMN @extschema@.mnist_status.challenger_version IS 'the model that challenges the live one, or NULL';
COMMENT ON COLUMN @extschema@.mnist_status.challenge_share IS
    'the fraction of the predictions that the challenger takes part in';
COMMENT ON COLUMN @extschema@.mnist_status.challenge_shadow IS
    'whether the challenger only predicts beside the live model, which answers';
COMMENT ON COLUMN @extschema@.mnist_status.live_architecture IS 'its architecture';
COMMENT ON COLUMN @extschema@.mnist_status.live_since IS 'when it went live';
COMMENT ON COLUMN @extschema@.mnist_status.models_in IS
    'where loaded models are kept: shared memory, or backend if the library is not preloaded';
COMMENT ON COLUMN @extschema@.mnist_status.memory_used IS 'bytes that models use there, over all databases';
COMMENT ON COLUMN @extschema@.mnist_status.memory_size IS 'bytes that models may use there (mnist_hil.shared_memory)';
COMMENT ON COLUMN @extschema@.mnist_status.models_cached IS 'models that are loaded there, over all databases';
COMMENT ON COLUMN @extschema@.mnist_status.models_pinned IS
    'of these, those that running statements use: the others can be evicted';
COMMENT ON COLUMN @extschema@.mnist_status.models_private IS
    'copies of models that sessions keep for themselves, for lack of room there or because the library is not '
    'preloaded';
COMMENT ON COLUMN @extschema@.mnist_status.cache_fallbacks IS
    'private copies made for lack of room since the server started; if their number grows, increase '
    'mnist_hil.shared_memory';
COMMENT ON COLUMN @extschema@.mnist_status.cache_evictions IS
    'models that were evicted to make room for others since the server started; they are loaded again when they are '
    'used';
COMMENT ON COLUMN @extschema@.mnist_status.predictions IS
    'predictions made so far, counted by the sequence of ids: includes deleted ones and the few rolled back';
COMMENT ON COLUMN @extschema@.mnist_status.feedback IS 'labels that annotators gave to predictions';
COMMENT ON COLUMN @extschema@.mnist_status.labels IS 'labelled predictions that have a majority';
COMMENT ON COLUMN @extschema@.mnist_status.new_labels IS 'of these, those with feedback that no completed run has used';
COMMENT ON COLUMN @extschema@.mnist_status.models IS 'model versions, pruned ones included';
COMMENT ON COLUMN @extschema@.mnist_status.datasets IS 'data sets';
COMMENT ON COLUMN @extschema@.mnist_status.samples IS 'images in them';
COMMENT ON COLUMN @extschema@.mnist_status.running_run IS 'the run under way, or NULL';
COMMENT ON COLUMN @extschema@.mnist_status.last_run IS 'the newest run that has ended';
COMMENT ON COLUMN @extschema@.mnist_status.last_run_status IS 'succeeded, failed or cancelled';
COMMENT ON COLUMN @extschema@.mnist_status.last_run_verdict IS 'why its model went live, or not';
COMMENT ON COLUMN @extschema@.mnist_status.last_run_finished_at IS 'when it ended';
COMMENT ON COLUMN @extschema@.mnist_status.awaiting_approval IS
    'the newest run whose model waits for a person to let it go live';
COMMENT ON COLUMN @extschema@.mnist_status.retrain_due IS 'whether retraining is due: see mnist_retrain_decision';
COMMENT ON COLUMN @extschema@.mnist_status.retrain_reasons IS 'the conditions that are met';
COMMENT ON COLUMN @extschema@.mnist_status.retry_not_before IS 'when mnist_check repeats a failed run, at the earliest';
COMMENT ON COLUMN @extschema@.mnist_status.given_up IS
    'whether mnist_check has stopped repeating the failed run until there are new data';
COMMENT ON COLUMN @extschema@.mnist_status.check_schedule IS
    'the schedule on which pg_cron calls mnist_check; NULL: not scheduled, or in the pg_cron of another database';
COMMENT ON COLUMN @extschema@.mnist_status.last_check IS
    'when the newest finished run of that job ended, according to pg_cron; NULL: there is none among pg_cron''s newest '
    '10,000 runs, or it could not connect, or pg_cron is in another database';
COMMENT ON COLUMN @extschema@.mnist_status.last_check_status IS
    'succeeded or failed; cron.job_run_details has its error';
COMMENT ON COLUMN @extschema@.mnist_status.checks_failing_since IS
    'when the first of the failed runs began after which none has succeeded, or the last time known before it; NULL: '
    'the newest run has not failed';
COMMENT ON COLUMN @extschema@.mnist_status.next_check IS
    'always NULL: pg_cron does not tell when a job is due next; the column remains for queries that name it';
