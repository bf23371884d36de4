#!/usr/bin/env bash
# installation.sh: a second installation of PostgreSQL, which an unprivileged user may write.
#
#   test/installation.sh DIRECTORY [TREE]
#
# Copies the installation of PG_CONFIG into DIRECTORY, unless it is there already, and then whatever is in TREE: what
# "make install DESTDIR=TREE" left there.  Prints where the installation is, for PostgreSQL::Test::Cluster's
# install_path: its programs are in bin below that.
#
# PostgreSQL's programs find their other files by the way that leads there from their own directory, so everything lies
# in DIRECTORY as it does in /.  Programs are copied, because links would lead them back; all else are links, but for
# files of this extension, which are left out.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

directory=${1:?usage: test/installation.sh DIRECTORY [TREE]}
bindir=$("$PG_CONFIG" --bindir)

# copy_directory DIRECTORY PROGRAM...: as it says above, with the programs as copies.
copy_directory()
{
	local from=$1 to=$directory$1

	shift
	[ ! -d "$to" ] || return 0
	mkdir -p "$to"
	cp -Rs "$from/." "$to/"
	find "$to" -name 'mnist_hil*' -delete
	for program; do
		cp --remove-destination "$from/$program" "$to/$program"
	done
}

mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
copy_directory "$bindir" postgres pg_config initdb pg_ctl pg_dump pg_dumpall pg_restore pg_upgrade psql
copy_directory "$("$PG_CONFIG" --pkglibdir)"
copy_directory "$("$PG_CONFIG" --sharedir)"
if [ -n "${2:-}" ]; then
	# Not into the files themselves: a server may have them loaded.
	cp -R --remove-destination "$2/." "$directory/"
fi
dirname "$directory$bindir"
