#!/usr/bin/env bash
# drift_reference.sh: writes sql/bundled/drift_reference.sql, the drift reference of the bundled model: the features of
# its predictions on MNIST's validation images.  Run it, and commit the result, whenever the bundled model or a feature
# has changed.
. "$(dirname "$0")/../../test/bench/server.sh"

[ -n "$mnist" ] || die "the reference is made of MNIST, which is not at hand: see test/mnist.sh"
part=$repo/sql/bundled/drift_reference.sql
bench_psql -f "$repo/src/tools/drift_reference.sql" >"$part.new"
mv "$part.new" "$part"
ls -l "$part"
