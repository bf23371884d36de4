# Jobs of pg_cron: whether they can log in, which mnist_schedule says at once, and whether checks arrive and succeed,
# which mnist_status, mnist_event and mnist_metrics tell.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use TestWait qw(wait_until);

plan skip_all => 'pg_cron is not installed' unless -e "$ENV{share_contrib_dir}/extension/pg_cron.control";

my $node = PostgreSQL::Test::Cluster->new('schedule');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil,pg_cron'\nmax_worker_processes = 16\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_cron;
	CREATE EXTENSION mnist_hil;
	CREATE ROLE regress_trainer LOGIN;
	SELECT mnist_grant('trainer', 'regress_trainer');
});

# Call a function as the trainer; returns what it returned, and the messages.
sub call
{
	my ($call) = @_;
	my ($out, $err);

	is($node->psql('postgres', "SET SESSION AUTHORIZATION regress_trainer; SELECT $call", stdout => \$out,
		stderr => \$err), 0, "$call works") or diag($err);
	return ($out, $err);
}

# Use these lines as pg_hba.conf, after one that lets the test in.
sub hba
{
	my $hba = $node->data_dir . '/pg_hba.conf';

	unlink $hba;
	my $user = $node->safe_psql('postgres', 'SELECT session_user');
	append_to_file($hba, join("\n", "local all \"$user\" trust", @_) . "\n");
	$node->reload;
	return;
}

my $settings = $node->data_dir . '/postgresql.conf';
my $os_user = getpwuid($>);
my $host = $node->host;

# ---- whether the job can log in

# [cron.host, listen_addresses, lines of pg_hba.conf, the detail of the warning or none]
for (
	[ 'localhost', 'localhost', [ 'host all all 127.0.0.1/32 scram-sha-256', 'host all all ::1/128 scram-sha-256' ],
		qr/host "localhost" as role "regress_trainer", and line 2 of pg_hba\.conf asks for scram-sha-256/ ],
	[ 'localhost', 'localhost', [ 'host all +pg_monitor all reject', 'host all regress_trainer 127.0.0.0/8 trust',
		'host all all all scram-sha-256' ], qr/line 4 of pg_hba\.conf asks for scram/ ],
	[ 'localhost', 'localhost', [ 'host other all all reject', 'host all regress_trainer 127.0.0.0/8 trust',
		'host postgres regress_trainer ::1/128 trust', 'host all all all scram-sha-256' ], undef ],
	[ '127.0.0.1', 'localhost', [ 'host all all 192.168.0.0/16 trust', 'host all other all trust' ],
		qr/no line of pg_hba\.conf allows that/ ],
	[ 'localhost', '', [ 'host all all all trust' ], qr/does not listen on TCP/ ],
	[ $host, '', [ 'local all all peer' ], qr/asks for peer/ ],
	[ $host, '', [ 'local all regress_trainer trust' ], undef ])
{
	my ($cron_host, $listen, $lines, $detail) = @$_;

	append_to_file($settings, "cron.host = '$cron_host'\nlisten_addresses = '$listen'\n");
	hba(@$lines);
	$node->restart;
	my (undef, $err) = call("mnist_schedule('59 23 31 12 *') > 0");

	if (defined $detail)
	{
		like($err, qr/WARNING:  the job may not be able to run as role "regress_trainer".*$detail.*HINT:  Set cron/s,
			'warned: ' . join '; ', @$lines);
	}
	else
	{
		is($err, '', 'not warned: ' . join '; ', @$lines);
	}
}
{
	# As the operating system user, peer is enough.
	append_to_file($settings, "cron.host = '$host'\n");
	hba('local all all peer');
	$node->restart;
	my ($out, $err);

	$node->psql('postgres', "SELECT current_user FROM mnist_schedule('59 23 31 12 *')", stdout => \$out,
		stderr => \$err);
	is("$out|$err", "$os_user|", 'not warned: the role is the operating system user, method peer');
}
{
	my ($out, $err);

	$node->safe_psql('postgres', 'CREATE ROLE regress_group; GRANT regress_trainer TO regress_group');
	isnt($node->psql('postgres', 'SET ROLE regress_group; SELECT mnist_schedule()', stderr => \$err), 0,
		'a role that cannot log in cannot schedule');
	like($err, qr/role "regress_group" cannot log in.*HINT:  ALTER ROLE regress_group LOGIN/s, '... and is told why');
}

# ---- whether checks succeed: pg_cron's records of the job are written here, as pg_cron would

my $ask = sub { return $node->safe_psql('postgres', $_[0]) };
my $events = sub {
	return $ask->(q{SELECT coalesce(string_agg(kind, ' ' ORDER BY id), '')
		FROM mnist_event WHERE kind LIKE 'checks\_%' AND kind NOT LIKE '%scheduled'});
};
my ($job) = call("mnist_schedule('*/5 * * * *')");

# A finished run that began so long ago; without a time, as when the job could not connect.
sub ran
{
	my ($status, $ago) = @_;

	$node->safe_psql('postgres', sprintf q{
		INSERT INTO cron.job_run_details (jobid, runid, job_pid, status, start_time, end_time)
		SELECT %d, nextval('cron.runid_seq'), 1, '%s', now() - %s, now() - %s + interval '1 second'}, $job, $status,
		map { defined $ago ? "interval '$ago'" : 'NULL::interval' } 1, 2);
	return;
}

my $status = q{SELECT last_check_status, date_trunc('minute', now() - last_check),
	date_trunc('minute', now() - checks_failing_since) FROM mnist_status};
my $metrics = q{SELECT string_agg(name || ' ' || CASE WHEN name LIKE '%timestamp%' THEN 't' ELSE value::text END, ', '
	ORDER BY name) FROM mnist_metrics WHERE name ~ 'check'};

is($ask->($status), '||', 'the job has not run');
is($ask->($metrics), '', 'no metrics of it');
$ask->('SELECT mnist_check()');
is($events->(), '', 'and no event');

ran('succeeded', '270 seconds');
is($ask->($status), 'succeeded|00:04:00|', 'a check that succeeded');
my $timestamp = 'mnist_hil_last_check_timestamp_seconds t';
is($ask->($metrics), "mnist_hil_checks_overdue 0, mnist_hil_last_check_success 1, $timestamp",
	'... in the metrics');
$ask->('SELECT mnist_check()');
is($events->(), '', 'no event');

ran('failed', '210 seconds');
ran('failed', undef);
is($ask->($status), 'failed||00:03:00', 'two that failed, the second one without a time');
is($ask->($metrics), 'mnist_hil_checks_overdue 0, mnist_hil_last_check_success 0', '... in the metrics');
$ask->('SELECT mnist_check()');
$ask->('SELECT mnist_check()');
is($events->(), 'checks_failing', 'one event');
ran('succeeded', '90 seconds');
is($ask->($status), 'succeeded|00:01:00|', 'and one that succeeded');
$ask->('SELECT mnist_check()');
is($events->(), 'checks_failing checks_recovered', 'and its event');

# The first failure had no time: then since the last success.
ran('failed', undef);
ran('failed', undef);
is($ask->($status), 'failed||00:01:00', 'failures without a time: since the last success');

# A job that never could connect: since it was scheduled.
$ask->('DELETE FROM cron.job_run_details');
ran('failed', undef);
is($ask->('SELECT last_check_status, last_check IS NULL, checks_failing_since = (SELECT max(created_at) FROM mnist_event
	WHERE kind = \'checks_scheduled\') FROM mnist_status'), 'failed|t|t', 'never connected: since it was scheduled');

# ---- whether checks arrive

$ask->('DELETE FROM cron.job_run_details; DELETE FROM mnist_event');
ran('succeeded', '330 seconds');
$ask->('SELECT mnist_check()');
is($events->(), '', 'less than six minutes without a check: that is not two intervals');
$ask->(q{DELETE FROM cron.job_run_details});
ran('succeeded', '17 minutes');
is($ask->($metrics), "mnist_hil_checks_overdue 1, mnist_hil_last_check_success 1, $timestamp",
	'no check for two intervals');
$ask->('SELECT mnist_check()');
$ask->('SELECT length(mnist_report())');
is($events->(), 'checks_stopped', 'one event');
ran('succeeded', '1 second');
$ask->('SELECT length(mnist_report())');
is($events->(), 'checks_stopped checks_resumed', 'a check again; a report notes it');
like($ask->(q{SELECT string_agg(message, ' / ' ORDER BY id) FROM mnist_event WHERE kind ~ 'stopped|resumed'}),
	qr{^no check began at the last two times that were due, the last one at 20.* / checks begin again on schedule \*/5},
	'the messages');

# A job that was just scheduled is not overdue, one that was scheduled long ago and never ran is.
$ask->('DELETE FROM cron.job_run_details; DELETE FROM mnist_event');
is($ask->($metrics), '', 'nothing is known of the job');
$ask->(qq{SELECT mnist_internal.note_schedule('check', $job, '*/5 * * * *', 'x')});
is($ask->($metrics), '', 'it was just scheduled');
$ask->(qq{DELETE FROM mnist_event; INSERT INTO mnist_event (kind, message, detail, created_at)
	VALUES ('checks_scheduled', 'x', '{"job_id": $job}', now() - interval '1 hour')});
is($ask->($metrics), 'mnist_hil_checks_overdue 1', 'it was scheduled an hour ago, and never ran');
$ask->(q{UPDATE cron.job SET schedule = 'never'});
is($ask->($metrics), '', 'a schedule that is not understood: unknown');
is($ask->(q{UPDATE cron.job SET schedule = '*/5 * * * *', active = false;
	SELECT check_schedule IS NULL FROM mnist_status}), 't', 'a job that is switched off is not scheduled');
is($ask->($metrics), 'mnist_hil_checks_overdue 1', '... and its checks are overdue');

# ---- the real thing: in background workers jobs need no login

append_to_file($settings, "cron.use_background_workers = on\ncron.host = 'localhost'\nlisten_addresses = ''\n"
	. "max_worker_processes = 4\n");
hba('local all regress_trainer reject');
$node->restart;
my (undef, $err) = call("mnist_schedule('* * * * *') > 0");
like($err, qr/WARNING.*DETAIL:  Jobs run in background workers, and max_worker_processes is 4: .*needs 5/s,
	'too few background workers: warned');
append_to_file($settings, "max_worker_processes = 8\n");
$node->restart;
($job, $err) = call("mnist_schedule('* * * * *')");
is($err, '', 'background workers need no login: not warned');
# There was a gap of an hour.  The run itself tells that, and may tell that it is over.
$ask->('DELETE FROM cron.job_run_details; DELETE FROM mnist_event');
ran('succeeded', '1 hour');
my $polls = 0;
wait_until('the job has run', sub {
	$ask->('SELECT pg_reload_conf()') if ++$polls % 4000 == 0;
	return $ask->(q{SELECT now() - last_check < interval '1 minute' FROM mnist_status}) eq 't';
});
like($events->(), qr/^checks_stopped(?: checks_resumed)?$/, 'the run notes the gap before it');
is($ask->('SELECT last_check_status, checks_failing_since IS NULL FROM mnist_status'), 'succeeded|t',
	'the job has run');
is($ask->("SELECT username, command FROM cron.job_run_details ORDER BY runid DESC LIMIT 1"),
	'regress_trainer|CALL public.mnist_housekeep()', '... as the trainer');
is($ask->('SELECT mnist_unschedule(); SELECT count(*) FROM cron.job'), "t\n0", 'a superuser unschedules it');

$node->stop;

done_testing();
