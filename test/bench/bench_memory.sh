#!/usr/bin/env bash
# bench_memory.sh: the private memory of a backend that has classified, over one that has not; and whether the server
# holds the weights once.  Row 13.  keras_cnn is live.
. "$(dirname "$0")/server.sh"

keras_cnn_live

# awk: the sum of a process's private pages in /proc/PID/smaps.
private_pages='/^[0-9a-f]+-/ { shared = $2 ~ /s/ } /^Private_/ && !shared { sum += $2 } END { print sum }'

# private STATEMENT: kB of memory that a session has for itself, after the statement, several times: private pages of
# the mappings that are not shared.
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

# Of sixteen sessions at once each has the model at hand, and what models take in shared memory stays the same.
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
