#!/usr/bin/env bash
# bench_retention.sh: how fast mnist_housekeep deletes predictions older than mnist_hil.retention, alone and while
# mnist_predict stores 1,000 a second.  Also the time of mnist_check when there is nothing to delete, and what the index
# by age costs mnist_predict.
. "$(dirname "$0")/server.sh"

old=$(smoke 6000 300000)
labelled=$(smoke 100 100000)
rate=$(smoke 100 1000)
seconds=$(smoke 2 60)
repetitions=$(smoke 3 101)

# old_predictions N HOURS: insert N predictions of HOURS hours ago, with images of 784 bytes and with features.
old_predictions()
{
	bench_psql -o /dev/null <<-SQL
		INSERT INTO mnist_prediction (created_at, image, label, confidence, probabilities, model_version, features,
			pixels_hash)
		SELECT now() - interval '$2 hours' + i * interval '1 ms',
			decode(repeat(lpad(to_hex(i % 256), 2, '0'), 784), 'hex'),
			i % 10, 0.99, '{0.99,0.01,0,0,0,0,0,0,0,0}', 1, array_fill(0.5::real, ARRAY[20]), i
		FROM generate_series(1, $1) AS i;
	SQL
}

# housekeep: call mnist_housekeep once; print how many predictions it deleted, the seconds, and the rate.
housekeep()
{
	local before after took

	before=$(bench_psql -At -c "SELECT count(*) FROM mnist_prediction WHERE created_at < now() - interval '1 day'")
	took=$(printf '\\timing on\nCALL mnist_housekeep();\n' | bench_psql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
	after=$(bench_psql -At -c "SELECT count(*) FROM mnist_prediction WHERE created_at < now() - interval '1 day'")
	echo "$((before - after)) deleted in $(calculate %.2f "$took / 1000") s," \
		"$(calculate %.0f "($before - $after) / $took * 1000")/s;" \
		"$after old ones are left, which have feedback or wait for the next call"
}

# The features here are made up, so they would show drift.  Drift is not measured here, so it is switched off.
bench_psql -c "ALTER DATABASE bench SET mnist_hil.retention = '1d'" \
	-c 'ALTER DATABASE bench SET mnist_hil.drift_threshold = 1'
old_predictions "$labelled" 72
bench_psql -o /dev/null <<-SQL
	INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator, pixels_sha256)
	SELECT p.id, p.label, p.label, p.model_version, 'ann', sha256(p.id::text::bytea) FROM mnist_prediction p;
	VACUUM ANALYZE;
SQL
echo "the first walk, over $labelled old predictions that all have feedback: $(housekeep)"
old_predictions "$old" 48
echo "$old old predictions without feedback, nothing else running: $(housekeep)"
bench_psql -c "SET mnist_hil.retention_budget = '1h'" -c 'CALL mnist_housekeep()' -c VACUUM
echo "mnist_check with nothing to delete: $(milliseconds "$repetitions" '' 'SELECT * FROM mnist_check()') ms;" \
	"with retention off $(milliseconds "$repetitions" 'SET mnist_hil.retention = 0;' 'SELECT * FROM mnist_check()') ms"

# mnist_predict stores durably at the given rate, as an application would.  Meanwhile as many old predictions are
# deleted as it stores in a minute.
old_predictions $((rate * 60)) 36
image="'\\x$(bench_psql -At -c "SELECT encode(mnist_preprocess(mnist_draw(7)), 'hex')")'"
echo "SELECT mnist_predict($image)" >"$bench_directory/predict.sql"
printf 'SET synchronous_commit = off;\nSELECT mnist_predict(%s);\n' "$image" >"$bench_directory/one.sql"
chmod a+r "$bench_directory"/*.sql
bench_pgbench -c 8 -j 1 -R "$rate" -T "$seconds" -f "$bench_directory/predict.sql" \
	>"$bench_directory/predict.log" 2>&1 &
pgbench=$!
sleep "$(smoke 0.2 10)"
echo "$((rate * 60)) old predictions, a minute's worth, while mnist_predict stores $rate a second: $(housekeep)"
wait "$pgbench"
grep -E 'latency average|tps' "$bench_directory/predict.log"

# mnist_predict with the index and without it, alternating, the best of five each.  Commits are asynchronous, so that
# the time of the processor is measured and not that of the disk.
predicting()
{
	bench_pgbench -c 1 -t "$(smoke 20 5000)" -f "$bench_directory/one.sql" 2>/dev/null |
		sed -n 's/^latency average = \([0-9.]*\) ms/\1/p'
}
bench_psql -c 'ALTER EXTENSION mnist_hil DROP TABLE mnist_prediction'
for _ in 1 2 3 4 5; do
	predicting >>"$bench_directory/with"
	bench_psql -c 'DROP INDEX mnist_prediction_by_age'
	predicting >>"$bench_directory/without"
	bench_psql -c 'CREATE INDEX mnist_prediction_by_age ON mnist_prediction (created_at, id)'
done
echo "mnist_predict: $(sort -n "$bench_directory/with" | head -n 1) ms with the index by age," \
	"$(sort -n "$bench_directory/without" | head -n 1) ms without"
