# Every call that can be made to take long can be stopped: by statement_timeout, pg_cancel_backend, pg_terminate_backend
# and a fast shutdown.  The aim is 100 ms from the signal to the end, whatever the arguments.  The test allows a second,
# because the machine may be busy with something else.  It prints the longest time that it saw.
use strict;
use warnings;

use Compress::Zlib;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TestModel qw(add_constant_model);

my $allowed = 1000;          # ms
my @timeouts = (5, 40, 200); # ms after which a call is stopped

my $node = PostgreSQL::Test::Cluster->new('cancel');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmax_worker_processes = 16\nfsync = off\n"
	. "mnist_hil.shared_memory = '128MB'\nmnist_hil.max_image_pixels = 268435456\nmnist_hil.log_predictions = on\n");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION mnist_hil;
	SELECT mnist_import_synthetic('drawn', 2000);
	CREATE TABLE value (name text PRIMARY KEY, value bytea);
	CREATE TABLE ended (call text, timeout int, stopped boolean, ms float8);
	-- Run a statement; note how long after its timeout it was stopped, or that it was not and how long it took.
	CREATE PROCEDURE attempt(call text, timeout int, statement text) LANGUAGE plpgsql AS $$
	BEGIN
		BEGIN
			EXECUTE statement;
		EXCEPTION WHEN data_exception THEN  -- the data is damaged
		END;
		INSERT INTO ended VALUES (call, timeout, false,
			1000 * extract(epoch FROM clock_timestamp() - statement_timestamp()));
	EXCEPTION WHEN query_canceled THEN      -- may also come from the INSERT before
		INSERT INTO ended VALUES (call, timeout, true,
			1000 * extract(epoch FROM clock_timestamp() - statement_timestamp()) - timeout);
	END
	$$;
	-- Wait until no process of the run that was stopped last is left.
	CREATE PROCEDURE settle() LANGUAGE plpgsql AS $$
	BEGIN
		WHILE EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'mnist_hil%') LOOP
			PERFORM pg_sleep(0.01);
			COMMIT;
		END LOOP;
	END
	$$;
});

# ---- values that take long

sub chunk
{
	my ($type, $data) = @_;

	return pack('N', length $data) . $type . $data . pack('N', crc32("$type$data"));
}

# A PNG that repeats one row.
sub make_png
{
	my ($width, $height, $depth, $color, $row) = @_;
	my ($deflate) = deflateInit(-Level => 1);
	my $data = '';

	foreach my $y (1 .. $height)
	{
		my ($out, $status) = $deflate->deflate("\0$row");

		$data .= $out;
	}
	my ($rest) = $deflate->flush;
	return "\x89PNG\r\n\x1a\n" . chunk('IHDR', pack('N N C5', $width, $height, $depth, $color, 0, 0, 0))
		. chunk('IDAT', $data . $rest)
		. chunk('IEND', '');
}

sub store_value
{
	my ($name, $value) = @_;

	$node->safe_psql('postgres', "INSERT INTO value VALUES ('$name', decode('" . unpack('H*', $value) . "', 'hex'))");
	return;
}

# The largest allowed image, with one bit per pixel; a vertical strip of it is ink.
store_value('most pixels', make_png(16384, 16384, 1, 0, "\0" x 500 . "\xff" x 100 . "\0" x 1448));
# 16 megapixels of 16-bit colour, some of them transparent.
store_value('transparent', make_png(4096, 4096, 16, 6,
	pack('n4', 1000, 2000, 3000, 65535) x 500 . pack('n4', 60000, 0, 9, 100) x 3596));
# A file that decompresses to nothing: a gzip header and empty blocks.
store_value('empty blocks', "\x1f\x8b\x08" . "\0" x 7);
$node->safe_psql('postgres', q{
	UPDATE value SET value = value || decode(repeat('000000ffff', 4000000), 'hex') WHERE name = 'empty blocks';
	CREATE TABLE sample AS SELECT array_agg((i::bigint * i % 1000003)::real) AS sample FROM generate_series(1,
		1000000) AS i;
	CREATE TABLE features AS SELECT array_agg(random()::real) AS features FROM generate_series(1, 1000) AS i;
	CREATE TABLE edges AS SELECT array_agg(edges) AS edges FROM (
		SELECT array_agg((j::float8 / 2000)::real ORDER BY j) AS edges FROM generate_series(1, 1000) AS i,
			generate_series(1, 2000) AS j GROUP BY i) e;
});
# The allowed network with the most multiplications, and the one with the most weights.
add_constant_model($node, 'postgres', 2, join(', ', ('conv 64 3x3 same, relu') x 7, 'dense 10'),
	640 + 6 * 36928 + 501770, 3);
add_constant_model($node, 'postgres', 3, 'dense 4096, relu, dense 236, relu, dense 10',
	785 * 4096 + 4097 * 236 + 2370, 3);

# ---- calls

my $biggest = '9223372036854775807';
my $largest = "(SELECT value FROM value WHERE name = 'most pixels')";
my $transparent = "(SELECT value FROM value WHERE name = 'transparent')";
my %calls = (
	'classify, most pixels' => "SELECT mnist_classify($largest)",
	'probabilities, transparent' => "SELECT mnist_probabilities($transparent)",
	'preprocess, transparent' => "SELECT mnist_preprocess($transparent)",
	'ascii, most pixels' => "SELECT mnist_ascii($largest)",
	'features, transparent' => "SELECT * FROM mnist_features($transparent)",
	'predict, most pixels' => "SELECT * FROM mnist_predict($largest)",
	'predict_batch, large images' => "SELECT count(*) FROM mnist_predict_batch(array_fill($transparent, ARRAY[8]))",
	'predict_batch, nulls' => "SELECT count(*) FROM mnist_predict_batch(array_fill(NULL::bytea, ARRAY[20000000]))",
	'predict_batch, small images' =>
		'SELECT count(*) FROM mnist_predict_batch(array_fill(mnist_internal.synthetic(3, 1), ARRAY[20000]))',
	'explain, most pixels' => "SELECT mnist_explain($largest)",
	'internal features, most pixels' => "SELECT mnist_internal.features($largest, 2)",
	'internal pixels, most pixels' => "SELECT mnist_internal.pixels($largest)",
	'draw' => 'SELECT mnist_draw(8, i, 2048) FROM generate_series(1, 5) AS i',
	'png' => 'SELECT mnist_png(mnist_internal.synthetic(8, i), 64) FROM generate_series(1, 5) AS i',
	'synthetic' => 'SELECT count(mnist_internal.synthetic(8, i)) FROM generate_series(1, 100000) AS i',
	'two_sample, flag' => "
		SELECT * FROM mnist_internal.two_sample('flag', '{$biggest,$biggest}', '{$biggest,$biggest}')",
	'two_sample, flag, far apart' => "
		SELECT * FROM mnist_internal.two_sample('flag', '{9007199254740993,4611686018427387904}', '{$biggest,0}')",
	'two_sample, flag, exact' => "
		SELECT * FROM mnist_internal.two_sample('flag', '{397500000,397500000}', '{397480000,397520000}'),
			generate_series(1, 1000)",
	'two_sample, category' => "
		SELECT * FROM mnist_internal.two_sample('category', array_fill($biggest, ARRAY[2003]),
				array_fill(1::bigint, ARRAY[2003])),
			generate_series(1, 10000)",
	'two_sample, continuous' => "
		SELECT * FROM mnist_internal.two_sample('continuous', array_fill($biggest, ARRAY[2003]),
				array_fill(1::bigint, ARRAY[2003])),
			generate_series(1, 10000)",
	'mcnemar' => "SELECT mnist_mcnemar($biggest, $biggest - 1000000000)",
	'mcnemar, exact' => 'SELECT mnist_mcnemar(i, 50000000 - i) FROM generate_series(24900000, 24990000, 10) AS i',
	'quantile_edges' =>
		'SELECT cardinality(mnist_internal.quantile_edges(sample, 1000)) FROM sample, generate_series(1, 3)',
	'histogram' => 'SELECT mnist_internal.histogram(features, edges) FROM features, edges, generate_series(1, 5000)',
	'read_idx, empty blocks' =>
		"SELECT count(*) FROM value, mnist_internal.read_idx(value, value) WHERE name = 'empty blocks'",
	'challenge_point' => 'SELECT max(mnist_internal.challenge_point(i)) FROM generate_series(1, 3000000) AS i',
	'export, most weights' =>
		q{SELECT length(mnist_export(3)), length(mnist_export(3, 'safetensors')) FROM generate_series(1, 10)},
	'read_safetensors, most weights' => q{
		SELECT f.architecture
		FROM (SELECT mnist_export(3, 'safetensors') AS file) AS e, generate_series(1, 10),
			mnist_internal.read_safetensors(file, (SELECT network FROM mnist_model WHERE version = 3)) AS f},
	'describe, most weights' => q{
		SELECT d.parameters FROM mnist_model, generate_series(1, 10), mnist_internal.describe(weights) AS d
		WHERE version = 3},
	'load, most weights' => 'SELECT mnist_internal.load(3)',
	'retrain' => 'SELECT * FROM mnist_retrain(\'from_scratch\', \'{default}\', epochs => 1000)',
	'import_synthetic' => "SELECT mnist_import_synthetic('more', 1000000)",
);
# These run while the network with the most multiplications is live.
my %slow_network_calls = (
	'predict_batch, slow network' =>
		'SELECT count(*) FROM mnist_predict_batch(array_fill(mnist_internal.synthetic(3, 1), ARRAY[640]))',
	'classify, slow network' =>
		'SELECT mnist_classify(mnist_internal.synthetic(3, i)) FROM generate_series(1, 1000) AS i',
	'explanation, slow network' => 'SELECT mnist_explanation(mnist_internal.synthetic(3, 1), 5)',
);

# ---- statement_timeout

sub time_out
{
	my ($calls) = @_;
	my $script = '';

	foreach my $name (sort keys %$calls)
	{
		foreach my $timeout (@timeouts)
		{
			$script .= "SET statement_timeout = 0;\nCALL settle();\nSET statement_timeout = $timeout;\n"
				. "CALL attempt(\$n\$$name\$n\$, $timeout, \$s\$$calls->{$name}\$s\$);\n";
		}
	}
	$node->safe_psql('postgres', $script);
	return;
}

time_out(\%calls);
$node->safe_psql('postgres', 'SELECT mnist_activate(2)');
time_out(\%slow_network_calls);

foreach my $line (split /\n/, $node->safe_psql('postgres', q{
	SELECT call, coalesce(round(max(ms) FILTER (WHERE stopped))::text, ''),
		coalesce(round(max(ms) FILTER (WHERE NOT stopped))::text, '')
	FROM ended GROUP BY call ORDER BY max(ms) FILTER (WHERE stopped) DESC NULLS LAST}))
{
	my ($call, $stopped, $done) = split /\|/, $line;

	# A call that no timeout stopped must have ended in time by itself.
	ok($stopped ne '' ? $stopped < $allowed : $done < $allowed, "$call: " . ($stopped ne ''
		? "stopped within $stopped ms" : "done in $done ms"));
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM ended'), @timeouts * (keys(%calls) + keys(%slow_network_calls)),
	'every call was made with every timeout');
my $worst = $node->safe_psql('postgres', 'SELECT round(max(ms) FILTER (WHERE stopped)) FROM ended');
diag("the worst call was stopped $worst ms after its timeout");

# ---- pg_cancel_backend and pg_terminate_backend

# Start a statement in a session of its own and wait until it runs; returns the session and its process id.
sub start_statement
{
	my ($statement) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	$session->query_until(qr/begun/, "\\echo begun\n$statement;\n");
	$node->poll_query_until('postgres',
		"SELECT state = 'active' AND query LIKE 'SELECT%mnist%' FROM pg_stat_activity WHERE pid = $pid")
		or die "\"$statement\" does not run";
	return ($session, $pid);
}

my %stopping = (
	decoding => "SELECT count(mnist_classify($largest)) FROM generate_series(1, 20)",
	explaining => 'SELECT count(mnist_explanation(mnist_internal.synthetic(3, i))) FROM generate_series(1, 100) AS i',
	training => 'SELECT * FROM mnist_retrain(\'from_scratch\', \'{default}\', epochs => 1000)');

foreach my $name (sort keys %stopping)
{
	foreach my $way (qw(pg_cancel_backend pg_terminate_backend))
	{
		my ($session, $pid) = start_statement($stopping{$name});
		my $gone = $way eq 'pg_cancel_backend'
			? "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid"
			: "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)";

		# Signal and wait in one statement, so that the start of psql is not part of the measured time.
		my $ms = $node->safe_psql('postgres', qq{
			CREATE OR REPLACE FUNCTION pg_temp.stop() RETURNS float8 LANGUAGE plpgsql AS \$\$
			DECLARE
				begun timestamptz := clock_timestamp();
				gone boolean := false;
			BEGIN
				PERFORM $way($pid);
				WHILE NOT gone AND clock_timestamp() < begun + interval '60 s' LOOP
					PERFORM pg_stat_clear_snapshot();
					gone := ($gone);
				END LOOP;
				RETURN round((1000 * extract(epoch FROM clock_timestamp() - begun))::numeric);
			END
			\$\$;
			SELECT pg_temp.stop()});
		cmp_ok($ms, '<', $allowed, "$name: $way takes effect within $ms ms");
		$way eq 'pg_cancel_backend' ? $session->quit : eval { $session->quit };
		$node->poll_query_until('postgres',
			q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'mnist_hil%')})
			or die 'a process is left';
	}
}

# ---- a fast shutdown while all of them run

my @sessions = map { (start_statement($stopping{$_}))[0] } sort keys %stopping;
my $begun = time;
$node->stop('fast');
my $seconds = time - $begun;
cmp_ok($seconds, '<', 10, sprintf('a fast shutdown takes %.1f s', $seconds));
foreach my $session (@sessions)
{
	eval { $session->quit };
}

done_testing();
