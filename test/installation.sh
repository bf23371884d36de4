#!/usr/bin/env bash
# installation.sh: make a second installation of PostgreSQL, which an unprivileged user can write to.
#
#   test/installation.sh DIRECTORY [TREE]
#
# Copies the installation of PG_CONFIG into DIRECTORY, unless that was done before.  Then copies what "make install
# DESTDIR=TREE" left in TREE.  Prints the path of the new installation, for PostgreSQL::Test::Cluster's install_path;
# its programs are in bin below that path.
#
# PostgreSQL's programs find their other files by a path relative to their own directory, so all files have the same
# paths in DIRECTORY as in /.  Programs are copied, because a symbolic link would lead them back to the original.  All
# other files are symbolic links.  Files of this extension are left out.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

directory=${1:?usage: test/installation.sh DIRECTORY [TREE]}
bindir=$("$PG_CONFIG" --bindir)

# copy_directory DIRECTORY PROGRAM...: copy a directory as explained above; the programs named are real copies.
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
	# Replace the files rather than write into them, because a server may have loaded them.
	cp -R --remove-destination "$2/." "$directory/"
fi
dirname "$directory$bindir"
