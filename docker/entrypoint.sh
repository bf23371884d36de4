#!/bin/bash
# entrypoint.sh: the container runs this.  It prepares the data directory and then runs the server in its own place.
# Arguments that begin with "-", or follow "postgres", are options of the server; any other command is run as it is.
# docker/README.md lists the environment variables.
#
# The first start is atomic.  The cluster is made in a directory of its own, $PGDATA/.first-start/cluster.  When it is
# complete, with extensions, roles, base data and schedule, the file .first-start/complete is made, and the cluster is
# moved up to $PGDATA, PG_VERSION last.  A start that finds .first-start/complete finishes moving.  A start that finds
# .first-start without it starts over.  Nothing else in $PGDATA is ever deleted.
set -euo pipefail
# shellcheck source=docker/environment.sh
. /usr/local/lib/mnist_hil/environment.sh

case ${1:-} in
	'') set -- postgres ;;
	-*) set -- postgres "$@" ;;
esac
[ "$1" = postgres ] || exec "$@"
for option; do
	case $option in
		-\? | --help | --describe-config | -V | --version) exec "$@" ;;
	esac
done
shift

library=/usr/local/lib/mnist_hil
first=$PGDATA/.first-start
cluster=$first/cluster
checked=$PGDATA/mnist_hil.checked
sockets=

# The roles that are made on demand: the kind of mnist_grant, the role, the variable that has its password.
roles='application mnist_app MNIST_APP_PASSWORD
annotator mnist_annotator MNIST_ANNOTATOR_PASSWORD
trainer mnist_trainer MNIST_TRAINER_PASSWORD
observer mnist_observer MNIST_OBSERVER_PASSWORD
monitor mnist_monitor MNIST_MONITOR_PASSWORD'

say()
{
	echo "mnist_hil: $*"
}

# ---- a server without a TCP port, for preparing

# start_server DIRECTORY OPTIONS...: start it.  Only this script knows its socket.
start_server()
{
	local directory=$1

	shift
	sockets=$(mktemp -d)
	pg_ctl -D "$directory" -s -w -t 86400 start \
		-o "$(printf '%q ' "$@" -c listen_addresses= -c "unix_socket_directories=$sockets" -c "port=${PGPORT:-5432}")"
	export PGHOST=$sockets PGUSER=$POSTGRES_USER PGDATABASE=$POSTGRES_DB
}

stop_server()
{
	pg_ctl -D "$1" -s -w -t 86400 -m fast stop
	rm -rf "$sockets"
	sockets=
	unset PGHOST PGUSER PGDATABASE
}

sql()
{
	psql -X -q -v ON_ERROR_STOP=1 "$@" >/dev/null
}

# Make the roles whose passwords are given and that do not exist.  A role that has no password gets it.
make_roles()
{
	local kind role variable

	while read -r kind role variable; do
		[ -z "${!variable:-}" ] || sql -v kind="$kind" -v role="$role" -v variable="$variable" -f "$library/role.sql"
	done <<<"$roles"
}

# ---- the first start

# as_setting VALUE: quote a value for postgresql.conf.
as_setting()
{
	printf "'%s'" "${1//\'/\'\'}"
}

make_cluster()
{
	local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256} arguments

	# POSTGRES_INITDB_ARGS may have quoted words, as in the official image.
	eval "arguments=(${POSTGRES_INITDB_ARGS:-})"
	if [ -n "${POSTGRES_PASSWORD:-}" ]; then
		printf '%s\n' "$POSTGRES_PASSWORD" >"$first/password"
		arguments+=("--pwfile=$first/password")
	elif [ "$method" != trust ]; then
		die "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE: the password of superuser $POSTGRES_USER"
	fi
	initdb -D "$cluster" -U "$POSTGRES_USER" --auth-local=peer --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8 \
		"${arguments[@]}" >/dev/null
	rm -f "$first/password"
	cat >>"$cluster/postgresql.conf" <<-CONF
		listen_addresses = '*'
		shared_preload_libraries = 'mnist_hil,pg_cron'
		cron.database_name = $(as_setting "$POSTGRES_DB")
		cron.use_background_workers = on	# jobs need no connection and no password
		max_worker_processes = 16
	CONF
	# Over the socket, only the container's user postgres can connect, and only as the superuser.
	cat >"$cluster/pg_hba.conf" <<-CONF
		local all all peer map=container
		local replication all peer map=container
		host all all all $method
	CONF
	echo "container postgres \"${POSTGRES_USER//\"/\"\"}\"" >>"$cluster/pg_ident.conf"
}

# Import MNIST, or else digits that the extension draws.
import_base_data()
{
	local mnist download

	if compgen -G "${MNIST_DIR:-/mnist}/*-ubyte*" >/dev/null; then
		mnist=$(MNIST_DIR=${MNIST_DIR:-/mnist} "$library/mnist.sh")
	elif [ "${MNIST_DOWNLOAD:-on}" != off ]; then
		download=$(mktemp -d)
		mnist=$(XDG_CACHE_HOME=$download MNIST_DIR='' timeout 60 "$library/mnist.sh") || mnist=
	fi
	if [ -n "${mnist:-}" ]; then
		say "importing MNIST from $mnist"
		sql -v directory="$mnist" -f "$library/import_mnist.sql"
	else
		say "MNIST is not at hand; drawing digits as base data"
		sql -f "$library/import_drawn.sql"
	fi
	rm -rf "${download:-}"
}

# Run the user's scripts, in the order of their names, as the official image does.
run_scripts()
{
	local file

	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
			*.sh)
				say "running $file"
				# shellcheck disable=SC1090
				if [ -x "$file" ]; then "$file"; else set +u && . "$file" && set -u; fi
				;;
			*.sql) say "running $file" && psql -X -v ON_ERROR_STOP=1 -f "$file" ;;
			*.sql.gz) say "running $file" && gzip -dc "$file" | psql -X -v ON_ERROR_STOP=1 ;;
			*'/*') ;;
			*) say "ignoring $file" ;;
		esac
	done
}

# Move the complete cluster to $PGDATA.  The cluster exists there as soon as PG_VERSION does.
move_cluster()
{
	local file

	for file in "$cluster"/* "$cluster"/.[!.]*; do
		[ ! -e "$file" ] || [ "$file" = "$cluster/PG_VERSION" ] || mv -T "$file" "$PGDATA/${file##*/}"
	done
	sync -f "$PGDATA"
	mv -T "$cluster/PG_VERSION" "$PGDATA/PG_VERSION"
}

first_start()
{
	local other

	if [ -e "$first/complete" ]; then
		say "finishing a first start that was interrupted"
	else
		other=$(find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name .first-start \
			! -name .mnist_hil.lock -print -quit)
		[ -z "$other" ] || die "$PGDATA has no cluster, but is not empty: it has $other." \
			"Mount an empty volume, or remove what is there."
		[ ! -e "$first" ] || say "starting over: an earlier first start was interrupted"
		rm -rf "$first"
		mkdir -m 0700 "$first"
		say "making a cluster in $PGDATA"
		make_cluster
		start_server "$cluster" "$@"
		[ "$POSTGRES_DB" = postgres ] ||
			PGDATABASE=postgres sql -v database="$POSTGRES_DB" <<<'CREATE DATABASE :"database"'
		sql -f "$library/first_start.sql"
		make_roles
		import_base_data
		run_scripts
		stop_server "$cluster"
		: >"$cluster/${checked##*/}"
		sync -f "$PGDATA"
		: >"$first/complete"
	fi
	move_cluster
	rm -rf "$first"
	say "the first start is complete"
}

# ---- later starts

# Make roles that are asked for, and see once that a cluster that this script has not made has the extension.
later_start()
{
	local kind role variable wanted=

	# Left by a first start that was killed after the cluster had been moved.
	rm -rf "$first"
	while read -r kind role variable; do
		[ -z "${!variable:-}" ] || wanted=1
	done <<<"$roles"
	[ -z "$wanted" ] && [ -e "$checked" ] && return
	start_server "$PGDATA" "$@"
	if [ ! -e "$checked" ]; then
		[ "$(psql -XAtq -c "SELECT count(*) FROM pg_extension WHERE extname IN ('mnist_hil', 'pg_cron')")" = 2 ] ||
			die "database $POSTGRES_DB of the cluster in $PGDATA has not both extensions, mnist_hil and pg_cron." \
				"Its first start may have been interrupted. Mount an empty volume; or, to repair it, run" \
				"$(command -v postgres) as the command, and create the extensions."
		: >"$checked"
	fi
	make_roles
	stop_server "$PGDATA"
}

# ----

from_file POSTGRES_PASSWORD
from_file POSTGRES_INITDB_ARGS
while read -r _ _ variable; do
	from_file "$variable"
done <<<"$roles"

if ! mkdir -p "$PGDATA" || ! chmod 0700 "$PGDATA"; then
	die "user $(id -un) (uid $(id -u)) must own $PGDATA: chown the directory that is mounted there"
fi
# The server inherits this lock, so that no second container uses the same directory.
exec 9>>"$PGDATA/.mnist_hil.lock"
flock -w 10 9 || die "another container uses $PGDATA"

# The container ends with this process.  A stop or an error ends the preparing server in order first.
leave()
{
	local status=$? directory

	trap '' TERM INT
	for directory in "$cluster" "$PGDATA"; do
		[ ! -e "$directory/postmaster.pid" ] || [ -z "$sockets" ] || pg_ctl -D "$directory" -s -w -m fast stop || true
	done
	exit "$status"
}
trap 'exit 143' TERM
trap 'exit 130' INT
trap leave EXIT
if [ -s "$PGDATA/PG_VERSION" ]; then
	later_start "$@"
else
	first_start "$@"
fi
trap - TERM INT EXIT

# The server does not need the passwords.
unset POSTGRES_PASSWORD
while read -r _ _ variable; do
	unset "$variable"
done <<<"$roles"
exec postgres -D "$PGDATA" "$@"
