# lib.sh: functions that the shell scripts of the tests and the demo share.  bash scripts source it.
# shellcheck shell=bash disable=SC2034

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PG_CONFIG=${PG_CONFIG:-pg_config}
export PG_CONFIG
# Locale and client settings do not depend on the user's environment.
export LC_ALL=C.UTF-8 PGOPTIONS='' PSQLRC=/dev/null
unset PGHOST PGPORT PGUSER PGDATABASE PGSERVICE PGPASSWORD

die()
{
	echo "$*" >&2
	exit 1
}

# The user who runs servers.  PostgreSQL refuses to run as root; then it is user postgres, or else nobody.
server_user()
{
	if [ "$(id -u)" != 0 ]; then
		id -un
	elif id -u postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

# Run a command as the server user.  If that is another user, HOME is a directory that it can write to.
as_server_user()
{
	if [ "$(id -u)" = 0 ]; then
		HOME=${server_home:-/tmp} runuser -u "$(server_user)" -- "$@"
	else
		"$@"
	fi
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "needs root, or sudo, to run: $*"
	fi
}

# ticking FUNCTION COMMAND...: run a command, and every three seconds print the line that the function prints about it.
ticking()
{
	local line=$1 ticker status=0

	shift
	(
		seconds=0
		while sleep 3 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
			seconds=$((seconds + 3))
			echo "  $("$line"), $seconds s"
		done
	) &
	ticker=$!
	"$@" || status=$?
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	return $status
}

compiling()
{
	local compiled

	compiled=$(find "$repo/src" -name '*.o' -newermt "$compiling_since" | wc -l)
	echo "compiled $compiled of $to_compile files"
}

# Build, and install into the server's directories unless the files there are those that were built.
build_and_install()
{
	local libdir sharedir file jobs

	jobs=$(nproc 2>/dev/null || echo 1)
	to_compile=$(make -C "$repo" -n all "PG_CONFIG=$PG_CONFIG" 2>/dev/null | grep -c ' -c ') || true
	compiling_since=$(date '+%F %T')
	ticking compiling make -C "$repo" --no-print-directory -s -j "$jobs" all "PG_CONFIG=$PG_CONFIG"
	libdir=$("$PG_CONFIG" --pkglibdir)
	sharedir=$("$PG_CONFIG" --sharedir)
	if cmp -s "$repo/mnist_hil.so" "$libdir/mnist_hil.so" &&
		cmp -s "$repo/mnist_hil.control" "$sharedir/extension/mnist_hil.control"; then
		for file in "$repo"/build/mnist_hil--*; do
			[ -e "$file" ] || continue
			cmp -s "$file" "$sharedir/extension/$(basename "$file")" || { file=stale; break; }
		done
		[ "$file" = stale ] || return 0
	fi
	as_root make -C "$repo" --no-print-directory -s install "PG_CONFIG=$PG_CONFIG" >/dev/null
}

# The libraries to preload: mnist_hil, and pg_cron if it is installed.
preload_libraries()
{
	if [ -e "$("$PG_CONFIG" --sharedir)/extension/pg_cron.control" ]; then
		echo mnist_hil,pg_cron
	else
		echo mnist_hil
	fi
}

# start_private_server DIRECTORY SOCKET-DIRECTORY PORT DATABASE: make a cluster in DIRECTORY/data and start it with the
# library preloaded.  Only the operating system user who owns it (and root) can connect, without a password.  The
# superuser has the name of the database.
start_private_server()
{
	local directory=$1 socket=$2 port=$3 database=$4 bindir

	bindir=$("$PG_CONFIG" --bindir)
	cd "$directory"
	as_server_user "$bindir/initdb" -D "$directory/data" -U "$database" -A trust --no-sync --no-locale \
		-E UTF8 >/dev/null
	as_server_user tee -a "$directory/data/postgresql.conf" >/dev/null <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$socket'
		unix_socket_permissions = 0700
		port = $port
		shared_preload_libraries = '$(preload_libraries)'
		cron.database_name = '$database'
		cron.use_background_workers = on
		max_worker_processes = 16
	CONF
	as_server_user "$bindir/pg_ctl" -D "$directory/data" -l "$directory/server.log" -s -w start ||
		{ tail -n 20 "$directory/server.log" >&2; die "the private server in $directory did not start"; }
	as_server_user "$bindir/createdb" -h "$socket" -p "$port" -U "$database" "$database"
}

# stop_private_server DIRECTORY: stop the server; fails if it does not run.
stop_private_server()
{
	[ -e "$1/data/postmaster.pid" ] || return 1
	cd "$1"
	as_server_user "$("$PG_CONFIG" --bindir)/pg_ctl" -D "$1/data" -m fast -s -w stop || true
}
