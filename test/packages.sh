#!/usr/bin/env bash
# packages.sh: list or install the Debian packages that this project needs.  No other file lists them.
#
#   packages.sh list GROUP       print them
#   packages.sh install GROUP    install those that are missing (root or sudo)
#
# Groups: serve: for a server with the extension installed.  run: to build, install and use the extension, and for the
# demo.  notify: to build mnist_hil_notify.  test: for make test.  image: for the container's image.  compile, headers:
# to build the extension for it; the packages of headers are only unpacked.  container: also for make container.
# monitoring: also for test/t/monitoring.pl and test/t/alerting.pl, which are skipped without them, and for the image of
# the monitoring programs.  bench: for what make bench compares with.  lint, coverage: also for make lint and make
# coverage.
set -euo pipefail

# The major version of the server that pg_config belongs to, or else of the distribution's server.
server_version()
{
	local version pgxs

	pgxs=$("${PG_CONFIG:-pg_config}" --pgxs 2>/dev/null) || pgxs=
	if [ -n "$pgxs" ] && [ -e "$pgxs" ]; then
		"${PG_CONFIG:-pg_config}" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'
		return
	fi
	version=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
	if [ -z "$version" ] && command -v apt-get >/dev/null; then
		as_root apt-get -qq update >&2
		version=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
	fi
	if [ -z "$version" ]; then
		echo "packages.sh: cannot tell which PostgreSQL this distribution has" >&2
		return 1
	fi
	echo "$version"
}

usage()
{
	local groups='serve|run|notify|test|image|compile|headers|container|monitoring|bench|lint|coverage'

	echo "usage: $0 list|install $groups" >&2
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "packages.sh: needs root, or sudo, to run: $*" >&2
		return 1
	fi
}

packages()
{
	local version

	case $1 in
		serve)
			version=$(server_version)
			apt-cache depends libpng-dev | sed -n 's/.*Depends: \(libpng[0-9].*\)/\1/p'
			echo libopenblas0 "postgresql-$version" "postgresql-$version-cron"
			;;
		run)
			packages serve
			packages compile
			echo "postgresql-server-dev-$(server_version)" curl ca-certificates
			;;
		notify)
			echo gcc make libc6-dev libpq-dev libcurl4-openssl-dev
			;;
		test)
			packages run
			packages notify
			echo libcmocka-dev libipc-run-perl perl sqlsmith git
			;;
		image)
			packages serve
			echo curl ca-certificates
			;;
		compile)
			echo gcc make libc6-dev libpng-dev
			;;
		headers)
			echo "postgresql-server-dev-$(server_version)" libpq-dev
			;;
		container)
			echo podman runc buildah debootstrap netavark iproute2
			;;
		monitoring)
			echo prometheus prometheus-alertmanager prometheus-postgres-exporter
			;;
		bench)
			echo python3-torch python3-numpy python3-pil python3-fastapi uvicorn wrk \
				"postgresql-plpython3-$(server_version)"
			;;
		lint)
			echo clang-format cppcheck
			;;
		coverage)
			echo lcov
			;;
		*)
			usage
			return 2
			;;
	esac
}

# Run apt-get with its output in a file, and every three seconds print how far it has come.
apt_get()
{
	local log ticker status=0

	log=$(mktemp)
	as_root true
	(
		seconds=0
		while sleep 3 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
			seconds=$((seconds + 3))
			echo "  $(apt_progress "$log"), $seconds s"
		done
	) &
	ticker=$!
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 || status=$?
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	[ $status = 0 ] || tail -n 20 "$log" >&2
	rm -f "$log"
	return $status
}

apt_progress()
{
	local total

	total=$(sed -n 's/.*, \([0-9]*\) newly installed.*/\1/p' "$1")
	if [ -z "$total" ]; then
		echo "reading the lists of packages"
	else
		echo "of $total packages $(grep -c '^Get:' "$1") downloaded, $(grep -c '^Unpacking ' "$1") unpacked," \
			"$(grep -c '^Setting up ' "$1") set up"
	fi
}

missing()
{
	local package

	for package; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
	done
}

[ "${1:-}" != install ] || echo "looking which packages are missing"
list=$(packages "${2:-}" | xargs)
case ${1:-} in
	list)
		echo "$list"
		;;
	install)
		if ! command -v apt-get >/dev/null; then
			echo "packages.sh: no apt-get here; install what stands for: $list" >&2
			exit 0
		fi
		# shellcheck disable=SC2086
		wanted=$(missing $list | xargs)
		if [ -n "$wanted" ]; then
			echo "installing: $wanted"
			apt_get update
			# shellcheck disable=SC2086
			apt_get install -y --no-install-recommends $wanted
		fi
		;;
	*)
		usage
		exit 2
		;;
esac
