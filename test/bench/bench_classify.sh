#!/usr/bin/env bash
# bench_classify.sh: how many images a second a query classifies, on one core and on two, and what a batch saves.  Rows
# 4, 5 and 8 of the results.  keras_cnn is live; the images are MNIST's test images as PNGs.
. "$(dirname "$0")/server.sh"

repetitions=$(smoke 1 9)
keras_cnn_live
images=$(bench_psql -At -c 'SELECT count(*) FROM png')
statement='SELECT count(mnist_classify(png)) FROM png'
alone='SET max_parallel_workers_per_gather = 0; SET jit = off;'

one=$(milliseconds "$repetitions" "$alone" "$statement")
rate=$(calculate %.0f "1000 * $images / $one")
raw=$(milliseconds "$repetitions" "$alone" "${statement/png/pixels}")
preprocess=$(milliseconds "$repetitions" "$alone" "${statement/classify/preprocess}")
echo "of $(calculate %.1f "1000 * $one / $images") microseconds an image:" \
	"PNG to 28 x 28 $(calculate %.1f "1000 * $preprocess / $images")," \
	"the network $(calculate %.1f "1000 * $raw / $images")"
result 4 "mnist_classify(png) in a query, one process" "$rate/s" - - 25000/s 40000/s
if alternative torch; then
	cp -R "$repo/test/bench/alternatives" "$bench_directory/"
	chmod -R a+rX "$bench_directory/alternatives"
	if bench_psql -c 'CREATE EXTENSION plpython3u' 2>/dev/null; then
		bench_psql <<-SQL
			CREATE FUNCTION torch_classify(png bytea) RETURNS smallint LANGUAGE plpython3u AS \$\$
			if 'reader' not in GD:
			    import sys
			    sys.path.insert(0, '$bench_directory/alternatives')
			    from digits import Reader
			    GD['reader'] = Reader()
			probabilities = GD['reader'].probabilities(png)
			return probabilities.index(max(probabilities))
			\$\$;
		SQL
		some=$((images < 1000 ? images : 1000))
		torch=$(milliseconds 3 "$alone" "SELECT count(torch_classify(png)) FROM png WHERE id <= $some")
		torch=$(calculate %.0f "1000 * $some / $torch")
		result 4 "the same, PL/Python with PyTorch in the backend" "$rate/s" "$torch/s" \
			"$(calculate %.1f "$rate / $torch")" - -
	else
		echo 'not compared with PL/Python, which is not installed for this server'
	fi
fi

two='SET max_parallel_workers_per_gather = 1; SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0;'
two="$two SET jit = off;"
two=$(milliseconds "$repetitions" "$two" "$statement")
result 5 'the same, leader and one worker' "$(calculate %.0f "1000 * $images / $two")/s" "$rate/s, one process" \
	"$(calculate %.2f "$one / $two")" 1.8 1.95
client()
{
	milliseconds "$repetitions" "$alone" "$statement"
}
clients=$({ client & client & wait; } |
	awk -v n="$images" '{ rate += 1000 * n / $1 } END { print rate }')
result 5 'the same, two clients' "$(calculate %.0f "$clients")/s" "$rate/s, one process" \
	"$(calculate %.2f "$clients / $rate")" 1.8 1.95

some=$((images < 1000 ? images : 1000))
repetitions=$(smoke 1 7)
batch=$(milliseconds "$repetitions" '' \
	"SELECT count(id) FROM mnist_predict_batch((SELECT array_agg(png ORDER BY id) FROM png WHERE id <= $some))")
statement=$(milliseconds "$repetitions" '' "SELECT count((mnist_predict(png)).id) FROM png WHERE id <= $some")
echo 'SELECT * FROM mnist_predict(:png);' >"$bench_directory/predict.sql"
image=$(png_of_row 1)
calls()
{
	bench_pgbench -c 1 -t "$some" -D "png=$image" -f "$bench_directory/predict.sql" 2>/dev/null |
		sed -n "s/^latency average = \([0-9.]*\) ms/\1/p"
}
call=$(for _ in $(seq "$(smoke 1 5)"); do calls; done | median)
batch_call=$(calculate %.2f "$batch / $some")
result 8 "mnist_predict_batch of $some, against a call (and a commit) an image" "$batch_call ms" "$call ms" \
	"$(calculate %.1f "$call / ($batch / $some)")" 5 -
result 8 "the same, against mnist_predict row by row in one statement" "$batch_call ms" \
	"$(calculate %.2f "$statement / $some") ms" "$(calculate %.1f "$statement / $batch")" - -
