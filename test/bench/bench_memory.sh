#!/usr/bin/env bash
# bench_memory.sh: the private memory of a backend that has classified images, against one that has not, and whether the
# server holds the weights only once.  Row 13 of the results.  keras_cnn is live.
. "$(dirname "$0")/server.sh"

keras_cnn_live

# awk: the kB of private pages in /proc/PID/smaps, summed over the mappings that are not shared.
private_pages='/^[0-9a-f]+-/ { shared = $2 ~ /s/ } /^Private_/ && !shared { sum += $2 } END { print sum }'

# private STATEMENT: the kB of private memory of a session that has executed the statement three times.
private()
{
	bench_psql <<-SQL
		SET jit = off;
		SET max_parallel_workers_per_gather = 0;
		SELECT pg_backend_pid() AS pid \\gset
		\\setenv PID :pid
		\\o /dev/null
		$1;
		$1;
		$1;
		\\o
		\\! awk '$private_pages' /proc/\$PID/smaps
	SQL
}

statement='SELECT count(mnist_classify(png)) FROM png'
rounds=$(smoke 1 7)
without=$(for _ in $(seq "$rounds"); do private "${statement/mnist_classify/octet_length}"; done | median)
with=$(for _ in $(seq "$rounds"); do private "$statement"; done | median)
result 13 'private memory of a session that has classified, over one that has not' "$with kB" "$without kB" \
	"+ $((with - without)) kB" '+ 2048 kB' -

# Sixteen concurrent sessions use the model, and the shared memory that models take stays the same.
memory()
{
	bench_psql -At -c "SELECT memory_used FROM mnist_status"
}
bench_psql -o /dev/null -c "$statement"
before=$(memory)
echo 'SELECT mnist_classify(:png);' >"$bench_directory/classify.sql"
bench_pgbench -c 16 -T 1 -D "png=$(png_of_row 1)" -f "$bench_directory/classify.sql" >/dev/null 2>&1
result 13 'shared memory of models, after one session and after 16 more' "$(memory) bytes" "$before bytes" \
	"$(calculate %.2f "$(memory) / $before")" 1 -
