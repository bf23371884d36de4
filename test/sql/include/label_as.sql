\set ECHO none
-- A label by anybody, as mnist_correct stores it: the row alone, of a prediction whose image is its pixels.
CREATE FUNCTION pg_temp.label_as(annotator name, prediction bigint, label bigint) RETURNS boolean LANGUAGE sql AS $$
    INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator, pixels_sha256)
    SELECT p.id, label_as.label, p.label, p.model_version, label_as.annotator, sha256(p.image) FROM mnist_prediction p
    WHERE p.id = prediction
    RETURNING true
$$;
\set ECHO all
