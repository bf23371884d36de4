#!/usr/bin/env bash
# bundled_reference.sh: writes sql/parts/63-drift-bundled.sql, what the bundled model makes of MNIST's validation
# images.  To be run, and the result committed, whenever the bundled model or a feature has changed.
. "$(dirname "$0")/server.sh"

[ -n "$mnist" ] || die "the reference is made of MNIST, which is not at hand: see test/mnist.sh"
part=$repo/sql/parts/63-drift-bundled.sql
bench_psql -f "$repo/test/bench/bundled_reference.sql" >"$part.new"
mv "$part.new" "$part"
ls -l "$part"
