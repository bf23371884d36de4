#!/usr/bin/env bash
# bench_report.sh: the time of views, mnist_metrics and mnist_report with 1,000,000 predictions and 100,000 labels.
. "$(dirname "$0")/server.sh"

predictions=$(smoke 2000 1000000)
bench_psql -o /dev/null <<-SQL
	-- A thousand images, predicted again and again.
	SELECT count(*) FROM mnist_predict_batch(ARRAY(SELECT mnist_draw(i % 10, i, 28) FROM generate_series(0, 999) AS i));
	CREATE TEMP TABLE digit AS SELECT row_number() OVER () - 1 AS i, p.* FROM mnist_prediction p;
	INSERT INTO mnist_prediction (created_at, image, label, confidence, probabilities, model_version, features,
		pixels_hash)
	SELECT now() - ($predictions - n) * interval '1 second', d.image, d.label, d.confidence, d.probabilities, 1,
		d.features, n
	FROM generate_series(1, $predictions) AS n JOIN digit d ON d.i = n % 1000;
	-- Labels as corrections would leave them, made at once.
	SET session_replication_role = replica;
	INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator, pixels_sha256)
	SELECT p.id, CASE WHEN p.id % 30 = 0 THEN (p.label + 1) % 10 ELSE p.label END, p.label, 1, 'somebody',
		sha256(p.image)
	FROM mnist_prediction p WHERE p.id % 10 = 0;
	RESET session_replication_role;
	INSERT INTO mnist_label (prediction_id, label, predicted_label, model_version, votes, annotators, new,
		pixels_sha256, held_out, feedback_ids, predicted_at, confidence)
	SELECT f.prediction_id, f.label, f.predicted_label, 1, 1, 1, true, f.pixels_sha256, f.held_out, ARRAY[f.id],
		p.created_at, p.confidence
	FROM mnist_feedback f JOIN mnist_prediction p ON p.id = f.prediction_id;
	VACUUM ANALYZE;
SQL

# milliseconds STATEMENT: print the median and the maximum of ten executions in one session.
milliseconds()
{
	local times

	times=$({
		echo '\o /dev/null'
		echo "$1;"
		echo '\timing on'
		for _ in 1 2 3 4 5 6 7 8 9 10; do echo "$1;"; done
	} | bench_psql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | sort -n)
	echo "$times" | awk -v statement="$1" '{ t[NR] = $1 }
		END { printf "%-50s %8.1f %8.1f\n", statement, t[int((NR + 1) / 2)], t[NR] }'
}

echo "milliseconds over $predictions predictions, a tenth of them labelled, median and most of ten"
for view in mnist_drift mnist_data_quality mnist_model_performance mnist_metrics; do
	milliseconds "SELECT * FROM $view"
done
milliseconds 'SELECT mnist_metrics_text()'
milliseconds 'SELECT mnist_report()'
