#!/usr/bin/env bash
# bench_serving.sh: the accuracy of the bundled model, the time of a new connection's first prediction, and the memory
# and threads of a backend.
. "$(dirname "$0")/server.sh"

echo 'accuracy on the test images, in percent: raw pixels, and as PNGs'
bench_psql -x -c "
	SELECT count(*) AS images, round(100 * avg((mnist_classify(pixels) = label)::int), 2) AS raw,
		round(100 * avg((mnist_classify(mnist_png(pixels)) = label)::int), 2) AS png
	FROM mnist_sample WHERE split = 'test'"

echo 'milliseconds of a classify in a new connection (five of them): the first, then the median of 100 more'
for _ in 1 2 3 4 5; do
	bench_psql -At -F ' / ' <<-'SQL'
		DO $$
		DECLARE
			image constant bytea := mnist_png(mnist_internal.synthetic(7, 1));
			begun timestamptz := clock_timestamp();
			first float8;
			others float8[];
		BEGIN
			PERFORM mnist_classify(image);
			first := 1000 * extract(epoch FROM clock_timestamp() - begun);
			FOR i IN 1 .. 100 LOOP
				begun := clock_timestamp();
				PERFORM mnist_classify(image);
				others := others || (1000 * extract(epoch FROM clock_timestamp() - begun))::float8;
			END LOOP;
			RAISE INFO '% / %', round(first::numeric, 3),
				round((SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY o) FROM unnest(others) AS o)::numeric, 3);
		END
		$$;
	SQL
done

calls=$(smoke 3 100)
echo "private memory (RssAnon) of one backend, and its threads, while it classifies $calls times 10,000 images"
bench_psql -At -F ' ' <<-SQL
	SET jit = off;
	SET max_parallel_workers_per_gather = 0;
	CREATE TEMP TABLE image AS SELECT pixels FROM mnist_sample WHERE split = 'test';
	CREATE FUNCTION pg_temp.memory() RETURNS text LANGUAGE sql AS \$\$
		SELECT (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status', 0, 10000),
				'RssAnon:\s*([0-9]+) kB'))[1] || ' kB, '
			|| (SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/task')) || ' thread'
	\$\$;
	SELECT 'before the first', pg_temp.memory() FROM (SELECT count(*) FROM image) AS touched;
	SELECT 'after 10,000', pg_temp.memory() FROM (SELECT count(mnist_classify(pixels)) FROM image) AS once;
	\\o /dev/null
	SELECT 'SELECT count(mnist_classify(pixels)) FROM image' FROM generate_series(1, $calls) \\gexec
	\\o
	SELECT 'after all', pg_temp.memory();
SQL
