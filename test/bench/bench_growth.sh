#!/usr/bin/env bash
# bench_growth.sh: the time of a stored prediction with 10,000, 100,000 and 1,000,000 predictions stored, a tenth of
# them corrected.  Then the time of every view of the extension.  Row 12 of the results.
#
# Predictions and corrections are made by the functions that users call.  Predictions are measured with
# synchronous_commit off, because the varying speed of the disk would hide a difference.
. "$(dirname "$0")/server.sh"

keras_cnn_live
seconds=$(smoke 1 3)
echo 'SELECT * FROM mnist_predict(:png);' >"$bench_directory/predict.sql"
image=$(png_of_row 1)
bench_psql -c 'ALTER DATABASE bench SET synchronous_commit = off'
views=$(bench_psql -At -c "
	SELECT c.oid::regclass
	FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	WHERE c.relkind = 'v' AND c.relname LIKE 'mnist\_%' ORDER BY 1")

# fill N: predict N more images, in batches, and correct every tenth prediction.
fill()
{
	bench_psql -o /dev/null <<-SQL
		SELECT 'SELECT count(id) FROM mnist_predict_batch((SELECT array_agg(png) FROM png WHERE id <= 1000))'
		FROM generate_series(1, $1 / 1000) \\gexec
		SELECT count(mnist_correct(p.id, p.label + 1 - 2 * (p.label / 9))) FROM mnist_prediction p
		WHERE p.id % 10 = 0 AND NOT EXISTS (SELECT FROM mnist_feedback f WHERE f.prediction_id = p.id);
		VACUUM ANALYZE;
		CHECKPOINT;
	SQL
}

latency()
{
	for _ in $(seq "$(smoke 1 5)"); do
		bench_pgbench -c 1 -T "$seconds" -D "png=$image" -f "$bench_directory/predict.sql" 2>/dev/null |
			awk '/^tps = / { printf "%.1f\n", 1e6 / $3 }'
	done | median
}

first=
stored=0
for predictions in $(smoke '1000 2000' '10000 100000 1000000'); do
	fill $((predictions - stored))
	stored=$predictions
	now=$(latency)
	first=${first:-$now}
	result 12 "mnist_predict with $predictions predictions stored" "$now us" "$first us" \
		"$(calculate %.2f "$now / $first")" 'within 10 %' -
done
corrections=$(bench_psql -At -c 'SELECT count(*) FROM mnist_feedback')
for view in $views; do
	result 12 "$view with $predictions predictions and $corrections corrections" \
		"$(milliseconds "$(smoke 1 3)" '' "SELECT * FROM $view") ms" - - '100 ms' -
done
