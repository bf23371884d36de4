# A run's result is stored whatever locks other transactions hold, and only by the run's own trainer.  The switch to its
# model is made as soon as possible.  Also tested: the role that training processes connect as, the library that they
# load, and that mnist_hil.training_memory is checked before anything is allocated.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TestWait qw(wait_for);

my $node = PostgreSQL::Test::Cluster->new('storing');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmax_worker_processes = 8\n"
	. "autovacuum = off\nlog_min_messages = info\n");
$node->start;
my $name = 'postgres';    # the database that the functions below use

sub query
{
	return $node->safe_psql($name, shift);
}

# Wait until a query gives a value; returns how many seconds that took.
sub wait_here
{
	return wait_for($node, $name, @_);
}

# A transaction that runs a statement and then stays idle.
sub hold
{
	my ($sql) = @_;
	my %session = (in => "BEGIN;\n$sql;\nSELECT 'held';\n", out => '', err => '');

	$session{psql} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($name) ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err}, IPC::Run::timeout(60));
	$session{psql}->pump until $session{out} =~ /^held$/m;
	return \%session;
}

sub release
{
	my ($session, $how) = @_;

	$session->{in} .= "$how;\n\\q\n";
	$session->{psql}->finish;
	is($session->{err}, '', "no error for the other transaction, which ends by $how");
	return;
}

# A live model that is worse than any other, so that the model of each run passes the gate.
my $bad;
sub prepare
{
	query("CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 1200, 1)");
	$bad = query("SELECT model_version FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, seed => 1,"
			. ' learning_rate => 1e-6, promote => false)');
	query("SELECT mnist_activate($bad)");
	return;
}
my $training = "mnist_retrain('from_scratch', '{softmax}', epochs => 2, seed => 2)";
my $processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'mnist_hil %'";
my $live = 'SELECT version FROM mnist_live';
my ($id, $version, $start, $other, $stderr);

prepare();

# ---- a switch that is not possible when the run ends

$other = hold('SELECT mnist_activate(1)');
$start = time;
like(query("SELECT promoted, verdict FROM $training"),
	qr/^f\|promotion pending: better than version $bad on validation images/,
	'an idle transaction that switches models: the run says that the switch is pending');
cmp_ok(time - $start, '<', 25, '... within 25 seconds');
($id, $version) = split /\|/, query('SELECT id, model_version FROM mnist_run ORDER BY id DESC LIMIT 1');
is(query("SELECT status, decision, promoted, phase, sqlstate IS NULL FROM mnist_run WHERE id = $id"),
	'succeeded|promotion pending|f|finished|t', '... and has succeeded');
is(query("SELECT weights IS NOT NULL FROM mnist_model WHERE version = $version"), 't', '... its model is stored');
is(query("SELECT count(*) FROM mnist_prune(0, true) AS v WHERE v = $version"), '0', '... and would not be pruned');
is(query($live), $bad, '... and is not live');
is(query("SELECT kind, model_version FROM mnist_event WHERE run_id = $id"), "promotion_pending|$version",
	'... which is an event');
like(query('SELECT retrain, reasons[1] FROM mnist_check()'),
	qr/^f\|model version $version of run $id: not yet live: could not obtain lock/,
	'mnist_check says why the switch is not possible');
release($other, 'ROLLBACK');
like(query('SELECT retrain, reasons[1] FROM mnist_check()'),
	qr/^f\|model version $version of run $id: promoted: better than version $bad on validation images/,
	'mnist_check makes the switch once it is possible');
is(query(q{
		SELECT version, action, run_id, deployed_by = current_user, reason LIKE 'promoted: better%' FROM mnist_live}),
	"$version|promote|$id|t|t", '... on behalf of the run');
is(query("SELECT decision, promoted, verdict LIKE 'promoted: better%' FROM mnist_run WHERE id = $id"),
	'promoted|t|t', '... whose row says so');
is(query("SELECT count(*) FROM mnist_event WHERE run_id = $id AND kind = 'model_promoted'"), '1',
	'... and there is an event');
unlike(query('SELECT reasons FROM mnist_check()'), qr/ of run /, 'nothing is pending any more');
query('SELECT mnist_rollback()');
is(query($live), $bad, '... and it can be undone');

# The switch is no longer made if another model has gone live meanwhile.
$other = hold('SELECT mnist_activate(1)');
$id = query("SELECT run_id FROM $training");
release($other, 'COMMIT');
like(query('SELECT reasons[1] FROM mnist_check()'),
	qr/: rejected: another model went live since the run began, which compared with version $bad$/,
	'another model has gone live: mnist_check rejects the switch');
is(query("SELECT decision, promoted FROM mnist_run WHERE id = $id"), 'rejected|f',
	'... and the run is recorded as rejected');
is(query($live), '1', '... and the live model is the other one');
is(query("SELECT string_agg(kind, ' ' ORDER BY id) FROM mnist_event WHERE run_id = $id"),
	'promotion_pending model_rejected', '... with its events');
query("SELECT mnist_activate($bad)");

# Who holds the lock makes the run's model live.  The trainer finds that when it gets the lock.  It waits for the lock
# for 5 seconds, which may be too short for this test on a busy machine: hence three attempts.
my $decision = '';
for (1 .. 3)
{
	$other = hold('SELECT mnist_activate(1)');
	$id = query('SELECT run_id FROM ' . $training =~ s/\)$/, wait => false)/r);
	wait_here("SELECT decision IS NOT NULL FROM mnist_run WHERE id = $id", 't');
	$version = query("SELECT model_version FROM mnist_run WHERE id = $id AND decision = 'promotion pending'");
	$other->{in} .= "SELECT mnist_activate($version);\n";
	release($other, 'COMMIT');
	wait_here($processes, '0');
	$decision = query("SELECT decision, promoted, verdict LIKE 'approved: better%' FROM mnist_run WHERE id = $id");
	last unless $decision =~ /^promotion pending/;
	query("SELECT mnist_check(); SELECT mnist_activate($bad)");
}
is($decision, 'approved|t|t', 'somebody has made the model live meanwhile: the run is recorded as approved');
is(query($live), $version, '... and its model is live');
query("SELECT mnist_activate($bad)");

# A check whose snapshot is older than another switch leaves the promotion to the next check.
query("SELECT mnist_activate($bad)");
$other = hold('SELECT mnist_activate(1)');
$id = query("SELECT run_id FROM $training");
release($other, 'ROLLBACK');
$other = hold('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mnist_run');
query("SELECT mnist_activate(1); SELECT mnist_activate($bad)");
$other->{in} .= "SELECT reasons[1] FROM mnist_check();\n";
$other->{psql}->pump until $other->{out} =~ /not yet live/;
like($other->{out}, qr/: not yet live: could not switch models or change the challenge due to a concurrent switch$/m,
	'a check with an older snapshot makes no switch');
release($other, 'COMMIT');
like(query('SELECT reasons[1] FROM mnist_check()'), qr/ of run $id: promoted: /, '... the next one does');

# A switch that fails for another reason.
query("
	SELECT mnist_activate($bad);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not today''; END';
	CREATE TRIGGER refuse BEFORE INSERT ON mnist_deployment FOR EACH ROW EXECUTE FUNCTION refuse()");
like(query("SELECT promoted, verdict FROM $training"), qr/^f\|promotion pending: /,
	'a switch that fails: the run says that it is pending');
($id, $version) = split /\|/, query('SELECT id, model_version FROM mnist_run ORDER BY id DESC LIMIT 1');
like(query('SELECT reasons[1] FROM mnist_check()'), qr/^model version $version of run $id: not yet live: not today$/,
	'... mnist_check says why');
query('DROP TRIGGER refuse ON mnist_deployment');
like(query('SELECT reasons[1] FROM mnist_check()'), qr/^model version $version of run $id: promoted: /,
	'... and makes the switch once that works');
is(query($live), $version, '... and the model is live');
query("SELECT mnist_activate($bad)");

# ---- storing does not wait for locks that idle transactions commonly hold

query('CREATE TABLE file AS SELECT mnist_export(1, $$safetensors$$) AS weights');
my @others = (
	hold("SELECT mnist_import(weights, 'default') FROM file"),
	hold('SELECT mnist_correct(id, 3) FROM mnist_predict(mnist_draw(3, 77))'),
	# VACUUM's locks: a VACUUM to prevent wraparound is not cancelled for a session that waits for its lock
	hold(join '; ', map { "LOCK TABLE $_ IN SHARE UPDATE EXCLUSIVE MODE" }
		qw(mnist_model mnist_run mnist_metric mnist_label mnist_event)));
$start = time;
like(query("SELECT promoted, verdict FROM $training"), qr/^t\|promoted: /,
	'a run stores its result despite idle transactions and VACUUM');
cmp_ok(time - $start, '<', 10, '... without delay');
release($_, 'ROLLBACK') foreach @others;
query("SELECT mnist_activate($bad)");

# ---- storing waits for stronger locks

my $lock = 'LOCK TABLE mnist_model IN ACCESS EXCLUSIVE MODE';

# Start a run that trains for a few seconds, and take a lock before it ends.  Return when the run waits for the lock.
sub meet_lock
{
	my ($statement) = @_;

	$id = query("
		SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 150, seed => 2, wait => false)");
	wait_here("SELECT progress > 0 FROM mnist_run WHERE id = $id", 't');
	my $session = hold($statement);
	cmp_ok(wait_here("SELECT count(*) FROM pg_stat_activity WHERE query = 'waiting to record a retraining run'", '1'),
		'<', 25,
		"$statement: the run waits");
	return $session;
}
$other = meet_lock($lock);
is(query("SELECT status FROM mnist_run WHERE id = $id"), 'running', '... and is still running');
is(query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'mnist_hil helper'"), '0',
	'... without its helpers');
is(query("
		SELECT count(*) FROM pg_stat_activity
		WHERE query = 'waiting to record a retraining run' AND backend_xmin IS NOT NULL"),
	'0', '... and without a snapshot between two attempts');
release($other, 'ROLLBACK');
ok(defined wait_here("SELECT status || ' ' || decision FROM mnist_run WHERE id = $id", 'succeeded promoted'),
	'... and succeeds once the lock is gone');
query("SELECT mnist_activate($bad)");

$other = meet_lock($lock);
query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'mnist_hil trainer'");
cmp_ok(wait_here($processes, '0'), '<', 1, 'a run that waits to store its result is cancelled within a second');
is(query("SELECT status FROM mnist_run WHERE id = $id"), 'cancelled', '... and on record as cancelled');
release($other, 'ROLLBACK');

$other = meet_lock('LOCK TABLE mnist_run IN ACCESS EXCLUSIVE MODE');
query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'mnist_hil trainer'");
cmp_ok(wait_here($processes, '0'), '<', 1.5, 'so is a run that cannot even record that');
release($other, 'ROLLBACK');
like(query('SELECT reasons[1] FROM mnist_check()'),
	qr/^the trainer process of run $id exited without reporting a result$/,
	'... and mnist_check finds it later');

# If the caller's own transaction held a lock that the run needs, the call would never end.
foreach my $statement ($lock, 'LOCK TABLE mnist_metric IN SHARE MODE', "UPDATE mnist_run SET phase = phase")
{
	isnt($node->psql($name, "\\set VERBOSITY verbose\nBEGIN; $statement; SELECT * FROM $training",
		stderr => \$stderr), 0, "$statement: refused to wait");
	like($stderr, qr/55000: mnist_retrain cannot wait in a transaction that has changed mnist_/,
		'... and the error says why');
}

# ---- a caller who waits for a run holds a snapshot, and the function's comment says so

my $caller = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($name), '-c',
	"SELECT mnist_retrain('from_scratch', '{softmax}', epochs => 10000)" ],
	'>', \my $out, '2>', \my $err);
wait_here('SELECT count(*) FROM mnist_training_progress WHERE progress > 0', '1');
is(query("SELECT backend_xmin IS NOT NULL FROM pg_stat_activity WHERE query LIKE 'SELECT mnist_retrain(%'"), 't',
	'a caller who waits has a snapshot');
like(query("SELECT obj_description(oid, 'pg_proc') FROM pg_proc WHERE proname = 'mnist_retrain'"),
	qr/its snapshot delays VACUUM/, '... and the comment says so');
query('SELECT pg_cancel_backend(pid) FROM mnist_training_progress');
$caller->finish;
wait_here($processes, '0');

# ---- the extension is dropped and created again, and there is a run with the same id

query("DROP EXTENSION mnist_hil CASCADE; CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 1200, 1)");
my $endless = "mnist_retrain('from_scratch', '{softmax}', epochs => 10000, wait => false";
$id = query("SELECT run_id FROM $endless, seed => 1)");
wait_here("SELECT progress > 0 FROM mnist_training_progress WHERE run_id = $id", 't');
my $trainer = query('SELECT pid FROM mnist_training_progress');
# One transaction does all of this, so there is a run with this id whenever the old trainer looks.
query(qq{
	BEGIN;
	DROP EXTENSION mnist_hil CASCADE;
	CREATE EXTENSION mnist_hil;
	SELECT mnist_import_synthetic('drawn', 1200, 1);
	INSERT INTO mnist_run (id, status, strategy, architecture, seed, parameters, requested_by, pid,
		process_started_at, phase)
	SELECT $id, 'running', 'fine_tune', 'default', 7, '{}', 'nobody', pid, backend_start, 'new'
	FROM pg_stat_activity WHERE backend_type = 'checkpointer';
	COMMIT});
cmp_ok(wait_here($processes, '0'), '<', 2, 'DROP and CREATE EXTENSION: the old trainer ends');
is(query("SELECT status, seed, phase, epoch, progress, updated_at, error FROM mnist_run WHERE id = $id"),
	'running|7|new||||',
	'... and leaves the new run of its id alone');
is(query('SELECT count(*) FROM mnist_metric'), '0', '... with its curves');
query("DELETE FROM mnist_run; SELECT setval('mnist_run_id_seq', 1, false)");

# The same with a real new run.
$id = query("SELECT run_id FROM $endless, seed => 1)");
wait_here("SELECT progress > 0 FROM mnist_training_progress WHERE run_id = $id", 't');
$trainer = query('SELECT pid FROM mnist_training_progress');
query("BEGIN; DROP EXTENSION mnist_hil CASCADE; CREATE EXTENSION mnist_hil;"
	. " SELECT mnist_import_synthetic('drawn', 1200, 1); COMMIT");
is(query("SELECT run_id FROM $endless, seed => 2)"), $id, 'DROP and CREATE EXTENSION: a new run has the same id');
cmp_ok(wait_here("SELECT count(*) FROM pg_stat_activity WHERE pid = $trainer", '0'), '<', 2,
	'... the old trainer ends');
is(query("SELECT status, seed, pid <> $trainer FROM mnist_run"), 'running|2|t', '... and the new run goes on');
ok(defined wait_here('
		SELECT count(*) > 0 AND count(*) = count(DISTINCT m.epoch) AND bool_and(m.recorded_at > r.started_at)
		FROM mnist_metric m, mnist_run r WHERE r.progress > 0', 't'),
	'... with curves of its own');
query('SELECT pg_cancel_backend(pid) FROM mnist_training_progress');
wait_here($processes, '0');
is(query('SELECT status FROM mnist_run'), 'cancelled', '... and can be cancelled');

# ---- mnist_hil.training_memory is checked before anything is allocated

$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
$node->reload;
wait_here('SHOW log_min_messages', 'debug1');
my $log = -s $node->logfile;
isnt($node->psql($name, "\\set VERBOSITY verbose\nSET mnist_hil.training_memory = '32MB';\n"
			. "SELECT mnist_retrain('from_scratch', ARRAY['dense 2000, relu, dense 10'])", stderr => \$stderr), 0,
	'a run that needs too much memory fails');
like($stderr, qr/53200: .*more memory than mnist_hil.training_memory allows/, '... with an error that says so');
my $logged = substr slurp_file($node->logfile), $log;
like($logged, qr/registering background worker "mnist_hil trainer"/, '... raised by the trainer');
unlike($logged, qr/registering background worker "mnist_hil helper"/, '... before any shared memory or helper is made');

# ---- training processes find the library whatever dynamic_library_path is

SKIP:
{
	skip 'from 18 on every function of an extension is found along dynamic_library_path', 1 if $node->pg_version >= 18;
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = '\$libdir/mnist_hil'\ndynamic_library_path = '/nowhere'");
	$node->restart;
	is(query("SELECT count(*) FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false)"), '1',
		'training does not depend on dynamic_library_path');
}
$node->append_conf('postgresql.conf', 'log_min_messages = info');
$node->restart;

# ---- an owner who cannot log in

$node->safe_psql('postgres', 'CREATE DATABASE owned; CREATE ROLE regress_owner SUPERUSER NOLOGIN');
$name = 'owned';
query("SET ROLE regress_owner; CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 1200, 1)");
my $run = "mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false)";
is(query("SELECT r.status, r.processes FROM $run t JOIN mnist_run r ON r.id = t.run_id"), '',
	'the statement that starts a run does not see its row');
is(query('SELECT status, processes FROM mnist_run'), 'succeeded|2',
	'an owner who is a superuser and cannot log in trains all the same');
is(query("SELECT string_agg(DISTINCT requested_by::text, ' ') = current_user FROM mnist_run"), 't',
	'... and the run is recorded for the user who asked');
query('ALTER ROLE regress_owner NOSUPERUSER');
SKIP:
{
	skip 'from 17 on an owner who cannot log in can train', 2 if $node->pg_version >= 17;
	isnt($node->psql($name, "\\set VERBOSITY verbose\nSELECT * FROM $run", stderr => \$stderr), 0,
		'an owner who is no superuser cannot');
	like($stderr, qr/55000: the owner of extension mnist_hil cannot log in.*HINT:  ALTER ROLE regress_owner LOGIN;/s,
		'... and the hint says what to do');
	query('ALTER ROLE regress_owner LOGIN');
}
is(query("SELECT count(*) FROM $run"), '1', 'an owner who is no superuser and can log in trains');
query('REVOKE CONNECT ON DATABASE owned FROM PUBLIC');
isnt($node->psql($name, "\\set VERBOSITY verbose\nSELECT * FROM $run", stderr => \$stderr), 0,
	'an owner who may not connect cannot');
like($stderr,
	qr/55000:\ the\ training\ process\ could\ not\ begin
		.*HINT:\ \ .*owner,\ role\ "regress_owner",\ must\ be\ allowed\ to\ connect/sx,
	'... and the hint says why');
$node->stop;
done_testing();
