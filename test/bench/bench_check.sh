#!/usr/bin/env bash
# bench_check.sh: the time that mnist_check takes when there is nothing to do, with 1,000,000 predictions and 100,000
# corrections.  Also the time of mnist_correct.
. "$(dirname "$0")/server.sh"

predictions=$(smoke 1000 1000000)
corrections=$(smoke 100 100000)
repetitions=$(smoke 3 101)

# The images are not used here.  Labels and confidences are typical of a good model, so there is no drift.
bench_psql -o /dev/null <<-SQL
	INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
	SELECT '\x00', i % 10, 0.99, '{0.99,0.01,0,0,0,0,0,0,0,0}', 1 FROM generate_series(1, $predictions) AS i;
SQL

# in_new_connection: the median milliseconds of mnist_check as the first statement of a connection, over five.
in_new_connection()
{
	for _ in 1 2 3 4 5; do
		printf '\\o /dev/null\n\\timing on\nSELECT * FROM mnist_check();\n' | bench_psql |
			sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
	done | median
}

measure()
{
	printf '%-72s %8s / %8s ms\n' "$1" \
		"$(milliseconds "$repetitions" '' 'SELECT * FROM mnist_check()')" "$(in_new_connection)"
}

# correct FROM TO FAILURES: insert feedback on predictions FROM + 1 to TO in one statement.  Every FAILURESth label says
# that the prediction was wrong.
correct()
{
	bench_psql -o /dev/null <<-SQL
		INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator, pixels_sha256)
		SELECT p.id, CASE WHEN p.id % $3 = 0 THEN (p.label + 1) % 10 ELSE p.label END, p.label, p.model_version, 'ann',
			sha256(p.id::text::bytea)
		FROM mnist_prediction p WHERE p.id > $1 AND p.id <= $2;
	SQL
}

echo "mnist_check with nothing to do, over $predictions predictions:" \
	"in a session (median of $repetitions) / first of a new connection"
measure 'no corrections'
correct 0 "$corrections" "$((corrections * 2))"
measure "$corrections new confirmations, no failure, never analyzed"
bench_psql -c 'VACUUM ANALYZE'
measure "the same, analyzed"
bench_psql -c 'SELECT * FROM mnist_internal.label_condition' -o /dev/null

bench_psql -o /dev/null <<-SQL
	INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at,
		datasets)
	VALUES ('succeeded', 'fine_tune', 'default', 1, '{}', 'bench', 1, now(), '{mnist}');
	SELECT mnist_internal.open_snapshot(1, 1, 0);
SQL
measure "$corrections corrections, all of them used by a run, not vacuumed since"
bench_psql -c 'VACUUM ANALYZE'
measure 'the same, vacuumed'
echo "mnist_retrain_decision, mnist_status: $(milliseconds "$repetitions" '' 'SELECT * FROM mnist_retrain_decision')," \
	"$(milliseconds "$repetitions" '' 'SELECT * FROM mnist_status') ms"

# A blank image.
image="'\\x$(printf '00%.0s' $(seq 784))'"
echo "mnist_correct and mnist_predict, in transactions of their own, without waiting for the disk:" \
	"$(milliseconds "$repetitions" 'SET synchronous_commit = off;' \
		"SELECT mnist_correct((SELECT id FROM mnist_predict($image)), 1)") ms"
