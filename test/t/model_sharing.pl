# Sharing models: a session pins a model only while a statement runs.  The least recently used model is evicted.  If no
# model can be evicted, this is logged and counted.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use TestModel qw(add_constant_model add_variant);

my $digit = 'mnist_internal.synthetic(0, 1)';
my $network = 'dense 30, dense 10';
my $nvalues = 784 * 30 + 30 + 30 * 10 + 10;

# Version v of the test models predicts v % 10 for every image.
sub add_models
{
	my ($node, @versions) = @_;

	add_constant_model($node, 'postgres', $_, $network, $nvalues, $_ % 10, $_) foreach @versions;
	return;
}

# Columns of mnist_status, as psql gives them.
sub status
{
	my ($node, $columns) = @_;

	return $node->safe_psql('postgres', "SELECT $columns FROM mnist_status");
}

sub becomes
{
	my ($node, $sql, $expected, $what) = @_;

	ok($node->poll_query_until('postgres', "SELECT ($sql)::text = '$expected'"), $what)
		or diag($node->safe_psql('postgres', 'TABLE mnist_status'));
	return;
}

# Wait until the given number of models is pinned.  Only the waiting statements of the test's own sessions pin models.
sub pinned_becomes
{
	my ($node, $expected, $what) = @_;

	return becomes($node, 'SELECT models_pinned FROM mnist_status', $expected, $what);
}

sub restart
{
	my ($node, $version) = @_;

	$node->restart;
	$node->safe_psql('postgres', "SELECT mnist_activate($version) FROM mnist_live WHERE version <> $version");
	$node->restart;
	return;
}

# Send a statement that waits at the gate, and return at once.
sub start
{
	my ($session, $sql) = @_;

	$session->query_until(qr/started/, "\\echo started\n$sql;\n");
	return;
}

my $node = PostgreSQL::Test::Cluster->new('sharing');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmnist_hil.shared_memory = 1MB\n"
	. "jit = off\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION mnist_hil');
add_models($node, 2 .. 40);

# A statement that calls gate() waits there as long as the session $gatekeeper holds the lock.
$node->safe_psql('postgres', 'CREATE FUNCTION gate() RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_lock_shared(1);
		PERFORM pg_advisory_unlock_shared(1);
		RETURN 0;
	END $$');
my $gatekeeper = $node->background_psql('postgres');
my $close_gate = sub { $gatekeeper->query_safe('SELECT pg_advisory_lock(1)') };
my $open_gate = sub { $gatekeeper->query_safe('SELECT pg_advisory_unlock(1)') };

# How many of these models fit.
$node->safe_psql('postgres', 'SELECT mnist_internal.load(v) FROM generate_series(2, 40) AS v');
my $room = status($node, 'models_cached');
cmp_ok($room, '>=', 6, 'several models fit');
cmp_ok($room, '<=', 12, 'and not many');
is(status($node, 'cache_evictions'), 39 - $room, 'the others were evicted, and that is counted');
is(status($node, 'models_pinned, models_private, cache_fallbacks'), '0|0|0',
	'loading models leaves none pinned and finds room for each');
$gatekeeper->quit;

# ---------------------------------------------------------------- idle sessions

restart($node, 2);
my @idle;
for my $version (2 .. $room + 4)
{
	$node->safe_psql('postgres', "SELECT mnist_activate($version) FROM mnist_live WHERE version <> $version");
	my $session = $node->background_psql('postgres');
	$session->query_safe('BEGIN') if $version % 2;
	is($session->query_safe("SELECT mnist_classify($digit)"), $version % 10,
		"a session predicts with version $version");
	push @idle, $session;
}
is(status($node, 'models_pinned'), '0', 'idle sessions pin nothing, in a transaction or not');
my $last = $room + 5;
$node->safe_psql('postgres', "SELECT mnist_activate($last)");
my $new = $node->background_psql('postgres');
is($new->query_safe("SELECT mnist_classify($digit)"), $last % 10, 'a new session predicts with one version more');
is(status($node, 'models_private, cache_fallbacks'), '0|0', 'and shares it: no session has a copy of its own');
is(status($node, 'models_cached'), $room, 'and the memory is full');
is($_->query_safe("SELECT mnist_classify($digit)"), $last % 10, 'an idle session goes on') foreach @idle[ 0, 1, -1 ];
$_->quit foreach @idle, $new;

# ---------------------------------------------------------------- which model makes room

# A prediction uses version 2 again, and loading uses version 4 again.  So version 3 is evicted first, and then version
# 5.
restart($node, 2);
$node->safe_psql('postgres', "SELECT mnist_internal.load(v) FROM generate_series(2, $room + 1) AS v");
is(status($node, 'models_cached, cache_evictions'), "$room|0", 'the memory is full');
$node->safe_psql('postgres', "SELECT mnist_classify($digit)");
$node->safe_psql('postgres', 'SELECT mnist_internal.load(4)');
$node->safe_psql('postgres', 'SELECT mnist_internal.load(20)');
is(status($node, 'models_cached, cache_evictions'), "$room|1", 'one more model: one makes room');
$node->safe_psql('postgres', 'SELECT mnist_internal.load(v) FROM unnest(ARRAY[2, 4]) AS v');
is(status($node, 'cache_evictions'), '1', 'it was none of those that were used again');
$node->safe_psql('postgres', "SELECT mnist_internal.load(v) FROM generate_series(6, $room + 1) AS v");
is(status($node, 'cache_evictions'), '1', 'nor one that was loaded later');
$node->safe_psql('postgres', 'SELECT mnist_internal.load(3)');
is(status($node, 'cache_evictions'), '2', 'it was version 3, which was unused for longest');
$node->safe_psql('postgres', 'SELECT mnist_internal.load(20)');
is(status($node, 'cache_evictions'), '2', 'loading that again evicted the next oldest, not the newest');
$node->safe_psql('postgres', 'SELECT mnist_internal.load(5)');
is(status($node, 'cache_evictions'), '3', 'which was version 5');

# ---------------------------------------------------------------- running statements

restart($node, 2);
$gatekeeper = $node->background_psql('postgres');
$close_gate->();
my @running;
for my $version (2 .. $room + 1)
{
	$node->safe_psql('postgres', "SELECT mnist_activate($version) FROM mnist_live WHERE version <> $version");
	my $session = $node->background_psql('postgres');
	start($session, "SELECT string_agg((mnist_classify($digit) + gate())::text, '') FROM generate_series(1, 3)");
	pinned_becomes($node, $version - 1, "a statement that uses version $version has it pinned");
	push @running, $session;
}
my $log = -s $node->logfile;
my $crowded = $room + 2;
$node->safe_psql('postgres', "SELECT mnist_activate($crowded)");
is(status($node, 'models_cached, models_pinned, cache_evictions'), "$room|$room|0", 'all are in use');
my @private = map { $node->background_psql('postgres') } 1 .. 2;
is($_->query_safe("SELECT mnist_classify($digit)"), $crowded % 10,
	'a session that finds no room predicts all the same') foreach @private;
is(status($node, 'models_private, cache_fallbacks'), '2|3',
	'with a copy of its own; these copies are counted, and that of mnist_activate, too');
is($_->query_safe("SELECT mnist_classify($digit)"), $crowded % 10, 'again') foreach @private;
is(status($node, 'models_private, cache_fallbacks'), '2|3', 'with the same copy');
is(status($node, 'models_cached, models_pinned, cache_evictions'), "$room|$room|0", 'and no model was evicted for it');
my $logged = slurp_file($node->logfile, $log);
is(() = $logged =~ /LOG:  a session keeps a model in memory of its own/g, 1, 'the log says so once');
like($logged, qr/DETAIL:  The model takes \d+ kB; running statements use most of the \d+ kB\./, 'with the reason');
like($logged, qr/HINT:  Consider increasing mnist_hil\.shared_memory\./, 'and a hint');
unlike($logged, qr/ERROR/, 'and nothing fails');

$open_gate->();
for my $version (2 .. $room + 1)
{
	is($running[ $version - 2 ]->query_safe('SELECT 0'), $version % 10 x 3 . "\n0",
		"the statement with version $version kept it");
}
pinned_becomes($node, 0, 'statements that have ended have nothing pinned');
is($_->query_safe("SELECT mnist_classify($digit)"), $crowded % 10,
	'a session with a copy of its own predicts again') foreach @private;
is(status($node, 'models_private, cache_fallbacks'), '0|3', 'and shares the model, as there is room now');
$_->quit foreach @running, @private;

# A session's own copy is no longer counted once the session has ended, however it ended.
$node->safe_psql('postgres', 'SELECT mnist_activate(2)');
add_constant_model($node, 'postgres', 200, 'dense 400, dense 10', 784 * 400 + 400 + 4010, 7);
$log = -s $node->logfile;
$node->safe_psql('postgres', 'SELECT mnist_activate(200)');
my @large = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 3;
my @pids = map { $_->query_safe('SELECT pg_backend_pid()') } @large;
is($_->query_safe("SELECT mnist_classify($digit)"), '7', 'a model larger than the memory predicts') foreach @large;
is($_->query_safe("SELECT mnist_classify($digit)"), '7', 'and again') foreach @large;
is(status($node, 'models_private, cache_fallbacks'), '3|7', 'from copies that sessions keep');
is(status($node, 'models_cached'), $room, 'for which no model was evicted');
$logged = slurp_file($node->logfile, $log);
is(() = $logged =~ /LOG:  a session keeps a model in memory of its own/g, 1, 'the log says so once');
like($logged, qr/DETAIL:  The model takes \d+ kB; the largest one that fits takes \d+ kB\./, 'with the reason');
$large[0]->quit;
becomes($node, 'SELECT models_private FROM mnist_status', 2, 'one copy ends with its session');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pids[1])");
becomes($node, 'SELECT models_private FROM mnist_status', 1, 'one ends with a session that is terminated');
$node->safe_psql('postgres', 'SELECT mnist_activate(2)');
is($large[2]->query_safe("SELECT mnist_classify($digit)"), '2', 'a session with a copy uses the model that goes live');
is(status($node, 'models_private'), '0', 'and none is left');
eval { $_->quit } foreach @large[ 1, 2 ];

# ---------------------------------------------------------------- what ends a pin

# Each of these statements waits at the gate with a pin.  The statements end in different ways, and each time the pin is
# released.  Some statements fail on purpose, so they are sent by query: query_safe would die of the error.
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
my $look = "DO \$\$ DECLARE label int; BEGIN label := mnist_classify($digit); PERFORM gate(); %s END \$\$";

# waits SQL, PINS, WHAT: send a statement, and check that it waits with PINS models pinned.
sub waits
{
	my ($sql, $pins, $what) = @_;

	$close_gate->();
	start($session, $sql);
	becomes($node, "SELECT wait_event FROM pg_stat_activity WHERE pid = $pid", 'advisory', "$what: it waits");
	is(status($node, 'models_pinned'), $pins, "$what: with $pins pinned");
	return;
}

sub ends
{
	my ($what) = @_;

	$session->query('SELECT 0');
	is(status($node, 'models_pinned'), '0', "$what: nothing is pinned afterwards");
	return;
}
for my $transaction ('', 'in a transaction, ')
{
	$session->query('BEGIN') if $transaction;
	waits("SELECT mnist_classify($digit), gate()", 1, "${transaction}a query");
	$open_gate->();
	ends("${transaction}a query");
	waits("SELECT mnist_classify($digit), gate(), 1 / (gate() * pg_backend_pid())", 1, "${transaction}an error");
	$open_gate->();
	ends("${transaction}an error");
	$session->query('ROLLBACK; BEGIN') if $transaction;
	waits("SELECT mnist_classify($digit), gate()", 1, "${transaction}a cancelled query");
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	ends("${transaction}a cancelled query");
	$open_gate->();
	$session->query('ROLLBACK; BEGIN') if $transaction;
	waits(sprintf($look, ''), 1, "${transaction}an expression of PL/pgSQL");
	$open_gate->();
	ends("${transaction}an expression of PL/pgSQL");
	waits("DO \$\$ BEGIN
			BEGIN PERFORM mnist_classify($digit); RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END;
			PERFORM gate();
		END \$\$", 0, "${transaction}a query in a block that failed");
	$open_gate->();
	ends("${transaction}a query in a block that failed");
	waits("DO \$\$ DECLARE label int; BEGIN
			BEGIN label := mnist_classify($digit); RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END;
			PERFORM gate();
		END \$\$", 1, "${transaction}an expression in a block that failed");
	$open_gate->();
	ends("${transaction}an expression in a block that failed");
	if ($transaction)
	{
		$session->query('SAVEPOINT s');
		waits("SELECT mnist_classify($digit), gate(), 1 / gate()", 1, 'an error after a savepoint');
		$open_gate->();
		ends('an error after a savepoint');
		$session->query('ROLLBACK TO s');
		$session->query("DECLARE c CURSOR FOR SELECT mnist_classify($digit) FROM generate_series(1, 100)");
		is(scalar $session->query('FETCH c'), '2', 'a cursor predicts');
		is(status($node, 'models_pinned'), '0', 'a cursor that waits for its client has nothing pinned');
		$node->safe_psql('postgres', 'SELECT mnist_internal.load(v) FROM generate_series(3, 40) AS v');
		$node->safe_psql('postgres', 'SELECT mnist_activate(3)');
		is(scalar $session->query('FETCH c'), '2', 'the cursor goes on with its model, though that was evicted');
		is(scalar $session->query("SELECT mnist_classify($digit)"), '3',
			'while another statement uses the new live model');
		is(scalar $session->query('FETCH c'), '2', 'the cursor goes on again');
		is(status($node, 'models_pinned'), '0', 'and still has nothing pinned');
		$node->safe_psql('postgres', 'SELECT mnist_activate(2)');
		$session->query('ROLLBACK');
	}
}
# PL/pgSQL keeps the state of simple expressions until the transaction ends.  It keeps the state of a domain's check as
# long as the variable of that domain.
$node->safe_psql('postgres', "
	CREATE PROCEDURE commits() LANGUAGE plpgsql AS \$\$
	DECLARE
		label int;
	BEGIN
		label := mnist_classify($digit);
		COMMIT;
		PERFORM gate();
	END \$\$;
	CREATE TYPE labelled AS (image bytea, label int);
	CREATE DOMAIN rightly_labelled AS labelled CHECK (mnist_classify((VALUE).image) = (VALUE).label);
	CREATE PROCEDURE commits_with_domain() LANGUAGE plpgsql AS \$\$
	DECLARE
		item rightly_labelled := ROW($digit, 2);
	BEGIN
		item.label := 2;
		COMMIT;
		PERFORM gate();
		item.label := 2;
	END \$\$");
for my $procedure (qw(commits commits_with_domain))
{
	waits("CALL $procedure()", 0, "$procedure: after its COMMIT");
	$open_gate->();
	ends($procedure);
}
waits("SELECT mnist_classify($digit), gate()", 1, 'a session that is terminated');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
pinned_becomes($node, 0, 'a session that is terminated: nothing is pinned afterwards');
$open_gate->();
eval { $session->quit };
is(status($node, 'models_private'), '0', 'and no session needed a copy of its own');

# A batch keeps its model pinned to its end.  The trigger that runs between its parts predicts, evicts all other models
# and fails.
$node->safe_psql('postgres', "
	CREATE FUNCTION crowd() RETURNS trigger LANGUAGE plpgsql AS \$\$
	DECLARE
		label int;
	BEGIN
		BEGIN
			label := mnist_classify($digit);
			PERFORM mnist_internal.load(v) FROM generate_series(3, 40) AS v;
			RAISE EXCEPTION 'no';
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
		RETURN NULL;
	END \$\$;
	CREATE TRIGGER crowd AFTER INSERT ON mnist_prediction FOR EACH STATEMENT EXECUTE FUNCTION crowd()");
my $evictions = status($node, 'cache_evictions');
is($node->safe_psql('postgres', "SELECT count(*), string_agg(DISTINCT label::text, ',')
	FROM mnist_predict_batch((SELECT array_agg($digit) FROM generate_series(1, 300)))"),
	'300|2', 'a batch predicts with its model to its end');
cmp_ok(status($node, 'cache_evictions'), '>', $evictions + 2 * $room,
	'while all other models were evicted several times');
$node->safe_psql('postgres', 'DROP TRIGGER crowd ON mnist_prediction');
$gatekeeper->quit;

# A superuser changes weights with triggers disabled: a session that has to load them again fails once.
restart($node, 2);
$session = $node->background_psql('postgres', on_error_stop => 0);
is(scalar $session->query("SELECT mnist_classify($digit)"), '2', 'a session predicts with version 2');
$node->safe_psql('postgres', "
	SET session_replication_role = replica;
	DELETE FROM mnist_model WHERE version = 40;
	UPDATE mnist_model SET weights = w, weights_sha256 = sha256(w)
	FROM (SELECT weights AS w FROM mnist_model WHERE version = 39) AS s WHERE version = 2;
	RESET session_replication_role;
	SELECT mnist_internal.load(v) FROM generate_series(3, 38) AS v");
is(scalar $session->query("SELECT mnist_classify($digit)"), '',
	'after its weights were changed and evicted, it fails');
like($session->{stderr}, qr/ERROR:  the weights of model version 2 have changed/, 'with an error that says so');
is(scalar $session->query("SELECT mnist_classify($digit)"), '9', 'and then predicts with the new weights');
$session->quit;

# ---------------------------------------------------------------- at the same time

# Four clients predict with 37 models, of which a quarter fits.  Each prediction is that of its model, and there is
# always room to load the model.
restart($node, 2);
my $label = $node->safe_psql('postgres', "SELECT place FROM mnist_internal.feature_catalog() WHERE name = 'label'");
$node->safe_psql('postgres', "CREATE TABLE image AS SELECT $digit AS pixels");
my $script = PostgreSQL::Test::Utils::tempdir() . '/read.sql';
append_to_file($script, "\\set version random(3, 39)
	SELECT 1 / ((mnist_internal.features(pixels, :version))[$label] = :version % 10)::int FROM image;\n");
$node->command_ok([ 'pgbench', '-n', '-c', '4', '-t', '1500', '-M', 'prepared', '-f', $script, 'postgres' ],
	'clients that evict each other\'s models all predict right');
is(status($node, 'models_cached, models_pinned, models_private, cache_fallbacks'), "$room|0|0|0",
	'and always find room');
cmp_ok(status($node, 'cache_evictions'), '>', 1000, 'because models are evicted');
cmp_ok(status($node, 'memory_used'), '<=', status($node, 'memory_size'), 'and use no more memory than there is');

# ---------------------------------------------------------------- the default size

$node->append_conf('postgresql.conf', "mnist_hil.shared_memory = default\n");
$node->adjust_conf('postgresql.conf', 'mnist_hil.shared_memory', undef);
restart($node, 1);
add_variant($node, 'postgres', 300 + $_, 1, $_) foreach 1 .. 10;
$node->safe_psql('postgres', "SELECT mnist_internal.load(v) FROM generate_series(301, 309) AS v");
$node->safe_psql('postgres', "SELECT mnist_classify($digit)");
is(status($node, 'models_cached, cache_evictions, cache_fallbacks'), '10|0|0',
	'the default size has room for ten default models');
$node->safe_psql('postgres', 'SELECT mnist_internal.load(310)');
cmp_ok(status($node, 'models_cached'), '<=', '11', 'and not for many more');
$node->stop;

done_testing();
