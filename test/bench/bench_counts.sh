#!/usr/bin/env bash
# bench_counts.sh: the time of the counts in views, and the size of what a run records of its feedback.  Both must not
# grow with the number of labels.  Also the time of the views of conflicting labels, and of the first query of a new
# connection.  LABELS is the largest number of labels, 1,000,000 by default.
. "$(dirname "$0")/server.sh"

repetitions=$(smoke 3 21)
# mnist_check must find nothing to do.
bench_psql -c 'ALTER DATABASE bench SET mnist_hil.fail_threshold = 1000000'
runs=$(smoke 10 100)

# more N: add N predictions with a label each; one prediction in 24 is wrong.  The images are not used here.  One
# prediction in a hundred has the same pixel hash as another one, and one in a hundred of these has another label.
more()
{
	if [ "$1" -gt 1000000 ]; then
		more 1000000
		more "$(($1 - 1000000))"
		return
	fi
	bench_psql -o /dev/null <<-SQL
		WITH made AS (
			INSERT INTO mnist_prediction (image, label, confidence, probabilities, model_version)
			SELECT '\x00', i % 10, 0.99, '{0.99,0.01,0,0,0,0,0,0,0,0}', 1 FROM generate_series(1, $1) AS i
			RETURNING id, label, model_version)
		INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator, pixels_sha256)
		SELECT m.id, CASE WHEN m.id % 24 = 0 OR m.id % 10000 = 0 THEN (m.label + 1) % 10 ELSE m.label END, m.label,
			m.model_version, 'annotator ' || m.id % 5,
			sha256((CASE WHEN m.id % 100 = 0 THEN m.id - 50 ELSE m.id END)::text::bytea)
		FROM made m;
		VACUUM ANALYZE;
	SQL
}

# one_by_one N: insert N corrections in a transaction each, as annotators make them.
one_by_one()
{
	bench_psql -o /dev/null <<-SQL
		SET synchronous_commit = off;
		SELECT format('INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator,
				pixels_sha256)
			VALUES (%s, 1, 2, 1, %L, sha256(%L))', id, 'annotator ' || id % 7, id)
		FROM mnist_prediction ORDER BY id LIMIT $1 \\gexec
	SQL
}

# in_new_connection STATEMENT: the median milliseconds of the statement as the first one of a connection.
in_new_connection()
{
	for _ in $(seq "$repetitions"); do
		printf '\\o /dev/null\n\\timing on\n%s;\n' "$1" | bench_psql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
	done | median
}

report()
{
	echo "$1:"
	for statement in 'SELECT * FROM mnist_status' 'SELECT * FROM mnist_retrain_decision' \
		'SELECT * FROM mnist_failure_counts' 'SELECT * FROM mnist_confusion' 'SELECT * FROM mnist_metrics' \
		'SELECT * FROM mnist_check()'; do
		printf '  %-40s %10s ms, first of a new connection %10s ms\n' "$statement" \
			"$(milliseconds "$repetitions" '' "$statement")" "$(in_new_connection "$statement")"
	done
	for statement in 'SELECT * FROM mnist_label_conflict' 'SELECT * FROM mnist_dataset_conflict'; do
		printf '  %-40s %10s ms\n' "$statement" "$(milliseconds "$(smoke 1 5)" '' "$statement")"
	done
}

small=$(smoke 100 10000)
middle=$(smoke 1000 125000)
large=$(smoke 2000 "${LABELS:-1000000}")
more "$small"
one_by_one "$((small / 4))"
report "$small labels"

# The records of $runs runs.  The first one uses all labels so far, and each further one 50 new labels.
more "$((middle - small))"
bench_psql -At <<-SQL
	INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at)
	SELECT 'failed', 'fine_tune', 'default', 1, '{}', 'bench', 1, now() FROM generate_series(1, $runs);
	CREATE FUNCTION size() RETURNS bigint LANGUAGE sql AS \$\$
		SELECT sum(pg_total_relation_size(c))::bigint
		FROM unnest('{mnist_internal.snapshot,mnist_internal.run_snapshot,
			mnist_internal.snapshot_exception,mnist_internal.run_excluded}'::regclass[]) AS c
	\$\$;
	SELECT mnist_internal.open_snapshot(1, 0.5, 1000) \\g /dev/null
	SELECT format('The record of a first run over %s labels: %s bytes', count(*), size()) FROM mnist_feedback;
	CREATE TABLE first AS SELECT size() AS bytes;
SQL
bench_psql -o /dev/null <<-SQL
	SELECT format('INSERT INTO mnist_feedback (prediction_id, label, predicted_label, model_version, annotator,
				pixels_sha256)
			SELECT p.id, p.label, p.label, 1, ''new'', sha256(p.id::text::bytea)
			FROM mnist_prediction p WHERE p.id %% $runs = %s ORDER BY p.id LIMIT 50', n - 1),
		format('SELECT mnist_internal.open_snapshot(%s, 0.5, 1000)', n)
	FROM generate_series(2, $runs) AS n ORDER BY n \\gexec
SQL
bench_psql -At <<-SQL
	SELECT format('Each of $((runs - 1)) more, with 50 new labels: %s bytes', (size() - bytes) / ($runs - 1))
	FROM first;
	SELECT format('Rows of feedback that were written or locked for it: %s', count(*))
	FROM mnist_feedback WHERE xmax <> 0;
SQL
echo "mnist_run_feedback of the last run, all of it:" \
	"$(milliseconds "$(smoke 1 5)" '' "SELECT * FROM mnist_run_feedback WHERE run_id = $runs") ms"
report "$middle labels"

more "$((large - middle))"
report "$large labels"
