/*
 * What annotators see: the images that they are to label, and nothing else.
 */

CREATE OR REPLACE VIEW @extschema@.mnist_to_label AS
    SELECT p.id, p.image, p.created_at
    FROM @extschema@.mnist_prediction p
    WHERE NOT EXISTS (SELECT FROM @extschema@.mnist_label l WHERE l.prediction_id = p.id)
UNION ALL
    SELECT p.id, p.image, p.created_at
    FROM @extschema@.mnist_doubted d
    JOIN @extschema@.mnist_prediction p ON p.id = d.prediction_id;
COMMENT ON VIEW @extschema@.mnist_to_label IS
    'images for annotators: those that nobody has labelled, and those of mnist_doubted; without what the model or anybody made of them, which would sway a label';
COMMENT ON COLUMN @extschema@.mnist_to_label.id IS 'the prediction; what mnist_correct is given';
COMMENT ON COLUMN @extschema@.mnist_to_label.image IS 'the image, as it came in';
COMMENT ON COLUMN @extschema@.mnist_to_label.created_at IS 'when its transaction began';
