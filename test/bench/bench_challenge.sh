#!/usr/bin/env bash
# bench_challenge.sh: what a challenge costs mnist_predict: none under way, half of the predictions answered by the
# challenger, all read along in the shadow.  One client, keras_cnn live and challenging; commits do not wait for the
# disk, which would hide it.  In rounds, one after the other, as the machine's speed drifts.
. "$(dirname "$0")/server.sh"

seconds=$(smoke 1 5)
rounds=$(smoke 1 5)
images=$(smoke 64 1000)
keras_cnn_live
challenger=$(bench_psql -At -c "SELECT model_version FROM mnist_retrain(strategy => 'from_scratch',
	architectures => '{keras_cnn}', epochs => 1, seed => 2, promote => false)")
bench_psql -c 'ALTER DATABASE bench SET synchronous_commit = off'
echo 'SELECT * FROM mnist_predict(:png);' >"$bench_directory/predict.sql"

# measure KIND STATEMENT: add the milliseconds of a prediction, and of an image in a batch, with this challenge.
measure()
{
	bench_psql -o /dev/null -c "$2"
	bench_pgbench -c 1 -T "$seconds" -D "png=$(png_of_row 1)" -f "$bench_directory/predict.sql" 2>/dev/null |
		sed -n 's/^latency average = \([0-9.]*\) ms/\1/p' >>"$bench_directory/$1.single"
	milliseconds 5 '' \
		"SELECT count(id) FROM mnist_predict_batch((SELECT array_agg(png) FROM png WHERE id <= $images))" \
		>>"$bench_directory/$1.batch"
}

for _ in $(seq "$rounds"); do
	measure none 'SELECT mnist_challenge_drop() FROM mnist_challenge_now'
	measure 'half' "SELECT mnist_challenge($challenger, 0.5)"
	measure shadow "SELECT mnist_challenge($challenger, 1, true)"
done
for kind in none half shadow; do
	echo "$kind: $(median <"$bench_directory/$kind.single") ms a prediction," \
		"$(calculate %.4f "$(median <"$bench_directory/$kind.batch") / $images") ms an image of a batch of $images"
done
