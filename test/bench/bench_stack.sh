#!/usr/bin/env bash
# bench_stack.sh: the training job of the stack that this replaces (FastAPI, Keras, Optuna): keras_cnn on MNIST's 60,000
# training images, a search of 20 trials of one epoch each, then three epochs of the best.
#
# 55,000 of the images are for training.  The other 5,000 are the validation images, on which trials and models are
# compared; the test images decide nothing.  Each trial uses all training images unless it is pruned; "made_in_full" is
# the number of trials that were not pruned and did not diverge.
. "$(dirname "$0")/server.sh"

trials=$(smoke 3 20)
epochs=$(smoke 1 3)
architecture=$(smoke softmax keras_cnn)
bench_psql -x -c "
	SELECT round(100 * test_accuracy::numeric, 2) AS test_percent,
		round(100 * validation_accuracy::numeric, 2) AS validation_percent, round(seconds::numeric, 1) AS seconds
	FROM mnist_retrain('from_scratch', '{$architecture}', epochs => $epochs, seed => 1, trials => $trials,
		trial_images => 60000, promote => false)"
bench_psql -c "
	SELECT count(*) AS trials, count(*) FILTER (WHERE status = 'succeeded') AS made_in_full,
		count(*) FILTER (WHERE status = 'pruned') AS pruned, count(*) FILTER (WHERE status = 'failed') AS diverged,
		round(sum(epochs)::numeric, 1) AS epochs, round(100 * max(value)::numeric, 2) AS best_percent,
		round(sum(extract(epoch FROM finished_at - started_at))::numeric, 1) AS seconds
	FROM mnist_trial"
bench_psql -c "
	SELECT trial, status, parameters, round(100 * value::numeric, 2) AS percent, curve, best
	FROM mnist_search_progress ORDER BY trial"
[ -n "${BENCH_SMOKE:-}" ] || bench_psql -At -c "SELECT mnist_curve(max(id)) FROM mnist_run"
