#!/usr/bin/env bash
# bench_epoch.sh: the time of an epoch of keras_cnn in mnist_retrain with two processes, against PyTorch and against the
# SGEMM peak of two cores.  Also what augmentation costs the default network, and the forward pass against PyTorch's.
# Rows 9 and 10 of the results, and more lines of rows 1 and 2.
. "$(dirname "$0")/server.sh"

programs=${BENCH_PROGRAMS:-$repo/build/test/bench}
[ -n "${BENCH_PROGRAMS:-}" ] || make -C "$repo" --no-print-directory -s bench-programs

# The peak: the total GFLOP/s of two concurrent processes with the fastest of OpenBLAS's kernels.
peak=0
for kernels in $(smoke Haswell 'SkylakeX Haswell Zen'); do
	this=$({ for _ in 1 2; do OPENBLAS_CORETYPE=$kernels "$programs/bench_train" peak & done; wait; } |
		awk '/^peak/ { sum += $2 } END { print sum }')
	echo "SGEMM of two cores with OpenBLAS's $kernels kernels: $this GFLOP/s"
	peak=$(calculate %.1f "$this > $peak ? $this : $peak")
done

epochs=$(smoke 1 5)
bench_psql -o /dev/null -c "SELECT mnist_retrain(strategy => 'from_scratch', architectures => '{keras_cnn}',
	epochs => $epochs, seed => 1, batch_size => 128, promote => false)"
rate=$(bench_psql -At -c 'SELECT images_per_second FROM mnist_metric' | median)
macs=$(bench_psql -At -c "SELECT 676 * 32 * 9 + 121 * 64 * 32 * 9 + 1600 * 128 + 1280")
gflops=$(calculate %.1f "6e-9 * $macs * $rate")
result 9 'keras_cnn, an epoch of 60,000, batch 128, 2 processes, augmented' "$(calculate %.2f "60000 / $rate") s" \
	"$peak GFLOP/s peak" "$(calculate %.0f "100 * $gflops / $peak") %" '45 % of the peak' '65 %'
if alternative torch; then
	for threads in $(smoke 1 '2 1'); do
		their=$("$bench_python" "$repo/test/bench/alternatives/torch_speed.py" train "$(smoke 256 12800)" "$threads")
		result 9 "the same, against PyTorch, $threads threads, without augmentation" \
			"$(calculate %.2f "60000 / $rate") s" "$(calculate %.2f "60000 / $their") s" \
			"$(calculate %.1f "$rate / $their")" "$([ "$threads" = 2 ] && echo 4 || echo -)" -
	done
fi

"$programs/bench_train" "$(smoke softmax default)" | tee "$bench_directory/train"
read -r augmentation step <<<"$(awk '/ batch 128:/ { for (i = 1; i < NF; i++) if ($i == "us") step = $(i - 1) }
	/augmentation, elastic too/ { augmentation = $4 } END { print augmentation, step }' "$bench_directory/train")"
result 10 'augmentation in a step of the default network, an image' "$augmentation us" "$step us" \
	"$(calculate %.1f "100 * $augmentation / $step") %" '15 %' -

if alternative torch; then
	"$programs/bench_forward" keras_cnn >"$bench_directory/forward"
	for batch in $(smoke 1 '1 64'); do
		our=$(sed -n "s/.* batch *$batch: *\([0-9.]*\) microseconds.*/\1/p" "$bench_directory/forward" | head -n 1)
		for threads in $(smoke 1 '1 2'); do
			their=$("$bench_python" "$repo/test/bench/alternatives/torch_speed.py" forward "$batch" "$threads")
			result "$((batch > 1 ? 2 : 1))" "keras_cnn forward, batch $batch, against PyTorch, $threads threads" \
				"$our us" "$their us" "$(calculate %.1f "$their / $our")" - -
		done
	done
fi
