# environment.sh: what the container's environment variables mean.  entrypoint.sh and healthcheck.sh source it.
# shellcheck shell=bash

die()
{
	echo "mnist_hil: $*" >&2
	exit 1
}

# from_file NAME [DEFAULT]: set and export variable NAME.  If NAME_FILE is set, it names the file that has the value.
from_file()
{
	local name=$1 file=$1_FILE

	if [ -n "${!file:-}" ]; then
		[ -z "${!name:-}" ] || die "both $name and $file are set: set only one of them"
		[ -r "${!file}" ] || die "$file names ${!file}, which user $(id -un) cannot read"
		export "$name=$(<"${!file}")"
		unset "$file"
	elif [ -n "${!name:-${2:-}}" ]; then
		export "$name=${!name:-${2:-}}"
	fi
}

from_file POSTGRES_USER postgres
from_file POSTGRES_DB "$POSTGRES_USER"
