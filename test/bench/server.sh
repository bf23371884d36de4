# server.sh: what the benchmarks that need a server share.  To be sourced, with bash.
# shellcheck shell=bash
#
# A private server with the library preloaded and MNIST imported as data set "mnist"; it goes when the script ends.  A
# smoke run (BENCH_SMOKE) has synthetic digits under that name instead, and sizes that show only that the script runs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

bench_port=${BENCH_PORT:-54322}
bench_directory=$(mktemp -d "${TMPDIR:-/tmp}/mnist_hil_bench.XXXXXX")
trap 'stop_private_server "$bench_directory" || true; rm -rf "$bench_directory"' EXIT

# psql as the server's superuser.
bench_psql()
{
	as_server_user "$("$PG_CONFIG" --bindir)/psql" -X -q -v ON_ERROR_STOP=1 -h "$bench_directory" -p "$bench_port" \
		-U bench -d bench "$@"
}

# smoke SMALL FULL: the size for this run.
smoke()
{
	if [ -n "${BENCH_SMOKE:-}" ]; then echo "$1"; else echo "$2"; fi
}

[ -n "${BENCH_SMOKE:-}" ] || echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
if [ "$(id -u)" = 0 ]; then
	build_and_install
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
