#!/usr/bin/env bash
# train_bundled.sh: `make model`.  Trains the bundled model on MNIST, in a private server and with the extension's own
# mnist_retrain, and writes its weights to sql/bundled/default.weights.  The same seed, epochs and kernels give the same
# file.
#
#     EPOCHS=N SEED=N LEARNING_RATE=X BATCH_SIZE=N src/tools/train_bundled.sh      (defaults below)
set -euo pipefail
. "$(dirname "$0")/../../test/lib.sh"

epochs=${EPOCHS:-30}
seed=${SEED:-1}
learning_rate=${LEARNING_RATE:-NULL}
batch_size=${BATCH_SIZE:-NULL}

"$repo/test/packages.sh" install run
build_and_install
mnist=$("$repo/test/mnist.sh")
[ -n "$mnist" ] || die "the bundled model is trained on MNIST, which is not at hand: see test/mnist.sh"

directory=$(mktemp -d "${TMPDIR:-/tmp}/mnist_hil_model.XXXXXX")
trap 'stop_private_server "$directory"; rm -rf "$directory"' EXIT
cp "$mnist"/*-ubyte* "$directory/"
for file in "$directory"/*.gz; do [ ! -e "$file" ] || gunzip "$file"; done
chmod -R u+w "$directory"
[ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$directory"
start_private_server "$directory" "$directory" 54321 model

psql()
{
	as_server_user "$("$PG_CONFIG" --bindir)/psql" -X -q -v ON_ERROR_STOP=1 -h "$directory" -p 54321 \
		-U model -d model "$@"
}

psql <<-SQL
	CREATE EXTENSION mnist_hil;
	SELECT mnist_import_idx('mnist', 'train', pg_read_binary_file('$directory/train-images-idx3-ubyte'),
		pg_read_binary_file('$directory/train-labels-idx1-ubyte'));
	SELECT mnist_import_idx('mnist', 'test', pg_read_binary_file('$directory/t10k-images-idx3-ubyte'),
		pg_read_binary_file('$directory/t10k-labels-idx1-ubyte'));
	\\timing on
	\\x on
	SELECT * FROM mnist_retrain(strategy => 'from_scratch', architectures => '{default}', epochs => $epochs,
		seed => $seed, learning_rate => $learning_rate, batch_size => $batch_size, promote => false);
SQL
psql -At -c "SELECT encode(weights, 'base64') FROM mnist_model ORDER BY version DESC LIMIT 1" |
	base64 -d >"$repo/sql/bundled/default.weights.new"
mv "$repo/sql/bundled/default.weights.new" "$repo/sql/bundled/default.weights"
ls -l "$repo/sql/bundled/default.weights"

"$repo/src/tools/drift_reference.sh"
