/*
 * The label-noise filter: it excludes labels that are probably wrong from a run, and annotators review them.
 */

/*
 * src/train/filter.c compares two models: the live model, and a model that was trained without this image's feedback.
 * It measures for each image:
 * - the label that the live model predicts;
 * - the other label: of all labels but the given one, the most probable according to the other model;
 * - the other model's probabilities of the other label and of the given label;
 * - two reference fractions, one of each model: of base images that show the other label, the fraction for which the
 *   model gives the given label at least the probability that it gives it for this image.
 *
 * The live model supports a label if it predicts the label, or if its reference fraction is at most 2.5 %.  The other
 * model supports it if its reference fraction is at most 2.5 % and it finds the other label at most thirty times as
 * probable.  A correction is a label that the live model does not predict.  It is unsupported if neither model supports
 * it.
 *
 * About one in sixteen honest corrections is unsupported, even of an annotator with the hardest images; nearly all
 * wrong ones are.  So an annotator's unsupported corrections are excluded if they are more than one in eight of the
 * annotator's corrections: then they are more likely wrong than right.  With up to seven corrections a single
 * unsupported one suffices.  Only corrections count, so that an annotator gains nothing by confirming easy predictions.
 *
 * Two kinds of labels are neither excluded nor counted: those that another annotator agrees with, and those that their
 * annotator has affirmed, by giving them again after a run had excluded them.
 */
CREATE OR REPLACE FUNCTION mnist_internal.filter_labels(
    run_id bigint, feedback_ids bigint[], live_labels int[], other_labels int[], other_probabilities real[],
    label_probabilities real[], reference_shares real[], live_reference_shares real[])
    RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    WITH agreed AS (
        SELECT f.pixels_sha256
        FROM @extschema@.mnist_run_feedback u
        JOIN @extschema@.mnist_feedback f ON f.id = u.feedback_id
        WHERE u.run_id = filter_labels.run_id AND u.weight > 0
        GROUP BY f.pixels_sha256
        HAVING count(*) > 1
    ), excluded_before AS (
        SELECT f.pixels_sha256, f.annotator, f.label, min(f.id) AS id
        FROM mnist_internal.run_excluded x
        JOIN @extschema@.mnist_feedback f ON f.id = x.feedback_id
        GROUP BY f.pixels_sha256, f.annotator, f.label
    ), correction AS (
        SELECT o.*, f.annotator, o.live_share > 0.025
            AND (o.reference_share > 0.025 OR o.other_probability > 30 * o.label_probability) AS unsupported
        FROM unnest(feedback_ids, live_labels, other_labels, other_probabilities, label_probabilities, reference_shares,
                live_reference_shares)
            AS o (feedback_id, live_label, other_label, other_probability, label_probability, reference_share,
                live_share)
        JOIN @extschema@.mnist_feedback f ON f.id = o.feedback_id
        LEFT JOIN agreed a ON a.pixels_sha256 = f.pixels_sha256
        LEFT JOIN excluded_before e ON e.pixels_sha256 = f.pixels_sha256 AND e.annotator = f.annotator
            AND e.label = f.label
            AND e.id < f.id
        WHERE o.live_label <> f.label AND a.pixels_sha256 IS NULL AND e.id IS NULL
    ), annotator AS (
        SELECT o.annotator, count(*) FILTER (WHERE o.unsupported) / count(*)::float8 AS share
        FROM correction o
        GROUP BY o.annotator
        HAVING 8 * count(*) FILTER (WHERE o.unsupported) > count(*)
    ), excluded AS (
        INSERT INTO mnist_internal.run_excluded (run_id, feedback_id, doubted_as, doubt, label_probability,
            reference_share, annotator_share)
        SELECT filter_labels.run_id, o.feedback_id, o.other_label, o.other_probability, o.label_probability,
            o.reference_share, a.share
        FROM correction o
        JOIN annotator a USING (annotator)
        WHERE o.unsupported
        RETURNING 1
    )
    SELECT count(*) FROM excluded;
END;
COMMENT ON FUNCTION mnist_internal.filter_labels(bigint, bigint[], int[], int[], real[], real[], real[], real[]) IS
    'exclude the labels of a run''s feedback that no model supports; returns how many; internal';

CREATE OR REPLACE VIEW @extschema@.mnist_doubted AS
    SELECT f.prediction_id, f.id AS feedback_id, f.annotator, f.label, f.predicted_label, u.doubted_as, u.doubt,
        u.label_probability, u.reference_share, u.annotator_share, f.held_out,
        (SELECT min(r.finished_at)
            FROM mnist_internal.run_excluded e
            JOIN @extschema@.mnist_run r ON r.id = e.run_id
            WHERE e.feedback_id = f.id AND r.status = 'succeeded') AS since,
        u.run_id,
        format('A model trained without this label gives %s a probability of %s, and %s one of %s; of base images that '
            'show a %s, it gives %s %% at least that probability of %s. Of the corrections of %s, %s %% are '
            'unsupported.',
            u.doubted_as, round(u.doubt::numeric, 3), f.label, round(u.label_probability::numeric, 3), u.doubted_as,
            round(100 * u.reference_share::numeric, 1), f.label, f.annotator, round(100 * u.annotator_share::numeric))
            AS why
    FROM mnist_internal.run_excluded u
    JOIN @extschema@.mnist_feedback f ON f.id = u.feedback_id
    JOIN @extschema@.mnist_label l ON l.prediction_id = f.prediction_id
    WHERE u.run_id = (
            SELECT max(r.id) FROM @extschema@.mnist_run r WHERE r.status = 'succeeded' AND r.reproduces IS NULL)
        AND NOT l.new;
COMMENT ON VIEW @extschema@.mnist_doubted IS
    'labels that the label-noise filter excluded from the newest completed run; they wait for review by another '
    'annotator, or by their own, who may affirm them';
COMMENT ON COLUMN @extschema@.mnist_doubted.prediction_id IS
    'the prediction; after mnist_correct with the same label, by any annotator, the label is new and counts';
COMMENT ON COLUMN @extschema@.mnist_doubted.feedback_id IS 'the feedback';
COMMENT ON COLUMN @extschema@.mnist_doubted.annotator IS 'the annotator';
COMMENT ON COLUMN @extschema@.mnist_doubted.label IS 'the label that the annotator gave';
COMMENT ON COLUMN @extschema@.mnist_doubted.predicted_label IS 'the digit that was predicted';
COMMENT ON COLUMN @extschema@.mnist_doubted.doubted_as IS
    'the most probable other label, according to a model that was trained without this label';
COMMENT ON COLUMN @extschema@.mnist_doubted.doubt IS 'that model''s probability of doubted_as, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_doubted.label_probability IS 'that model''s probability of the label, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_doubted.reference_share IS
    'of base images that show the digit doubted_as, the fraction for which that model gives the label at least '
    'label_probability, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_doubted.annotator_share IS
    'of the annotator''s corrections in that run, the fraction that the filter found unsupported, 0 .. 1';
COMMENT ON COLUMN @extschema@.mnist_doubted.held_out IS 'held out: never trained on, used only to compare models';
COMMENT ON COLUMN @extschema@.mnist_doubted.since IS 'when the first run that excluded it ended';
COMMENT ON COLUMN @extschema@.mnist_doubted.run_id IS 'the newest run that excluded it';
COMMENT ON COLUMN @extschema@.mnist_doubted.why IS 'the same as a sentence';

---------------------------------------------------------------- images for annotators

CREATE OR REPLACE VIEW @extschema@.mnist_to_label AS
    SELECT p.id, p.image, p.created_at
    FROM @extschema@.mnist_prediction p
    WHERE NOT EXISTS (SELECT FROM @extschema@.mnist_label l WHERE l.prediction_id = p.id)
UNION ALL
    SELECT p.id, p.image, p.created_at
    FROM @extschema@.mnist_doubted d
    JOIN @extschema@.mnist_prediction p ON p.id = d.prediction_id;
COMMENT ON VIEW @extschema@.mnist_to_label IS
    'images for annotators: those that are not labelled, and those of mnist_doubted; without predictions and labels, '
    'which would bias annotators';
COMMENT ON COLUMN @extschema@.mnist_to_label.id IS 'the prediction; the argument of mnist_correct';
COMMENT ON COLUMN @extschema@.mnist_to_label.image IS 'the image, as it was given';
COMMENT ON COLUMN @extschema@.mnist_to_label.created_at IS 'when its transaction began';
