#!/usr/bin/env bash
# releases.sh: build this release and an older one for test/installation.sh.
#
#   test/releases.sh DIRECTORY
#
# Installs what is built in this checkout into DIRECTORY/now, and release 0.1.0, built from the history of this
# repository, into DIRECTORY/0.1.0.  If the history cannot be read, it writes the reason to DIRECTORY/0.1.0.missing
# instead.  The build of 0.1.0 is kept in build/releases.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

directory=${1:?usage: test/releases.sh DIRECTORY}
release=0.1.0
commit=8c9b502

# missing REASON: write down why the release could not be built.
missing()
{
	echo "$1" >"$directory/$release.missing"
}

# install_from SOURCE TREE: run "make install" in SOURCE with DESTDIR=TREE.
install_from()
{
	make -C "$1" --no-print-directory -s install "DESTDIR=$2" "PG_CONFIG=$PG_CONFIG" >/dev/null
}

mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
cd "$repo"
install_from . "$directory/now"

if said=$(LC_ALL=C git cat-file -e "$commit^{commit}" 2>&1); then
	source=build/releases/$release/$("$PG_CONFIG" --version | tr -c 'a-zA-Z0-9.\n' _)
	if [ ! -e "$source/built" ]; then
		rm -rf "$source"
		mkdir -p "$source"
		git archive "$commit" src sql Makefile mnist_hil.control | tar -x -C "$source"
		make -C "$source" --no-print-directory -s -j 2 all "PG_CONFIG=$PG_CONFIG"
		touch "$source/built"
	fi
	install_from "$source" "$directory/$release"
elif [[ $said == *"dubious ownership"* ]]; then
	missing "git refuses to read $repo, which belongs to another user; see safe.directory in git-config(1)"
else
	missing "no git history to build $release from"
fi
