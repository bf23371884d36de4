# Ten concurrent sessions predict, correct, check, switch, roll back and prune while runs begin and end.  There is
# always exactly one live model.  No feedback is lost or counts as new after a run has used it.  No statement fails.
#
# It takes a few seconds; SECONDS_AT_ONCE=60 makes it longer.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use TestWait qw(wait_for);

my $seconds = $ENV{SECONDS_AT_ONCE} || 5;
my $node = PostgreSQL::Test::Cluster->new('sessions');
$node->init;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'mnist_hil'\nmax_worker_processes = 16\nlog_min_messages = info\n"
	. "mnist_hil.min_new_labels = 10\nmnist_hil.fail_threshold = 2\nmnist_hil.epochs = 1\nmnist_hil.retry_delay = 1\n");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION mnist_hil;
	SELECT mnist_import_synthetic('drawn', 600);
	-- Small models, whose fine-tuning takes a moment.
	SELECT mnist_retrain('from_scratch', '{softmax}', seed => v, promote => false) FROM generate_series(2, 4) AS v;
	SELECT mnist_activate(2);
	CREATE TABLE mistake (at timestamptz DEFAULT clock_timestamp(), what text);
	-- Run a statement that may fail in a known way: no model to go back to, pruned weights, a concurrent switch.
	CREATE FUNCTION attempt(statement text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE statement;
	EXCEPTION
		WHEN object_not_in_prerequisite_state OR serialization_failure THEN NULL;
	END
	$$;
});

my %scripts = (
	# Every prediction is labelled: one half with the predicted label, the other half with a random one.
	correct => [ 20, q{
		\set digit random(0, 9)
		\set seed random(1, 1000000)
		\set said random(0, 9)
		SELECT id, label FROM mnist_predict(mnist_draw(:digit, :seed, 28)) \gset
		SELECT mnist_correct(:id, CASE WHEN :seed % 2 = 0 THEN :said ELSE :label END);
	} ],
	look => [ 6, q{
		INSERT INTO mistake (what) SELECT 'live models: ' || count(*) FROM mnist_live HAVING count(*) <> 1;
		INSERT INTO mistake (what) SELECT 'status: ' || count(*)
			FROM mnist_status s WHERE s.live_version IS NOT NULL HAVING count(*) <> 1;
		INSERT INTO mistake (what) SELECT 'runs: ' || count(*)
			FROM mnist_run WHERE status = 'running' HAVING count(*) > 1;
		INSERT INTO mistake (what) SELECT 'live and pruned: ' || l.version
			FROM mnist_live l JOIN mnist_model m USING (version) WHERE m.weights IS NULL;
	} ],
	check => [ 3, 'SELECT * FROM mnist_check();' ],
	activate => [ 2,
		"\\set version random(2, 4)\nSELECT attempt('SELECT mnist_activate(' || :version || ', ''sessions'')');" ],
	rollback => [ 2, q{SELECT attempt('SELECT mnist_rollback()');} ],
	prune => [ 1, q{SELECT attempt('SELECT mnist_prune(3)');} ]);
my $directory = PostgreSQL::Test::Utils::tempdir();
my @arguments;
foreach my $name (sort keys %scripts)
{
	my ($weight, $text) = @{ $scripts{$name} };
	my $file = "$directory/$name.sql";

	$text =~ s/^\s+//mg;
	append_to_file($file, "$text\n");
	push @arguments, '-f', "$file\@$weight";
}

$ENV{PGOPTIONS} = '-c client_min_messages=warning';
# One thread: pgbench's threads share the counters of the scripts without a lock, and would lose counts.
my ($stdout, $stderr) = run_command(
	[ 'pgbench', '-n', '-c', 10, '-j', 1, '-T', $seconds, '-h', $node->host, '-p', $node->port, @arguments,
		'postgres' ]);
is($stderr, '', 'no session gets an error');
note($stdout);
my ($corrections) = $stdout =~ /correct\.sql\n.*?\n - (\d+) transactions/s;
cmp_ok($corrections // 0, '>', 0, 'there were corrections');

delete $ENV{PGOPTIONS};

# Wait for the run that may still be under way.  Then call mnist_check once more with new corrections, so that it has
# begun at least one run.
$node->safe_psql('postgres', q{
	SELECT mnist_correct(id, (label + 1) % 10)
	FROM mnist_predict_batch(ARRAY(SELECT mnist_draw(3, i, 28) FROM generate_series(1, 20) AS i))});
sub settle
{
	return wait_for($node, 'postgres', "SELECT count(*) FROM mnist_run WHERE status = 'running'", '0');
}
settle();
$node->safe_psql('postgres', 'SELECT * FROM mnist_check()');
settle();

# What must never happen: each query must return no row.
my %never = (
	'a mistake while the sessions ran' => 'SELECT * FROM mistake',
	'a run that did not succeed' => "SELECT id, status, error FROM mnist_run WHERE status <> 'succeeded'",
	'two runs at a time' =>
		'SELECT a.id, b.id FROM mnist_run a JOIN mnist_run b ON a.id < b.id AND b.started_at < a.finished_at',
	'a switch that does not follow the one before it' => q{
		SELECT d.id FROM (SELECT *, lag(id) OVER (ORDER BY id) AS previous FROM mnist_deployment) d
		WHERE d.action IN ('activate', 'promote') AND d.rollback_to <> d.previous},
	'a label that counts as used and was not' => q{
		SELECT l.prediction_id FROM mnist_label l, unnest(l.feedback_ids) AS f (id)
		WHERE NOT l.new AND NOT EXISTS (SELECT FROM mnist_run_feedback r WHERE r.feedback_id = f.id)},
	'a label that counts as new and was used' => q{
		SELECT l.prediction_id FROM mnist_label l
		WHERE l.new AND NOT EXISTS (SELECT FROM unnest(l.feedback_ids) AS f (id)
			WHERE NOT EXISTS (SELECT FROM mnist_run_feedback r WHERE r.feedback_id = f.id))},
	'feedback that was trained on and held out' => q{
		SELECT feedback_id FROM mnist_run_feedback GROUP BY feedback_id HAVING count(DISTINCT split) > 1},
	'a promotion without its event, or an event without its switch' => q{
		SELECT d.id, e.id FROM mnist_deployment d
		FULL JOIN (SELECT * FROM mnist_event WHERE detail ? 'deployment_id') e
			ON (e.detail ->> 'deployment_id')::bigint = d.id
		WHERE (d.id IS NULL OR e.id IS NULL) AND d.action IS DISTINCT FROM 'install'});
foreach my $what (sort keys %never)
{
	is($node->safe_psql('postgres', $never{$what}), '', "never $what");
}
is($node->safe_psql('postgres', 'SELECT count(*) - 20 FROM mnist_feedback'), $corrections, 'no feedback is lost');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mnist_label'), $node->safe_psql('postgres',
	'SELECT count(DISTINCT prediction_id) FROM mnist_feedback'),
	'each prediction with feedback has a label');
cmp_ok($node->safe_psql('postgres',
	"SELECT count(*) FROM mnist_run WHERE trigger = 'check' AND status = 'succeeded'"), '>', 1, 'there were runs');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM mnist_deployment WHERE action = 'rollback'"), '>', 0,
	'and rollbacks');
unlike(slurp_file($node->logfile), qr/ERROR|FATAL|WARNING|PANIC|TRAP/, 'the log has no error');
$node->stop;

done_testing();
