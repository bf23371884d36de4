#!/usr/bin/env bash
# bench_from_scratch.sh: train the default network from scratch twice with the same seed.  Prints accuracy, time, and
# whether both trainings gave the same weights.
. "$(dirname "$0")/server.sh"

options="strategy => 'from_scratch', seed => 1, promote => false"
if [ -n "${BENCH_SMOKE:-}" ]; then
	options="$options, architectures => '{softmax}', epochs => 1"
else
	options="$options, architectures => '{default}'"
fi
for _ in 1 2; do
	bench_psql -x -c "
		SELECT round(100 * test_accuracy::numeric, 2) AS test_percent,
			round(100 * validation_accuracy::numeric, 2) AS validation_percent, round(seconds::numeric, 1) AS seconds
		FROM mnist_retrain($options)"
done
bench_psql -At -c "
	SELECT CASE count(DISTINCT weights_sha256) WHEN 1 THEN 'the same weights' ELSE 'DIFFERENT weights' END
	FROM mnist_model WHERE version > 1"
