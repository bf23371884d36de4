#!/usr/bin/env bash
# bench_fine_tune.sh: how fine-tuning on 500 corrections of a style changes the accuracy on that style and on MNIST, and
# how long it takes.  Once with MNIST as the base data, and once with synthetic digits only (see fine_tune.sql).
. "$(dirname "$0")/server.sh"

# Accuracy is measured on MNIST's test images with either base data, so keep MNIST in a table.
bench_psql -c "CREATE TABLE digit AS
	SELECT split, ordinal, label, pixels FROM mnist_sample WHERE split <> 'validation'"
for base in mnist $(smoke "" synthetic); do
	if [ $base = synthetic ]; then
		bench_psql -o /dev/null -c 'DROP EXTENSION mnist_hil' -c 'CREATE EXTENSION mnist_hil' \
			-c "SELECT mnist_import_synthetic(n => 20000)"
	fi
	echo "base data: $base"
	bench_psql -v corrections="$(smoke 50 500)" -v others="$(smoke 100 2000)" -f "$repo/test/bench/fine_tune.sql"
done
