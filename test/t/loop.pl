# The loop, scheduled by the real pg_cron, in pg_cron's database and in another one.  A standby leaves the decision to
# its primary.  A run holds no snapshot while it trains.  When its database is dropped, it leaves no process and no
# error.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use TestWait qw(wait_for wait_until);

my $pg_cron = -e "$ENV{share_contrib_dir}/extension/pg_cron.control";
my $node = PostgreSQL::Test::Cluster->new('loop');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil" . ($pg_cron ? ',pg_cron' : '') . "'\n"
	. "max_worker_processes = 16\nlog_min_messages = info\nmnist_hil.min_new_labels = 5\n"
	. "mnist_hil.fail_threshold = 1\nmnist_hil.epochs = 1\n");
$node->append_conf('postgresql.conf', "cron.database_name = 'postgres'\ncron.host = '" . $node->host
	. "'\n") if $pg_cron;
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app',
	'CREATE SCHEMA "My Schema"; CREATE EXTENSION mnist_hil SCHEMA "My Schema"; CREATE ROLE regress_operator LOGIN');
$node->safe_psql('app', 'ALTER DATABASE app SET search_path = "My Schema"');
$node->safe_psql('app', "SELECT mnist_import_synthetic('drawn', 600)");
# A small live model, whose fine-tuning takes a moment.
$node->safe_psql('app',
	"SELECT mnist_activate(model_version) FROM mnist_retrain('from_scratch', '{softmax}', promote => false)");

sub fails
{
	my ($database, $sql, $pattern, $what) = @_;
	my $stderr;

	isnt($node->psql($database, "\\set VERBOSITY verbose\n$sql", stderr => \$stderr), 0, "$what: refused");
	like($stderr, $pattern, $what);
	return;
}

# ---- the schedule

if ($pg_cron)
{
	fails('app', 'SELECT mnist_schedule()',
		qr/55000: pg_cron is not installed in database "postgres".*HINT:  .*CREATE EXTENSION pg_cron/s,
		'no pg_cron yet');
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron');
	my $job = $node->safe_psql('app', 'SELECT mnist_schedule()');

	is($node->safe_psql('postgres',
		'SELECT jobid, schedule, command, database, username = current_user, jobname FROM cron.job'),
		qq($job|*/5 * * * *|CALL "My Schema".mnist_housekeep()|app|t|mnist_check app),
			'a job in the database where pg_cron is');
	is($node->safe_psql('app', "SELECT mnist_schedule('* * * * *')"), $job, 'again: the same job');
	is($node->safe_psql('postgres', 'SELECT schedule FROM cron.job'), '* * * * *', 'with the new schedule');
	fails('app', "SELECT mnist_schedule('never')", qr/invalid schedule/, 'a schedule that is none');
	fails('app', 'SELECT mnist_schedule(NULL)', qr/22004/, 'no schedule');
	$node->safe_psql('app', 'GRANT USAGE ON SCHEMA "My Schema" TO regress_operator');
	fails('app', "SET SESSION AUTHORIZATION regress_operator; SELECT mnist_schedule()",
		qr/42501: permission denied for function mnist_schedule/, 'not for everybody');
	$node->safe_psql('app',
		'GRANT EXECUTE ON FUNCTION mnist_schedule, mnist_unschedule, mnist_check TO regress_operator');
	fails('app', "SET SESSION AUTHORIZATION regress_operator; SELECT mnist_schedule()",
		qr/42501:\ permission\ denied\ for\ procedure\ mnist_housekeep
			.*HINT:\ \ .*GRANT\ EXECUTE\ ON\ PROCEDURE\ "My\ Schema"\.mnist_housekeep\(\)\ TO\ regress_operator/sx,
		'a role without the privileges for the job');
	$node->safe_psql('app', 'GRANT EXECUTE ON PROCEDURE mnist_housekeep TO regress_operator');
	fails('app', "SET SESSION AUTHORIZATION regress_operator; SELECT mnist_schedule()",
		qr/42501:\ permission\ denied\ for\ schema\ cron.*HINT:\ \ In\ database\ "postgres",
			\ .*SELECT\ cron\.schedule_in_database\('mnist_check\ app',\ '\*\/5\ \*\ \*\ \*\ \*',
			\ 'CALL\ "My\ Schema"\.mnist_housekeep\(\)',\ 'app'\);/sx,
		'a role that may not use pg_cron');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), '1', 'the refused calls scheduled nothing');

	# One job, whoever schedules it.
	$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA cron TO regress_operator;
		GRANT EXECUTE ON FUNCTION cron.schedule_in_database TO regress_operator');
	my $jobs = q{SELECT string_agg(username || ' ' || schedule, ', ' ORDER BY jobid) FROM cron.job
		WHERE jobname = 'mnist_check app'};
	my $operator = 'SET SESSION AUTHORIZATION regress_operator; SELECT';
	isnt($node->safe_psql('app', "$operator mnist_schedule('0 1 * * *')"), $job,
		'another role schedules: a job of its own');
	is($node->safe_psql('postgres', $jobs), 'regress_operator 0 1 * * *', 'which replaces the first one');
	$node->safe_psql('app', "SELECT mnist_schedule('0 2 * * *')");
	like($node->safe_psql('postgres', $jobs), qr/^(?!regress_operator)\S+ 0 2 \* \* \*$/, 'and the other way round');
	is($node->safe_psql('app', "$operator mnist_unschedule()"), 't', 'either role unschedules it');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), '0', 'then there is none');
	is($node->safe_psql('app', q{SELECT string_agg(kind || ' ' || (detail ->> 'role' = current_user)::text, ', '
		ORDER BY id) FROM (SELECT * FROM mnist_event WHERE kind LIKE 'checks_%' ORDER BY id DESC LIMIT 3) e}),
		'checks_scheduled false, checks_scheduled true, checks_unscheduled false', 'and events tell who did it');

	# If the extension's owner is no superuser, the job of another role stays, and nobody makes a second one.
	$node->safe_psql('app', q{SELECT mnist_schedule('0 3 * * *'); CREATE ROLE regress_owner;
		UPDATE pg_extension SET extowner = 'regress_owner'::regrole WHERE extname = 'mnist_hil';
		GRANT USAGE ON SCHEMA mnist_internal TO regress_owner;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA mnist_internal TO regress_owner;
		GRANT SELECT ON mnist_event TO regress_owner; GRANT USAGE ON SCHEMA "My Schema" TO regress_owner});
	fails('app', "$operator mnist_schedule()",
		qr/42501: job "mnist_check app" belongs to role.*DETAIL:  The owner of extension mnist_hil is no superuser/s,
		'an owner without rights');
	fails('app', "$operator mnist_unschedule()", qr/42501: job "mnist_check app" belongs to role/, '... to unschedule');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), '1', 'one job is left');
	$node->safe_psql('app', q{UPDATE pg_extension SET extowner = nspowner FROM pg_namespace
		WHERE nspname = 'mnist_internal' AND extname = 'mnist_hil'});
	$job = $node->safe_psql('app', "SELECT mnist_schedule('* * * * *')");

	# A job that was made for another server, or was switched off, is made anew.
	$node->safe_psql('postgres', q{UPDATE cron.job SET nodename = 'elsewhere', active = false});
	isnt($node->safe_psql('app', "SELECT mnist_schedule('* * * * *')"), $job, 'a job with another host: a new job');
	is($node->safe_psql('postgres', q{SELECT nodename = current_setting('cron.host'), active FROM cron.job}), 't|t',
		'which has the host of today');

	# Seconds came with pg_cron 1.5.
	my $seconds = $node->safe_psql('postgres', q{
		SELECT string_to_array(split_part(extversion, '-', 1), '.')::int[] >= '{1,5}' FROM pg_extension
		WHERE extname = 'pg_cron'});
	if ($seconds eq 't')
	{
		like($node->safe_psql('app', "SELECT mnist_schedule('30 seconds')"), qr/^\d+$/, 'every 30 seconds');
	}
	else
	{
		fails('app', "SELECT mnist_schedule('30 seconds')",
			qr/0A000: pg_cron of version \d.* has no schedules of seconds.*HINT:  Schedule every minute/s, 'seconds');
	}
	$node->safe_psql('app', "SELECT mnist_schedule('* * * * *')");

	# Reports have a job of their own.
	like($node->safe_psql('app', 'SELECT mnist_schedule_report()'), qr/^\d+$/, 'a report every morning');
	fails('app', "$operator mnist_schedule_report()", qr/42501: permission denied for function mnist_schedule_report/,
		'not for everybody');
	$node->safe_psql('app', 'GRANT EXECUTE ON FUNCTION mnist_schedule_report, mnist_unschedule_report
		TO regress_operator');
	fails('app', "$operator mnist_schedule_report()", qr/42501: permission denied for function mnist_report/,
		'nor for those who may not call mnist_report');
	is($node->safe_psql('postgres',
		q{SELECT schedule, command, database FROM cron.job WHERE jobname LIKE 'mnist_report%'}),
		q{0 6 * * *|SELECT "My Schema".mnist_report('full')|app}, 'its job');
	is($node->safe_psql('app', 'SELECT mnist_unschedule_report(), mnist_unschedule_report()'), 't|f', 'and it is gone');

	# pg_cron in this database: the job is part of the caller's transaction, and mnist_status shows it.
	$node->safe_psql('postgres', 'CREATE EXTENSION mnist_hil');
	is($node->safe_psql('postgres', 'BEGIN; SELECT mnist_schedule() > 0; ROLLBACK; SELECT count(*) FROM cron.job'),
		"t\n1", 'undone with the transaction');
	$node->safe_psql('postgres', "SELECT mnist_schedule('59 23 31 12 *')");
	is($node->safe_psql('postgres', 'SELECT check_schedule, next_check IS NULL FROM mnist_status'),
		'59 23 31 12 *|t', 'mnist_status shows the schedule');
	is($node->safe_psql('postgres', 'SELECT mnist_unschedule()'), 't', 'unscheduled');
	is($node->safe_psql('postgres', 'SELECT mnist_unschedule()'), 'f', 'there is nothing to unschedule');
	is($node->safe_psql('postgres', 'SELECT check_schedule IS NULL FROM mnist_status'), 't',
		'and mnist_status shows no schedule');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), '1', 'the other database keeps its job');
}
else
{
	fails('app', 'SELECT mnist_schedule()', qr/55000: pg_cron is not installed.*HINT:  Install it/s, 'no pg_cron');
	fails('app', 'SELECT mnist_unschedule()', qr/55000: pg_cron is not installed/, 'nothing to unschedule');
}

# ---- notifications, which every role can receive

$node->safe_psql('app', 'CREATE ROLE regress_listener LOGIN');
my $heard = $node->background_psql('app', extra_params => [ '-U', 'regress_listener' ]);
$heard->query_safe('LISTEN mnist_hil');
# A long reason is stored in the event; it does not make the notification fail.
my $reason = 'a confidential reason ' . 'x' x 20_000;
$node->safe_psql('app', "SELECT mnist_activate(1, '$reason'); SELECT mnist_rollback()");
my $notifications = '';
wait_until('both notifications', sub { ($notifications .= $heard->query_safe('SELECT 1')) =~ /model_rolled_back/ });
$heard->quit;
my $sent = join "\n", $notifications =~ /payload "(.*)" received/g;
is( $sent,
	$node->safe_psql('app',
		q{SELECT format('{"id": %s, "kind": "%s", "model_version": %s}', id, kind, model_version)
		FROM (SELECT * FROM mnist_event ORDER BY id DESC LIMIT 2) e ORDER BY id}),
	'a notification has the id, kind and model version of an event, and nothing else');
is($node->safe_psql('app',
	"SELECT right(message, 20000) = right(detail->>'reason', 20000) AND length(message) > 20000
	FROM mnist_event WHERE kind = 'model_activated' ORDER BY id DESC LIMIT 1"),
	't', 'the row in mnist_event has the message');

# No job must run before the standby is made, because the conditions for a run must be met there.
$node->safe_psql('app', "SELECT mnist_schedule('59 23 31 12 *')") if $pg_cron;

# With these corrections the job begins a run within a minute after it is scheduled again.
$node->safe_psql('app', '
	SELECT mnist_correct(id, (label + 1) % 10)
	FROM mnist_predict_batch(ARRAY(SELECT mnist_draw(3, i, 28) FROM generate_series(1, 10) AS i))');

# ---- a standby leaves the decision to its primary

$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
is($standby->safe_psql('app', 'SELECT * FROM mnist_check()'), 'f|{"this server is a standby: its primary decides"}|',
	'mnist_check on a standby says that the primary decides');
is($standby->safe_psql('app', "SELECT met FROM mnist_retrain_decision WHERE condition = 'failures'"), 't',
	'and shows the conditions');
unlike(slurp_file($standby->logfile), qr/ERROR/, 'without an error');
$standby->stop;
$node->safe_psql('app', "SELECT mnist_schedule('* * * * *')") if $pg_cron;

# ---- a run holds no snapshot while it trains, and leaves nothing when its database is dropped

my $ours = "backend_type LIKE 'mnist_hil %' AND datname = 'other'";
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION mnist_hil; SELECT mnist_import_synthetic('drawn', 600)");
$node->safe_psql('other', "SELECT mnist_retrain('from_scratch', ARRAY['lenet5'], epochs => 10000, wait => false)");
wait_for($node, 'other', 'SELECT progress > 0 FROM mnist_training_progress', 't');
# The run writes its progress about once a second, in short transactions.  Only few samples see these; every sample
# would see a snapshot that is held while training.
my $samples = $node->safe_psql(
	'postgres', qq{
	CREATE TEMP TABLE sample (held boolean);
	DO \$\$
	BEGIN
		FOR i IN 1 .. 60 LOOP
			INSERT INTO sample
			SELECT bool_or(backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) FROM pg_stat_activity WHERE $ours;
			PERFORM pg_stat_clear_snapshot(), pg_sleep(0.03);
		END LOOP;
	END
	\$\$;
	SELECT count(*), count(*) FILTER (WHERE NOT held) >= 50 FROM sample WHERE held IS NOT NULL;
});
is($samples, '60|t', 'a run holds no snapshot while it trains');

my $log = -s $node->logfile;
$node->safe_psql('postgres', 'DROP DATABASE other WITH (FORCE)');
my $left = "
	SELECT count(*) FROM pg_stat_activity
	WHERE backend_type LIKE 'mnist_hil %' AND datname IS DISTINCT FROM 'app'";
cmp_ok(wait_for($node, 'postgres', $left, '0'), '<', 2, 'DROP DATABASE WITH (FORCE): no process of the run is left');
unlike(substr(slurp_file($node->logfile), $log), qr/ERROR|FATAL|PANIC|TRAP|WARNING/,
	'DROP DATABASE WITH (FORCE): without an error in the log');

# ---- the job has run

SKIP:
{
	skip 'pg_cron is not installed', 4 unless $pg_cron;
	# pg_cron wakes up once a second and ignores the reset message that an overflow of the invalidation queue sends.  A
	# CREATE EXTENSION can overflow the queue.  So pg_cron may miss a change of its table if CREATE EXTENSION follows
	# within a second, as above.  No CREATE EXTENSION follows this change.
	$node->safe_psql('app', "SELECT mnist_schedule('* * * * *')");
	ok($node->poll_query_until('app',
		"SELECT EXISTS (SELECT FROM mnist_run WHERE trigger = 'check' AND status = 'succeeded')"),
		'pg_cron began a run');
	is($node->safe_psql('app',
		"SELECT requested_by = current_user, reasons IS NOT NULL FROM mnist_run WHERE trigger = 'check' LIMIT 1"),
		't|t', 'the run has its user and its reasons');
	is($node->safe_psql('postgres', "SELECT DISTINCT status FROM cron.job_run_details WHERE status <> 'running'"),
		'succeeded', 'pg_cron has the job\'s history');
	is($node->safe_psql('app', 'SELECT mnist_unschedule()'), 't', 'unscheduled from the other database');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), '0', 'the job is gone');
}
$node->stop;

done_testing();
