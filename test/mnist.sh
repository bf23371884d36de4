#!/usr/bin/env bash
# mnist.sh: print the directory that holds MNIST's four IDX files (plain or .gz), or nothing where there are none.
#
# The directory is MNIST_DIR if that is set, else ../shared/mnist beside the repository, else a cache that is filled
# from public mirrors.  The decompressed files are checked by their SHA-256.  MNIST_DIR=none: do not look for MNIST.
set -euo pipefail

mirrors='https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist'
sums='ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5 train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7 t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2 t10k-labels-idx1-ubyte'

# The decompressed bytes of file $2 in directory $1.
contents()
{
	if [ -r "$1/$2" ]; then cat "$1/$2"; else gzip -dc "$1/$2.gz" 2>/dev/null; fi
}

# Are all four files in directory $1, byte for byte?
complete()
{
	local sum name

	while read -r sum name; do
		[ "$(contents "$1" "$name" | sha256sum | cut -d' ' -f1)" = "$sum" ] || return 1
	done <<<"$sums"
}

download()
{
	local mirror name sum

	command -v curl >/dev/null || return 1
	mkdir -p "$1" || return 1
	for mirror in $mirrors; do
		while read -r sum name; do
			curl -fsSL --connect-timeout 5 --max-time 120 -o "$1/$name.gz" "$mirror/$name.gz" </dev/null || continue 2
		done <<<"$sums"
		complete "$1" && return 0
	done
	return 1
}

if [ "${MNIST_DIR:-}" = none ]; then
	exit 0
elif [ -n "${MNIST_DIR:-}" ]; then
	complete "$MNIST_DIR" || { echo "mnist.sh: $MNIST_DIR does not hold MNIST's four files as published" >&2; exit 1; }
	echo "$MNIST_DIR"
	exit 0
fi

beside=$(cd "$(dirname "$0")/../.." && pwd)/shared/mnist
if [ -d "$beside" ] && complete "$beside"; then
	echo "$beside"
	exit 0
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mnist_hil
if complete "$cache" || download "$cache" 2>/dev/null; then
	echo "$cache"
fi
