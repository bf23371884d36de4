#!/usr/bin/env bash
# bench_switch.sh: switching the live model under load: 8 clients predict all the time while another session switches
# between three models.  Row 11 of the results.
#
# No prediction may fail.  Each is stored with its model's version and the time when its transaction began, so two more
# things can be checked.  Its probabilities are exactly those that its version gives.  If it began after a switch had
# been committed, it is not of the version before that switch.
. "$(dirname "$0")/server.sh"

seconds=$(smoke 1 10)
keras_cnn_live
bench_psql -o /dev/null -c "SELECT mnist_retrain(strategy => 'from_scratch', architectures => '{mlp}', epochs => 1,
	promote => false)"
arguments=()
for i in 1 2 3 4 5 6 7 8; do
	echo "SELECT * FROM mnist_predict(:png$i);" >"$bench_directory/predict-$i.sql"
	arguments+=(-D "png$i=$(png_of_row "$i")" -f "$bench_directory/predict-$i.sql")
done
bench_psql -c 'CREATE TABLE switched (version int, begun timestamptz, committed timestamptz)'

# load NAME SECONDS CLIENTS: predict by pgbench; its logs go to files NAME.log.*, its report to NAME.
load()
{
	bench_pgbench -c "$3" -T "$2" -l --log-prefix="$bench_directory/$1.log" "${arguments[@]}" \
		>"$bench_directory/$1" 2>&1
}

# switches SECONDS: switch the live model ten times a second, and record each switch.
switches()
{
	for ((i = 0; i < 10 * $1; i++)); do
		echo 'SELECT clock_timestamp() AS begun \gset'
		echo 'SELECT mnist_activate(version % 3 + 1) AS version FROM mnist_live \gset'
		echo "INSERT INTO switched VALUES (:version, :'begun', clock_timestamp());"
		echo 'SELECT pg_sleep(0.1) \g /dev/null'
	done | bench_psql
}

# The mean latency in a report, in milliseconds.
latency()
{
	sed -n 's/^latency average = \([0-9.]*\) ms.*/\1/p' "$bench_directory/$1"
}

for round in $(seq "$(smoke 1 3)"); do
	load steady "$seconds" 8
	steady+=("$(latency steady)")
	load switching "$seconds" 8 &
	switches "$seconds"
	wait $!
	switching+=("$(latency switching)")
	failed+=("$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' "$bench_directory/switching")")
done
steady=$(printf '%s\n' "${steady[@]}" | median)
switching=$(printf '%s\n' "${switching[@]}" | median)

# The probabilities that each version gives for the images.
bench_psql -c 'CREATE TABLE truth (model_version int, image bytea, probabilities real[])'
for version in 1 2 3; do
	bench_psql -o /dev/null -c "SELECT mnist_activate($version) FROM mnist_live WHERE version <> $version" \
		-c "INSERT INTO truth SELECT $version, png, mnist_probabilities(png) FROM png WHERE id <= 8"
done
read -r predictions mixed late <<<"$(bench_psql -At -F ' ' -c "
	SELECT count(*), count(*) FILTER (WHERE t.probabilities IS DISTINCT FROM p.probabilities),
		count(*) FILTER (WHERE p.model_version = s.previous)
	FROM mnist_prediction p LEFT JOIN truth t USING (model_version, image)
		LEFT JOIN (SELECT lag(version) OVER w AS previous, committed, lead(committed, 1, 'infinity') OVER w AS next
			FROM switched WINDOW w AS (ORDER BY begun)) s ON p.created_at > s.committed AND p.created_at < s.next")"
switches=$(bench_psql -At -c 'SELECT count(*) FROM switched')
what="$switches switches, $predictions predictions by 8 clients:"
result 11 "$what failed" "$(printf '%s\n' "${failed[@]}" | awk '{ sum += $1 } END { print sum }')" - - 0 -
result 11 "$what not exactly what their version gives" "$mixed" - - 0 -
result 11 "$what begun after the commit, yet of the old version" "$late" - - 0 -
result 11 'mean latency of 8 clients, 10 switches a second, over none' "$switching ms" "$steady ms" \
	"+ $(calculate %.3f "$switching - $steady") ms" '+ 1 ms' -

# first STATEMENT: the median milliseconds of an open session's first prediction after another session has executed the
# statement.
first()
{
	{
		echo '\o /dev/null'
		echo '\timing on'
		for ((i = 0; i < $(smoke 3 25); i++)); do
			echo "\\! '$bench_bindir/psql' -X -q -o /dev/null -h '$bench_directory' -p $bench_port -U bench" \
				"-c 'SELECT $1' bench"
			for _ in 1 2; do echo 'SELECT mnist_classify(png) FROM png WHERE id = 1;'; done
		done
	} | bench_psql |
		sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | awk 'NR > 2 && NR % 2 == 1' | median
}

bench_psql -o /dev/null -c 'SELECT mnist_activate(2)' # versions 1 and 2 from here on
switched=$(first 'mnist_activate(3 - version) FROM mnist_live')
other=$(first 'version FROM mnist_live')
result 11 "a session's first prediction after a switch elsewhere, over one after a query elsewhere" \
	"$switched ms" "$other ms" "+ $(calculate %.3f "$switched - $other") ms" '+ 1 ms' -
