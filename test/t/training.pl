# Interrupted retraining.  Whatever ends a run or the server, the live model still predicts, no correction is lost, the
# run is recorded, and the next run works.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TestWait qw(wait_for wait_for_restart);

my $node = PostgreSQL::Test::Cluster->new('training');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmax_worker_processes = 8\n"
	. "restart_after_crash = on\nlog_min_messages = info\n");
$node->start;
$node->safe_psql('postgres', "CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 1500, 1)");

# A run that does not end by itself; start_run returns the id of its row.
my $endless = "'from_scratch', ARRAY['lenet5'], epochs => 10000, seed => 1";

sub start_run
{
	my $id = $node->safe_psql('postgres', "SELECT run_id FROM mnist_retrain($endless, wait => false)");

	wait_for($node, 'postgres', "SELECT progress > 0 FROM mnist_training_progress WHERE run_id = $id", 't');
	return $id;
}

my $processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'mnist_hil %'";

# How many seconds it takes until no process of a run is left.
sub processes_end
{
	return wait_for($node, 'postgres', $processes, '0');
}

# What must be true after every interruption.
sub check_after
{
	my ($what, $id, $status, $live) = @_;

	is($node->safe_psql('postgres', "SELECT status FROM mnist_run WHERE id = $id"), $status,
		"$what: the run is $status");
	is($node->safe_psql('postgres', 'SELECT version FROM mnist_live'), $live, "$what: the live model is the same");
	like($node->safe_psql('postgres', 'SELECT mnist_classify(mnist_draw(3, 5))'), qr/^\d$/, "$what: the model answers");
	is($node->safe_psql('postgres', "SELECT count(*) FROM mnist_model WHERE run_id = $id"), '0',
		"$what: the run has no model");
}

sub next_run_works
{
	my ($what) = @_;

	my $run = $node->safe_psql('postgres',
		"SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false)");

	is($node->safe_psql('postgres', "SELECT status FROM mnist_run WHERE id = $run"), 'succeeded',
		"$what: the next run works");
	return $run;
}

# Kill a server process, and wait until the server is back.
sub kill_process
{
	my ($pid) = @_;
	my $log = -s $node->logfile;

	like($pid, qr/^\d+$/, 'there is a process to kill');
	kill 'KILL', $pid;
	wait_for_restart($node, $log);
}

my $live = $node->safe_psql('postgres', 'SELECT version FROM mnist_live');
my ($id, $start, $stdout, $stderr);

# ---- while it runs

$id = start_run();
is($node->safe_psql('postgres', "SELECT string_agg(backend_type, ', ' ORDER BY backend_type DESC) FROM pg_stat_activity"
			. " WHERE backend_type LIKE 'mnist_hil %'"), 'mnist_hil trainer, mnist_hil helper',
				'trainer and helper are in pg_stat_activity');
SKIP:
{
	skip 'no /proc', 1 unless -d '/proc/self/task';
	my @many = grep { my @threads = glob "/proc/$_/task/*"; @threads > 1 }
		split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
	is("@many", '', 'no server process has a second thread');
}
$node->psql('postgres', "SELECT mnist_retrain($endless)", stderr => \$stderr);
like($stderr, qr/already under way.*run $id\b/s, 'a second run is refused');

# Predicting and correcting go on during a run.
my $corrections = $node->safe_psql('postgres',
	"SELECT count(mnist_correct(id, 3)) FROM mnist_predict(mnist_draw(3, 77))");
is($corrections, '1', 'predicting and correcting go on');

# ---- cancelled in one way or another

$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM mnist_training_progress');
cmp_ok(processes_end(), '<', 1, 'cancelled trainer: all processes end within a second');
check_after('cancelled trainer', $id, 'cancelled', $live);

$start = time;
is($node->psql('postgres', "SET statement_timeout = '2s'; SELECT mnist_retrain($endless)", stderr => \$stderr), 3,
	'statement_timeout ends the call');
like($stderr, qr/statement timeout/, '... and says so');
cmp_ok(time - $start, '<', 4, '... in time');
cmp_ok(processes_end(), '<', 1, '... and all processes within a second');
check_after('statement_timeout', $node->safe_psql('postgres', 'SELECT max(id) FROM mnist_run'), 'cancelled', $live);

# Start a caller that waits for its run, in a process of its own.
sub start_waiting
{
	my ($out, $err) = @_;
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
		"SELECT mnist_retrain($endless)" ],
		'>', $out, '2>', $err);

	wait_for($node, 'postgres', 'SELECT count(*) FROM mnist_training_progress WHERE progress > 0', '1');
	return $psql;
}

my $waiting = start_waiting(\$stdout, \$stderr);
$id = $node->safe_psql('postgres', 'SELECT max(id) FROM mnist_run');
$node->safe_psql('postgres',
	"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%mnist_retrain(%'"
		. " AND backend_type = 'client backend' AND pid <> pg_backend_pid()");
$waiting->finish;
cmp_ok(processes_end(), '<', 1, 'terminated caller: all processes end within a second');
check_after('terminated caller', $id, 'cancelled', $live);

$waiting = start_waiting(\$stdout, \$stderr);
$id = $node->safe_psql('postgres', 'SELECT max(id) FROM mnist_run');
$node->safe_psql('postgres',
	"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'mnist_hil helper'");
$waiting->finish;
like($stderr, qr/retraining run $id was cancelled/, 'terminated helper: the caller gets an error');
cmp_ok(processes_end(), '<', 1, 'terminated helper: all processes end within a second');
check_after('terminated helper', $id, 'cancelled', $live);

# If the caller catches the cancel, the run ends all the same, and the caller goes on.
my $catching = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "DO \$\$ BEGIN PERFORM"
			. " mnist_retrain($endless); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(3); END \$\$" ],
	'>', \$stdout, '2>', \$stderr);
wait_for($node, 'postgres', 'SELECT count(*) FROM mnist_training_progress WHERE progress > 0', '1');
my $callers = "FROM pg_stat_activity WHERE query LIKE 'DO %mnist_retrain(%' AND state = 'active'";
$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) $callers");
cmp_ok(processes_end(), '<', 1, 'caught cancel: all processes end within a second');
is($node->safe_psql('postgres', "SELECT count(*) $callers"), '1', 'caught cancel: the caller goes on');
$catching->finish;
next_run_works('after cancels');

# ---- crashes

for my $victim ('trainer', 'helper')
{
	$id = start_run();
	$corrections = $node->safe_psql('postgres',
		'SELECT count(mnist_correct(id, 5)) FROM mnist_predict(mnist_draw(5, 78));')
		&& $node->safe_psql('postgres', 'SELECT count(*) FROM mnist_feedback');
	kill_process($node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'mnist_hil $victim'"));
	is($node->safe_psql('postgres', 'SELECT count(*) FROM mnist_training_progress'), '0',
		"killed $victim: the run does not show as under way");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM mnist_feedback'), $corrections,
		"killed $victim: no correction is lost");
	next_run_works("killed $victim");
	check_after("killed $victim", $id, 'failed', $live);
	like($node->safe_psql('postgres', "SELECT error FROM mnist_run WHERE id = $id"),
		qr/exited without reporting a result/, "killed $victim: the run's row says why");
}

# A backend that is predicting.
my $predicting = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
		'SELECT count(mnist_classify(mnist_draw(i % 10, i))) FROM generate_series(1, 100000000) i' ], '>', \$stdout,
			'2>', \$stderr);
my $predictor = "FROM pg_stat_activity WHERE query LIKE '%generate_series%' AND pid <> pg_backend_pid()";
wait_for($node, 'postgres',
	"SELECT count(*) $predictor AND state = 'active' AND now() > query_start + interval '0.3 s'", '1');
kill_process($node->safe_psql('postgres', "SELECT pid $predictor"));
$predicting->finish;
like($node->safe_psql('postgres', 'SELECT mnist_classify(mnist_draw(3, 5))'), qr/^\d$/,
	'killed backend: the model answers');

$id = start_run();
$corrections = $node->safe_psql('postgres', 'SELECT count(*) FROM mnist_feedback');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM mnist_feedback'), $corrections,
	'immediate stop: no correction is lost');
next_run_works('immediate stop');
check_after('immediate stop', $id, 'failed', $live);

# A fast shutdown is no crash: the run's end is recorded before the server stops.
$id = start_run();
$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 10, 'a fast stop does not wait for the run');
$node->start;
check_after('fast stop', $id, 'cancelled', $live);

# ---- the extension, or the whole database, is dropped

my $log = -s $node->logfile;
start_run();
$node->safe_psql('postgres', 'DROP EXTENSION mnist_hil CASCADE');
cmp_ok(processes_end(), '<', 2, 'DROP EXTENSION: all processes end within seconds');
unlike(substr(slurp_file($node->logfile), $log), qr/ERROR|FATAL|WARNING|PANIC/, 'DROP EXTENSION: nothing in the log');
$node->safe_psql('postgres', "CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 1500, 1)");
next_run_works('after DROP EXTENSION');

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 1500, 1)");
$node->safe_psql('other', "SELECT mnist_retrain($endless, wait => false)");
wait_for($node, 'other', 'SELECT count(*) FROM mnist_training_progress WHERE progress > 0', '1');
$id = start_run();
is($node->safe_psql('postgres',
	"SELECT count(DISTINCT datname) FROM pg_stat_activity WHERE backend_type = 'mnist_hil trainer'"),
	'2', 'two databases train at once');
$start = time;
$node->safe_psql('postgres', 'DROP DATABASE other WITH (FORCE)');
cmp_ok(time - $start, '<', 5, 'DROP DATABASE WITH (FORCE) ends the run there');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'mnist_hil %'"), '2',
	'and not the run in this database');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM mnist_training_progress');
processes_end();

# ---- few worker slots (one of them is taken by the logical replication launcher)

$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
$id = next_run_works('one slot');
is($node->safe_psql('postgres', "SELECT processes FROM mnist_run WHERE id = $id"), '1',
	'one slot: it trains without helpers');
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
isnt($node->psql('postgres', "\\set VERBOSITY verbose\nSELECT mnist_retrain()", stderr => \$stderr), 0,
	'no slot: refused');
like($stderr, qr/53400.*HINT:  Increase max_worker_processes/s, '... with a hint');

# ---- not preloaded

$node->append_conf('postgresql.conf', "max_worker_processes = 8\nshared_preload_libraries = ''");
$node->restart;
next_run_works('not preloaded');
$id = start_run();
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM mnist_training_progress');
cmp_ok(processes_end(), '<', 1, 'not preloaded: a terminated run ends within a second');

unlike(slurp_file($node->logfile), qr/TRAP|terminated by signal (?!9)/, 'only killed processes crashed');
$node->stop;
done_testing();
