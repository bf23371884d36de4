# server.sh: the set-up of the benchmarks that need a server.  bash scripts source it.
# shellcheck shell=bash
#
# It starts a private server with the library preloaded and MNIST imported as data set "mnist"; the server is removed
# when the script ends.  In a smoke run (BENCH_SMOKE) the data set has synthetic digits instead, and sizes are tiny: it
# shows only that the script runs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

bench_port=${BENCH_PORT:-54322}
bench_bindir=$("$PG_CONFIG" --bindir)
# Debian's own Python, which finds the modules of Debian's packages.
bench_python=/usr/bin/python3
bench_directory=$(mktemp -d "${TMPDIR:-/tmp}/mnist_hil_bench.XXXXXX")
# The process group of a service to compare with, while it runs.
bench_service=

stop_service()
{
	[ -z "$bench_service" ] || kill -- "-$bench_service" 2>/dev/null || true
	bench_service=
}
trap 'stop_service; stop_private_server "$bench_directory" || true; rm -rf "$bench_directory"' EXIT

# Run psql as the server's superuser.
bench_psql()
{
	as_server_user "$bench_bindir/psql" -X -q -v ON_ERROR_STOP=1 -h "$bench_directory" -p "$bench_port" \
		-U bench -d bench "$@"
}

# smoke SMALL FULL: print SMALL in a smoke run, else FULL.
smoke()
{
	if [ -n "${BENCH_SMOKE:-}" ]; then echo "$1"; else echo "$2"; fi
}

# Run pgbench as the server's superuser, with prepared statements, over the socket.
bench_pgbench()
{
	as_server_user "$bench_bindir/pgbench" -n -M prepared -h "$bench_directory" -p "$bench_port" -U bench "$@" bench
}

# The median of the numbers on standard input.  Ends the script if there is none.
median()
{
	sort -n | awk '{ value[NR] = $1 } END { if (NR == 0) exit 1; print value[int((NR + 1) / 2)] }' || {
		echo 'nothing was measured' >&2
		kill $$
	}
}

# calculate FORMAT EXPRESSION: print the value of an expression of awk.
calculate()
{
	awk "BEGIN { printf \"$1\", ($2) }"
}

# milliseconds REPETITIONS SETTINGS STATEMENT: the median time of the statement in one session.  A first execution, to
# warm up, does not count.
milliseconds()
{
	{
		echo "$2"
		echo '\o /dev/null'
		echo "$3;"
		echo '\timing on'
		for _ in $(seq "$1"); do echo "$3;"; done
	} | bench_psql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | median
}

# result ROW WHAT OURS THEIRS RATIO BAR AIM: print a line of the table of results; - stands for an empty cell.
result()
{
	printf 'row %-3s | %-64s | %-16s | %-22s | %-14s | %-22s | %s\n' "$@"
}

# alternative MODULE: is this Python module, for a comparison, installed?  A smoke run compares with nothing, so that it
# takes as long wherever it runs.
alternative()
{
	[ -z "${BENCH_SMOKE:-}" ] || return
	"$bench_python" -c "import $1" 2>/dev/null && return
	echo "not compared with $1, which is not installed"
	return 1
}

# Make a table "png" with the data set's test images as PNGs, train keras_cnn for one epoch and make it live.
keras_cnn_live()
{
	bench_psql -o /dev/null <<-SQL
		CREATE TABLE png AS
		SELECT row_number() OVER (ORDER BY ordinal) AS id, mnist_png(pixels) AS png, pixels
		FROM mnist_sample WHERE split = 'test';
		VACUUM ANALYZE png;
		SELECT mnist_activate(model_version) FROM mnist_retrain(strategy => 'from_scratch',
			architectures => '{keras_cnn}', epochs => 1, seed => 1, promote => false);
	SQL
}

# png_of_row ID, png_of_file FILE: a PNG from table "png", or from a file, as a bytea literal for pgbench.
png_of_row()
{
	bench_psql -At -c "SELECT png FROM png WHERE id = $1"
}

png_of_file()
{
	printf '\\x%s' "$(od -An -v -tx1 "$1" | tr -d ' \n')"
}

[ -n "${BENCH_SMOKE:-}" ] ||
	echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
if [ "$(id -u)" = 0 ]; then
	build_and_install
	[ -n "${BENCH_SMOKE:-}" ] || "$repo/test/packages.sh" install bench
	chown "$(server_user)" "$bench_directory"
fi
start_private_server "$bench_directory" "$bench_directory" "$bench_port" bench
bench_psql -c 'CREATE EXTENSION mnist_hil'
[ -z "${BENCH_SMOKE:-}" ] || bench_psql -c 'ALTER DATABASE bench SET mnist_hil.epochs = 1'
mnist=
[ -n "${BENCH_SMOKE:-}" ] || mnist=$("$repo/test/mnist.sh")
if [ -n "$mnist" ]; then
	for split in train t10k; do
		for kind in images-idx3 labels-idx1; do
			cp "$mnist/$split-$kind-ubyte"* "$bench_directory/$split-$kind"
		done
		chmod a+r "$bench_directory/$split-"*
		bench_psql -o /dev/null -c "SELECT mnist_import_idx('mnist', '${split/t10k/test}',
			pg_read_binary_file('$bench_directory/$split-images-idx3'),
			pg_read_binary_file('$bench_directory/$split-labels-idx1'))"
	done
else
	bench_psql -o /dev/null -c "SELECT mnist_import_synthetic('mnist', $(smoke 700 70000))"
	[ -n "${BENCH_SMOKE:-}" ] || echo 'MNIST is not at hand: these are synthetic digits.'
fi
