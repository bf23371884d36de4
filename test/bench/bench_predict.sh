#!/usr/bin/env bash
# bench_predict.sh: stored predictions a second with 1 and 8 clients, against a service of FastAPI, PyTorch and SQLite
# that also stores a row for each prediction.  Row 7 of the results.  keras_cnn is live, and the images are PNGs of
# 28 x 28.  Both commit durably, to the same disk.
. "$(dirname "$0")/server.sh"

seconds=$(smoke 1 5)
rounds=$(smoke 1 3)
keras_cnn_live
pngs=()
for i in 1 2 3 4 5 6 7 8; do pngs+=("$(png_of_row "$i")"); done
for i in "${!pngs[@]}"; do
	echo "SELECT * FROM mnist_predict(:png$i);" >"$bench_directory/predict-$i.sql"
	bench_psql -At -c "SELECT encode(png, 'base64') FROM png WHERE id = $((i + 1))" |
		base64 -d >"$bench_directory/$i.png"
done
chmod a+r "$bench_directory"/*.png

# ours CLIENTS: predictions a second.
ours()
{
	local i arguments=()

	for i in "${!pngs[@]}"; do arguments+=(-D "png$i=${pngs[i]}" -f "$bench_directory/predict-$i.sql"); done
	bench_pgbench -c "$1" -T "$seconds" "${arguments[@]}" 2>/dev/null | awk '/^tps = / { print $3 }'
}

# theirs CLIENTS: predictions a second of the service, measured by wrk; fails if a request failed.
theirs()
{
	wrk -t 1 -c "$1" -d "${seconds}s" -s "$repo/test/bench/alternatives/post.lua" "http://127.0.0.1:$port" -- \
		"$bench_directory"/?.png |
		awk '$1 == "result" && $4 == 0 { print $2; ok = 1 } END { exit !ok }'
}

# Start the service and wait until it answers.  It is one process: workers of uvicorn would share a socket without
# TCP_NODELAY, which costs 40 ms a request, and SQLite allows only one writer at a time.
serve()
{
	set -m # a process group of its own
	as_server_user env "DATABASE=$bench_directory/predictions.sqlite" "$bench_python" -m uvicorn service:app \
		--port "$port" --no-access-log --log-level warning --app-dir "$repo/test/bench/alternatives" \
		>"$bench_directory/service.log" 2>&1 &
	bench_service=$!
	set +m
	for _ in $(seq 100); do
		! "$bench_python" -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null || return 0
		sleep 0.2
	done
	cat "$bench_directory/service.log"
	die 'the service did not start'
}

if alternative fastapi && alternative torch && alternative uvicorn && alternative PIL && command -v wrk >/dev/null; then
	port=$((bench_port + 1))
	serve
else
	port=
fi
for clients in 1 8; do
	own=()
	theirs=()
	for _ in $(seq "$rounds"); do
		own+=("$(ours "$clients")")
		[ -z "$port" ] || theirs+=("$(theirs "$clients")")
	done
	our=$(printf '%s\n' "${own[@]}" | median)
	if [ -n "$port" ]; then
		their=$(printf '%s\n' "${theirs[@]}" | median)
		result 7 "mnist_predict stored, $clients clients, against FastAPI + PyTorch + SQLite" \
			"$(calculate %.0f "$our")/s" "$(calculate %.0f "$their")/s" "$(calculate %.1f "$our / $their")" 4 8
	else
		result 7 "mnist_predict stored, $clients clients" "$(calculate %.0f "$our")/s" - - - -
	fi
done
