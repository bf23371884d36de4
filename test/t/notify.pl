# mnist_hil_notify, with a real server and a real receiver on the loopback interface that fails, hangs, refuses and
# comes back.  No event is lost.  An event is sent again only if the receiver did not accept it, or if nobody can know.
use strict;
use warnings;

use JSON::PP;
use MIME::Base64;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use HttpSink;
use TestWait qw(wait_until);

my $program = $ENV{MNIST_NOTIFY} or plan skip_all => 'mnist_hil_notify was not built (MNIST_NOTIFY)';
delete @ENV{qw(http_proxy HTTP_PROXY all_proxy ALL_PROXY)};
my $home = PostgreSQL::Test::Utils::tempdir();
my $sink = HttpSink->new;

my $node = PostgreSQL::Test::Cluster->new('notify');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE SCHEMA "My Schema";
	CREATE EXTENSION mnist_hil SCHEMA "My Schema";
	ALTER DATABASE postgres SET search_path = "My Schema";
	CREATE ROLE regress_notifier LOGIN;
	SELECT "My Schema".mnist_grant('notifier', 'regress_notifier')});

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Note events, in one transaction; returns the id of the last.
sub note_events
{
	my (@messages) = @_;

	return (split /\n/, sql(join '; ', map { "SELECT mnist_internal.event('test', '$_')" } @messages))[-1];
}

sub conninfo
{
	my ($database) = @_;

	return 'host=' . $node->host . ' port=' . $node->port . " user=regress_notifier dbname=$database";
}

append_to_file("$home/webhook", $sink->url('/secret/path?token=hidden') . "\n");
my @quick = qw(--retry 0.1 --retry-max 0.2 --timeout 1 --refusals 3 --poll 0.5);
my @webhook = ('--webhook-file', "$home/webhook");
my $log = "$home/notify.log";
append_to_file($log, '');
my @running;

sub start_notifier
{
	my (@options) = @_;
	my $pid = fork // die $!;

	if ($pid == 0)
	{
		open STDERR, '>>', $log or die;
		exec $program, '--conninfo', conninfo('postgres'), @quick, @options or die;
	}
	push @running, $pid;
	return $pid;
}

# Wait until a process that was signalled has ended; returns the status and the seconds that it took.
sub ended
{
	my ($pid, $signal) = @_;
	my $begun = time;

	kill $signal, $pid;
	wait_until("$pid ends", sub { $sink->step; waitpid($pid, WNOHANG) == $pid });
	@running = grep { $_ != $pid } @running;
	return ($?, time - $begun);
}

END
{
	my $status = $?;

	kill 'KILL', @running;
	diag(slurp_file($log)) if $status && defined $log;
	$? = $status;
}

# Run the program to its end while the sink serves; returns its exit status.
sub run_notifier
{
	my (@options) = @_;
	my $pid = start_notifier(@options);

	wait_until('the program ends', sub { $sink->step; waitpid($pid, WNOHANG) == $pid });
	@running = grep { $_ != $pid } @running;
	return $? & 127 ? "signal $?" : $? >> 8;
}

sub message
{
	return decode_json($_[0]{body})->{message};
}

# The messages that the receiver accepted since the last call, in order; waits until the last one is that.
my $seen = 0;
sub accepted_until
{
	my ($last) = @_;
	my @accepted;

	wait_until("$last is accepted", sub {
		$sink->step;
		@accepted = map { message($_) } grep { $_->{done} eq '200' || $_->{done} eq 'half' }
			($sink->requests)[ $seen .. $#{ $sink->{requests} } ];
		return @accepted && $accepted[-1] eq $last;
	});
	$sink->step for 1 .. 3; # there is no other one
	$seen = $sink->requests;
	return join ' ', @accepted;
}

sub recorded
{
	my ($id, $state) = @_;

	wait_until("event $id is recorded as $state", sub {
		$sink->step;
		return sql("SELECT state FROM mnist_notification WHERE event_id = $id AND notifier = 'mnist_hil_notify'")
			eq $state;
	});
	return;
}

sub log_has
{
	my ($pattern, $offset) = @_;

	wait_until("the log has $pattern", sub { $sink->step; substr(slurp_file($log), $offset // 0) =~ $pattern });
	return;
}

# ---- a new notifier begins with the events from now on

note_events('old');
my $notifier = start_notifier(@webhook);
log_has(qr/connected/);
wait_until('it has asked', sub { sql('SELECT count(*) FROM mnist_notifier') });
my $id = note_events('one', 'two', 'three');
is(accepted_until('three'), 'one two three', 'events arrive in order, and none from before');
my $request = ($sink->requests)[-1];
is("$request->{method} $request->{path} $request->{headers}{'content-type'}",
	'POST /secret/path?token=hidden application/json', 'a POST of JSON');
like($request->{headers}{'idempotency-key'}, qr/^mnist_hil_notify-$id-\d{16}$/, 'with an idempotency key');
my $json = decode_json($request->{body});
is_deeply($json, { id => $id, created_at => $json->{created_at}, kind => 'test', message => 'three', detail => {},
	run_id => undef, model_version => undef, server => 'notify', database => 'postgres' }, 'the event as JSON');

# ---- a receiver that fails

# The requests of an event, and their keys.
sub requests_of
{
	my ($what) = @_;
	my @requests = grep { message($_) eq $what } $sink->requests;
	my %keys = map { $_->{headers}{'idempotency-key'} => 1 } @requests;

	is(scalar keys %keys, 1, "$what: one idempotency key");
	return join ',', map { $_->{done} } @requests;
}

$sink->plan('500', 'hang', 'cut', '302', '200', 'half', '429 1', '200');
note_events('a', 'b', 'c');
my $begun = time;
is(accepted_until('c'), 'a b c', 'after failures each event is accepted once, in order');
cmp_ok(time - $begun, '>=', 1.9, 'Retry-After and the time limit were waited for');
is(requests_of('a'), '500,hang,cut,302,200', 'an event is repeated until it is accepted');
is(requests_of('b'), 'half', 'a status is enough');
is(requests_of('c'), '429 1,200', 'and no event is repeated without a reason');

$sink->refuse;
$id = note_events('d');
recorded($id, 'failed');
note_events('e');
$sink->open;
is(accepted_until('e'), 'd e', 'a receiver that was not there gets all events');

$sink->plan(('400') x 3);
$id = note_events('poison', 'f');
is(accepted_until('f'), 'f', 'an event that is refused does not block the others for ever');
is(requests_of('poison'), '400,400,400', 'it was tried as often as the options say');
is(sql(q{SELECT state, attempts, refusals, error FROM mnist_notification WHERE state = 'given up'}),
	'given up|3|3|HTTP status 400', 'and is recorded');

$sink->refuse;
$id = note_events('erased');
recorded($id, 'failed');
sql("DELETE FROM mnist_event WHERE id = $id");
$sink->open;
note_events('g');
is(accepted_until('g'), 'g', 'an event that is erased is not sent any more');

# ---- transactions that commit late, and notifications that are missing

my $late = $node->background_psql('postgres');
$late->query_safe(q{BEGIN; SELECT mnist_internal.event('test', 'late')});
note_events('early');
is(accepted_until('early'), 'early', 'an event is not held up by a transaction under way');
$late->query_safe('COMMIT');
$late->quit;
is(accepted_until('late'), 'late', 'an event with a smaller id that commits later is not lost');
sql(q{SET mnist_hil.notify = off; SELECT mnist_internal.event('test', 'silent')});
is(accepted_until('silent'), 'silent', 'an event without a notification is found');

# ---- the server restarts, the notifier is killed

sub hold
{
	my ($what) = @_;

	$sink->plan('hold');
	note_events($what);
	wait_until("$what is held", sub { $sink->step; @{ $sink->{held} } });
	return;
}

my $offset = -s $log;
# The receiver says no in the meantime, so that the notifier looks at its connection only afterwards.
hold('h');
$node->stop('immediate');
$sink->release;
log_has(qr/database: /, $offset);
$node->start;
note_events('i');
is(accepted_until('i'), 'h i', 'a restart of the server loses nothing');
is(requests_of('h'), '200', 'and repeats nothing');

hold('j');
note_events('k');
is((ended($notifier, 'KILL'))[0], 9, 'the notifier is killed while it sends');
$sink->{held} = [];
$notifier = start_notifier(@webhook);
is(accepted_until('k'), 'j k', 'the next one sends the rest');
is(requests_of('j'), 'hold,200', 'and what the first one was about to send, with the same key');

# ---- two processes, one name

$offset = -s $log;
my $second = start_notifier(@webhook);
log_has(qr/another process with the name mnist_hil_notify is at work; waiting/, $offset);
is(run_notifier(@webhook, '--once'), 3, '--once does not wait for another process');
note_events(map { "n$_" } 1 .. 5);
is(accepted_until('n5'), 'n1 n2 n3 n4 n5', 'two processes with one name send each event once');
my ($status, $seconds) = ended($notifier, 'TERM');
is($status, 0, 'SIGTERM ends the program with status 0');
cmp_ok($seconds, '<', 2, 'at once');
note_events('o');
is(accepted_until('o'), 'o', 'the other process takes over');

$sink->plan('hang');
note_events('p');
wait_until('p hangs', sub { $sink->step; requests_of_last() eq 'p' });
sub requests_of_last { return message(($sink->requests)[-1]) }
($status, $seconds) = ended($second, 'TERM');
is($status, 0, 'SIGTERM ends the program while the receiver hangs');
cmp_ok($seconds, '<', 2, 'within two seconds');

# ---- --once, and forms of events

is(run_notifier(@webhook, '--once'), 0, '--once sends what there is');
is(accepted_until('p'), 'p', 'and nothing else');
$sink->plan('500');
note_events('q');
is(run_notifier(@webhook, '--once'), 1, '--once fails if the receiver does');
is(run_notifier(@webhook, '--once'), 0, 'and sends it the next time');
is(accepted_until('q'), 'q', 'once');

sql(q{SELECT mnist_internal.event('drift', '<!channel> & <b>'), mnist_internal.event('other', 'x')});
is(run_notifier(@webhook, qw(--once --name chat --all --kinds drift --format slack)), 0, 'a second notifier');
is(decode_json(($sink->requests)[-1]{body})->{text}, 'notify postgres `drift` &lt;!channel&gt; &amp; &lt;b&gt;',
	'the form for Slack is escaped');
is(scalar(grep { $_->{headers}{'idempotency-key'} =~ /^chat-/ } $sink->requests), 1, 'and only the kind that it wants');
sql(q{SELECT mnist_internal.event('drift', 'y'), mnist_internal.event('other', 'z')});
run_notifier(@webhook, qw(--once --name chat --except drift));
is(message(($sink->requests)[-1]), 'z', 'kinds can be left out');
$seen = $sink->requests;

# ---- mail

sub sendmail
{
	my ($name, $script) = @_;

	append_to_file("$home/$name", "#!/bin/sh\n$script\n");
	chmod 0755, "$home/$name";
	return ('--name', 'mail', '--mail', 'ops@example.org', '--from', 'digits@example.org', '--sendmail', "$home/$name");
}

run_notifier(sendmail('none', 'exit 1'), '--once');
sql(q{SELECT mnist_internal.event('drift', E'na\u00efve\nBcc: x@example.org ' || repeat(E'\u00e9', 60),
	'{"share": 0.5}')});
is(run_notifier(sendmail('tempfail', 'exit 75'), '--once'), 1, 'a sendmail that fails');
$begun = time;
is(run_notifier(sendmail('hang', 'sleep 600'), '--once'), 1, 'a sendmail that hangs');
cmp_ok(time - $begun, '<', 10, 'is ended');
is(sql(q{SELECT attempts, error FROM mnist_notification WHERE state = 'failed'}), '2|sendmail did not end in time',
	'attempts are recorded');
is(run_notifier(sendmail('good', qq(test "\$*" = "-t -i" && cat >"$home/mail")), '--once'), 0,
	'a sendmail that works');
my ($head, $body) = slurp_file("$home/mail") =~ /^(.*?\n)\n(.*)$/s;
like($head, qr/^From: digits\@example\.org\nTo: ops\@example\.org\nSubject: =\?UTF-8\?B\?/, 'the head of the mail');
like($head, qr/^Message-ID: <mail-\d+-\d+\@mnist-hil>$/m, 'has an id');
unlike($head, qr/^Bcc/m, 'no text of an event becomes a header');
is(scalar(grep { length > 78 } split /\n/, $head), 0, 'its lines are short');
my $subject = join '', map { decode_base64($_) } $head =~ /=\?UTF-8\?B\?([^?]+)\?=/g;
like($subject, qr/^\[notify postgres\] drift: na\xc3\xafve Bcc: x\@example\.org (?:\xc3\xa9)+$/, 'the subject');
like(decode_base64($body), qr/\nkind: drift\n.*\nshare: 0\.5\n/s, 'the body');

# ---- a dump that is restored

note_events('r');
my $dump = "$home/dump";
command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
command_ok([ 'createdb', '-h', $node->host, '-p', $node->port, 'restored' ], 'another database');
command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'is restored');
is(run_notifier(@webhook, '--once', '--conninfo', conninfo('restored')), 0, 'the notifier works there');
my @after = map { message($_) } ($sink->requests)[ $seen .. $#{ $sink->{requests} } ];
is($after[-1], 'r', 'it sends what was not delivered at the time of the dump');
is(scalar(grep { /^(?:[a-q]|n\d|early|late|silent)$/ } @after), 0, 'and nothing else');

# ---- options

is(run_notifier(@$_), 2, "wrong: @$_")
	for [], [ '--webhook', 'file:///etc/passwd' ], [ '--webhook', 'http://x', '--mail', 'a@b' ],
		[ '--mail', "a\@b\nBcc: c\@d" ], [ @webhook, '--name', 'a b' ], [ @webhook, '--kinds', 'a b' ],
		[ @webhook, '--poll', '0' ], [ '--webhook-file', "$home/missing" ], [ @webhook, 'extra' ];
is(run_notifier(@webhook, '--once', '--conninfo', 'host=/nowhere'), 1, 'a database that is not there');
like(qx($program --help), qr/^Exit status: /m, '--help');
like(qx($program --version), qr/^mnist_hil_notify \d/, '--version');
my $all = slurp_file($log);
like($all, qr/127\.0\.0\.1:\d+/, 'the log says where events go');
unlike($all, qr/secret|hidden|ERROR: (?:Address|Leak)Sanitizer|runtime error/,
	'but no secret of the URL, and no sanitizer has found anything');

$node->stop;

done_testing();
