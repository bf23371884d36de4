# An interrupted search: its trials are recorded, whenever it ends.  Another run takes them over, and ends with the same
# trials and weights as a search that was not interrupted.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use TestWait qw(wait_for wait_for_restart);

my $node = PostgreSQL::Test::Cluster->new('search');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmax_worker_processes = 8\n"
	. "restart_after_crash = on\n");
$node->start;
$node->safe_psql('postgres', "CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 1500, 1)");

my $trials = 12;
my $study = "'from_scratch', '{softmax,mlp}', epochs => 2, seed => 1, promote => false";
my $processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'mnist_hil %'";

# The trials of a run, one a line.
sub trials_of
{
	my ($id) = @_;

	return $node->safe_psql('postgres',
		"SELECT trial, status, architecture, parameters, value, epochs
		FROM mnist_trial WHERE run_id = $id ORDER BY trial");
}

sub weights_of
{
	my ($id) = @_;

	return $node->safe_psql('postgres', "SELECT encode(weights_sha256, 'hex') FROM mnist_model WHERE run_id = $id");
}

# The result of the study if nothing interrupts it.
my $whole = $node->safe_psql('postgres', "SELECT run_id FROM mnist_retrain($study, trials => $trials)");
my $expected = trials_of($whole);
is(scalar(split /\n/, $expected), $trials, 'all trials are made');

# Take over a run's trials, and check that the study has the same result.
sub goes_on
{
	my ($what, $id) = @_;
	my $ended = $node->safe_psql('postgres',
		"SELECT count(*) FROM mnist_trial WHERE run_id = $id AND status IN ('succeeded', 'pruned', 'failed')");
	my $resumed = $node->safe_psql('postgres',
		"SELECT run_id FROM mnist_retrain(resume_run => $id, trials => $trials, promote => false)");

	is(trials_of($resumed), $expected, "$what: the study goes on to the same trials");
	is(weights_of($resumed), weights_of($whole), "$what: and to the same weights");
	is($node->safe_psql('postgres',
		"SELECT count(*) FROM mnist_trial WHERE run_id = $resumed AND taken_from IS NOT NULL"), $ended,
		"$what: no trial is made twice");
}

# Start a study of many trials of $trial_epochs epochs each, and wait for the first three trials.
sub start_study
{
	my ($trial_epochs) = @_;
	my $id = $node->safe_psql('postgres',
		"SELECT run_id FROM mnist_retrain($study, trials => 1000, trial_epochs => $trial_epochs, wait => false)");

	# Trials are on record while the run goes on.
	wait_for($node, 'postgres', "SELECT count(*) >= 3 FROM mnist_trial WHERE run_id = $id", 't');
	return $id;
}

# ---- while it runs

my $id = start_study(20);
is($node->safe_psql('postgres',
	"SELECT phase, trial BETWEEN 3 AND 1000, trials, best_value > 0, epochs FROM mnist_training_progress"),
	'searching|t|1000|t|20', 'progress shows the trial');
my $pinned = 0;
for (1 .. 30)
{
	$pinned += $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'mnist_hil %'"
			. " AND backend_xmin IS NOT NULL AND now() - xact_start > interval '1 s'");
	sleep 0.02;
}
is($pinned, 0, 'the run holds no snapshot while it trains');

# ---- cancelled at any moment, during a trial or between trials

$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM mnist_training_progress');
cmp_ok(wait_for($node, 'postgres', $processes, '0'), '<', 1, 'cancelled: all processes end within a second');
is($node->safe_psql('postgres', "SELECT status FROM mnist_run WHERE id = $id"), 'cancelled',
	'cancelled: the run has that status');
is($node->safe_psql('postgres', "SELECT count(*) FROM mnist_trial WHERE run_id = $id AND status = 'running'"), '0',
	'cancelled: no trial is left running');
is($node->safe_psql('postgres', "SELECT status, sqlstate, error IS NOT NULL, finished_at IS NOT NULL FROM mnist_trial"
			. " WHERE run_id = $id ORDER BY trial DESC LIMIT 1"), 'cancelled|57014|t|t',
				'cancelled: the trial ends with the run');

my $slowest = 0;
for my $round (1 .. 5)
{
	my $seconds;

	$id = $node->safe_psql('postgres', "SELECT run_id FROM mnist_retrain($study, trials => 1000, wait => false)");
	wait_for($node, 'postgres', "SELECT count(*) >= 2 FROM mnist_trial WHERE run_id = $id", 't');
	sleep 0.037 * $round;
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM mnist_training_progress WHERE run_id = $id");
	$seconds = wait_for($node, 'postgres', $processes, '0');
	$slowest = $seconds if $seconds > $slowest;
}
cmp_ok($slowest, '<', 1, 'terminated: within a second at any moment');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT status, ', ') FROM mnist_run WHERE id > $whole"),
	'cancelled',
	'terminated: each run is on record as cancelled');
is($node->safe_psql('postgres', "SELECT count(*) FROM mnist_trial WHERE status = 'running'"), '0',
	'terminated: no trial is left running');

# ---- taken over

$id = $node->safe_psql('postgres', "SELECT run_id FROM mnist_retrain($study, trials => $trials, wait => false)");
wait_for($node, 'postgres', "SELECT count(*) >= 4 FROM mnist_trial WHERE run_id = $id", 't');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM mnist_training_progress');
wait_for($node, 'postgres', "SELECT status <> 'running' FROM mnist_run WHERE id = $id", 't');
goes_on('cancelled', $id);

# ---- a crash

$id = $node->safe_psql('postgres', "SELECT run_id FROM mnist_retrain($study, trials => $trials, wait => false)");
wait_for($node, 'postgres', "SELECT count(*) >= 4 FROM mnist_trial WHERE run_id = $id", 't');
my $log = -s $node->logfile;
kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'mnist_hil trainer'");
wait_for_restart($node, $log);
goes_on('killed', $id);
is($node->safe_psql('postgres', "SELECT status, sqlstate FROM mnist_run WHERE id = $id"), 'failed|57P02',
	'killed: the run has failed');
is($node->safe_psql('postgres', "SELECT count(*) FROM mnist_trial WHERE run_id = $id AND status = 'running'"), '0',
	'killed: no trial is left running');

# ---- a run's own record is enough to reproduce its model

my $again = $node->safe_psql('postgres', "SELECT run_id FROM mnist_reproduce($whole)");
is(weights_of($again), weights_of($whole), 'reproduced without making the trials again');

$node->stop;
done_testing();
