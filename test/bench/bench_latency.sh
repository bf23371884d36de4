#!/usr/bin/env bash
# bench_latency.sh: the latency that predicting one image adds to a query that only receives the image.  pgbench, one
# client, prepared statements, Unix socket, keras_cnn live.  Rows 6 and 6b of the results.
. "$(dirname "$0")/server.sh"

seconds=$(smoke 1 2)
rounds=$(smoke 1 7)
keras_cnn_live

# latency FUNCTION: the mean microseconds of a call, over the images in the array "images".
latency()
{
	local i arguments=()

	for i in "${!images[@]}"; do
		echo "SELECT $1(:image$i::bytea);" >"$bench_directory/$1-$i.sql"
		arguments+=(-D "image$i=${images[i]}" -f "$bench_directory/$1-$i.sql")
	done
	bench_pgbench -c 1 -T "$seconds" "${arguments[@]}" 2>/dev/null |
		awk '/^tps = / { printf "%.1f\n", 1e6 / $3 }'
}

# compare: measure octet_length and mnist_classify in alternating rounds; sets $nothing and $prediction to the medians.
compare()
{
	local round nothings=() predictions=()

	for round in $(seq "$rounds"); do
		nothings+=("$(latency octet_length)")
		predictions+=("$(latency mnist_classify)")
	done
	nothing=$(printf '%s\n' "${nothings[@]}" | median)
	prediction=$(printf '%s\n' "${predictions[@]}" | median)
}

images=()
for i in 1 2 3 4 5 6 7 8 9 10; do images+=("$(png_of_row "$i")"); done
compare
result 6 'mnist_classify($1), PNG of 28 x 28, over octet_length($1)' "$prediction us" "$nothing us" \
	"+ $(calculate %.0f "$prediction - $nothing") us" '+ 45 us' '+ 25 us'

if alternative PIL; then
	bench_psql -At -c "SELECT encode(string_agg(pixels, '' ORDER BY id), 'base64') FROM png" |
		base64 -d >"$bench_directory/pixels"
	mkdir "$bench_directory/canvases"
	inflate=$("$bench_python" "$repo/test/bench/alternatives/canvases.py" \
		"$bench_directory/pixels" "$bench_directory/canvases")
	images=()
	for file in "$bench_directory/canvases"/*.png; do images+=("$(png_of_file "$file")"); done
	compare
	added=$(calculate %.0f "$prediction - $nothing")
	result 6b 'mnist_classify($1), canvas of 280 x 280 RGBA, over octet_length($1)' "$prediction us" "$nothing us" \
		"+ $added us" '+ 400 us' '1.5 x inflating'
	result 6b "the same, against zlib's inflating the canvas' data" "+ $added us" "$inflate us" \
		"$(calculate %.2f "$added / $inflate")" - '1.5'
fi
