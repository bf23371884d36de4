# The time budget of a run: it ends in time, its record says what was left out, the schedule of the learning rate is
# complete, and mnist_reproduce repeats it although the clock had a part in it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use TestWait qw(wait_for);

my $node = PostgreSQL::Test::Cluster->new('recipe');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmax_worker_processes = 8\n");
$node->start;
$node->safe_psql('postgres', "CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 1500, 1)");
# A small live model, with which the gate takes a moment.
$node->safe_psql('postgres',
	"SELECT mnist_activate(model_version)
	FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false)");

my $budget = 3;
my $many = "epochs => 10000, seed => 1, promote => false, time_budget => '$budget seconds'";

sub query
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

# What must be true of a run of $many, and how much its record says was left out.
sub check
{
	my ($what, $id, $shortened) = @_;

	# Twice the time, because other tests may take the processor at a bad moment.
	is(query("SELECT time_budget, finished_at - started_at < 2 * time_budget FROM mnist_run WHERE id = $id"),
		sprintf('%02d:%02d:%02d|t', 0, 0, $budget), "$what: it ended in time");
	like(query("SELECT shortened FROM mnist_run WHERE id = $id"), $shortened,
		"$what: its record says what it left out");
	is(query("SELECT verdict LIKE '%; within the time budget: ' || shortened FROM mnist_run WHERE id = $id"),
		't', "$what: and so does the verdict");
	like(query("SELECT verdict FROM mnist_reproduce($id)"), qr/the same weights/, "$what: it is reproduced");
	return;
}

# ---- epochs

my $id = query("SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', $many)");
check('epochs', $id, qr/^\d+ of 10000 epochs$/);
# On a busy machine training may have stopped early.
is( query("SELECT epochs = (parameters->>'epochs')::int, (parameters->>'stop_epoch')::int > 0 OR epochs = epoch AND (
		SELECT max(m.epoch) = r.epochs AND bool_and(m.learning_rate < 0.0001) FILTER (WHERE m.epoch = r.epochs)
		FROM mnist_metric m WHERE m.run_id = r.id)
	FROM mnist_run r WHERE id = $id"),
	't|t', 'epochs: as many as planned, and the learning rate ends near zero');

# ---- trials

$id = query("SELECT run_id FROM mnist_retrain('from_scratch', '{softmax,mlp}', trials => 1000, trial_images => 1000,
	$many)");
check('a search', $id, qr/^\d+ of 1000 trials, \d+ of 10000 epochs$/);
is(query("SELECT split_part(shortened, ' ', 1) = (
		SELECT count(*)::text FROM mnist_trial t WHERE t.run_id = r.id AND t.status <> 'cancelled')
	FROM mnist_run r WHERE id = $id"), 't', 'a search: these trials are on record');

# ---- several architectures, each in full

$id = query("SELECT run_id FROM mnist_retrain('from_scratch', '{softmax,mlp}', $many)");
check('architectures', $id, qr/^\d+ of 10000 epochs$/);
is(query("SELECT string_agg(status, ',') FROM mnist_trial WHERE run_id = $id"), 'succeeded,succeeded',
	'architectures: both were trained');

# ---- a machine that becomes slow: training ends after an epoch

$id = query("SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', $many, wait => false)");
my $pid = query("SELECT pid FROM mnist_run WHERE id = $id");
wait_for($node, 'postgres', "SELECT count(*) > 0 FROM mnist_metric WHERE run_id = $id", 't');
kill 'STOP', $pid;
sleep $budget;
kill 'CONT', $pid;
wait_for($node, 'postgres', "SELECT status FROM mnist_run WHERE id = $id", 'succeeded');
check('a slow machine', $id, qr/^\d+ of 10000 epochs$/);
is( query("SELECT (parameters->>'stop_epoch')::int BETWEEN 1 AND epochs - 1,
		parameters->>'stop_epoch' = split_part(shortened, ' ', 1)
	FROM mnist_run WHERE id = $id"),
	't|t', 'a slow machine: the record has the epoch after which it stopped');

# ---- enough time

$id = query("SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 2, time_budget => '1 hour')");
is(query("SELECT epochs, shortened IS NULL, verdict LIKE '%budget%' FROM mnist_run WHERE id = $id"), '2|t|f',
	'nothing is left out if there is time');
$node->stop;

done_testing();
