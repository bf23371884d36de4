#!/usr/bin/env bash
# bench_noise.sh: how many wrong labels the label-noise filter excludes, and how many honest ones, with MNIST as the
# base data (see noise.sql).  With fewer cases:
#
#     EPOCHS=1 SEEDS='1 2' RATES='0.05 0.3' KINDS=pair IMAGES=plain CONFIRMATIONS='none same' test/bench/bench_noise.sh
#
# The images are MNIST's test images, which the bundled model was not trained on.  With IMAGES=styled one in four of
# them is in a style that the model predicts badly.  The test images took no part in choosing the filter's constants;
# these were chosen on MNIST's training images 0 to 11,999, with a model that was trained on images 30,000 to 59,999.
. "$(dirname "$0")/server.sh"

read -ra seeds <<<"${SEEDS:-$(smoke 1 '1 2 3 4 5')}"
read -ra rates <<<"${RATES:-$(smoke 0.3 '0 0.05 0.15 0.3')}"
read -ra kinds <<<"${KINDS:-$(smoke pair 'uniform pair')}"
read -ra images <<<"${IMAGES:-$(smoke plain 'plain styled')}"
read -ra confirmations <<<"${CONFIRMATIONS:-$(smoke same 'none same others')}"

bench_psql -v styled="$(smoke 50 1500)" -f "$repo/test/bench/noise_images.sql"
echo 'images | rate | kind    | confirmations | seed | wrong labels, kept out % |' \
	'honest labels, excluded % | honest corrections, excluded | gate'
for image in "${images[@]}"; do
	for rate in "${rates[@]}"; do
		for kind in "${kinds[@]}"; do
			[ "$rate/$kind" != 0/pair ] || continue # nothing is wrong
			for confirmation in "${confirmations[@]}"; do
				for seed in "${seeds[@]}"; do
					bench_psql -v images="$image" -v rate="$rate" -v kind="$kind" -v confirmations="$confirmation" \
						-v seed="$seed" -v epochs="${EPOCHS:-$(smoke 1 2)}" -v labels="$(smoke 60 300)" \
						-f "$repo/test/bench/noise.sql"
				done
			done
		done
	done
done
