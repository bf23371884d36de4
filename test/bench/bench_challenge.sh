#!/usr/bin/env bash
# bench_challenge.sh: what a challenge costs mnist_predict.  Three cases are compared: no challenge, an A/B test in
# which the challenger answers half of the predictions, and a shadow that predicts all of them.  There is one client;
# live model and challenger are both keras_cnn.  Commits are asynchronous, because waiting for the disk would hide the
# cost.  The cases alternate in rounds, because the machine's speed drifts.
. "$(dirname "$0")/server.sh"

seconds=$(smoke 1 5)
rounds=$(smoke 1 5)
images=$(smoke 64 1000)
keras_cnn_live
challenger=$(bench_psql -At -c "SELECT model_version FROM mnist_retrain(strategy => 'from_scratch',
	architectures => '{keras_cnn}', epochs => 1, seed => 2, promote => false)")
bench_psql -c 'ALTER DATABASE bench SET synchronous_commit = off'
echo 'SELECT * FROM mnist_predict(:png);' >"$bench_directory/predict.sql"

# measure KIND STATEMENT: begin or drop the challenge by STATEMENT; then measure the milliseconds of a prediction and of
# a batch, and append them to the files of KIND.
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
