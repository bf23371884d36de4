#!/usr/bin/env bash
# bench_drift.sh: how long a check for drift takes with many predictions, how often it finds drift although there is
# none, and how large a window must be to show each kind of drift (see drift.sql).  Also the time of the views of
# quality and performance.
. "$(dirname "$0")/server.sh"

predictions=$(smoke 3000 1000000)
copies=$((predictions / 1000 - 1))
bench_psql -o /dev/null <<-SQL
	SELECT count(*)
	FROM (SELECT array_agg(pixels) AS images FROM (SELECT pixels FROM mnist_sample LIMIT 1000) s) s,
		mnist_predict_batch(s.images);
	INSERT INTO mnist_prediction (created_at, image, label, confidence, probabilities, model_version, features,
		pixels_hash)
	SELECT now() - (random() * 100) * interval '1 day', image, label, confidence, probabilities, model_version,
		features, pixels_hash + i
	FROM mnist_prediction, generate_series(1, $copies) AS i;
	-- Two annotators: one labels one prediction in ten, and the other one in ten of those.
	INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator, pixels_sha256)
	SELECT id, CASE WHEN random() < 0.03 THEN (label + 1) % 10 ELSE label END, label, model_version, a.annotator,
		sha256(image)
	FROM mnist_prediction, (VALUES ('ann', 10), ('bob', 100)) AS a (annotator, every)
	WHERE id % a.every = 0;
	VACUUM ANALYZE;
SQL
echo "milliseconds at $predictions predictions and $((predictions / 10)) labels, median of 9"
for view in mnist_drift mnist_data_quality mnist_annotator_agreement mnist_model_performance mnist_class_performance \
	mnist_accuracy_daily mnist_calibration mnist_confusion mnist_model_confusion; do
	bench_psql -At -F ' ' <<-SQL
		DO \$\$
		DECLARE
			begun timestamptz;
			taken float8[];
			n bigint;
		BEGIN
			FOR i IN 1 .. 9 LOOP
				begun := clock_timestamp();
				SELECT count(*) INTO n FROM (SELECT * FROM $view OFFSET 0) v WHERE v IS DISTINCT FROM NULL;
				taken := taken || (1000 * extract(epoch FROM clock_timestamp() - begun))::float8;
			END LOOP;
			RAISE INFO '$view %', round(
				(SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(taken) AS t)::numeric, 1);
		END
		\$\$;
	SQL
done

bench_psql -c 'DELETE FROM mnist_feedback' -c 'DELETE FROM mnist_prediction'
bench_psql -v images="$(smoke 100 10000)" -v changed="$(smoke 10 2500)" -v splits="$(smoke 1 20)" \
	-f "$repo/test/bench/drift.sql"
