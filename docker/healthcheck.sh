#!/bin/bash
# healthcheck.sh: succeeds if the server accepts connections over TCP and the extension predicts a digit.  It fails
# during the first start and the preparation of a later one, because the server then has no TCP port.
set -eu
# shellcheck source=docker/environment.sh
. /usr/local/lib/mnist_hil/environment.sh

# The lines of postmaster.pid: process, data directory, start time, port, socket directory, first TCP address, ...
mapfile -t server <"$PGDATA/postmaster.pid"
port=${server[3]} directory=${server[4]} address=${server[5]}
case $address in
	'*' | 0.0.0.0) address=127.0.0.1 ;;
	::) address=::1 ;;
	'') exit 1 ;;
esac
pg_isready -q -t 5 -h "$address" -p "$port" -U "$POSTGRES_USER" -d "$POSTGRES_DB"
[ "$(PGCONNECT_TIMEOUT=5 psql -XAtq -h "$directory" -p "$port" -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
	-c 'SELECT mnist_classify(mnist_draw(7)) IS NOT NULL')" = t ]
