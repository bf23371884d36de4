# Alerts that arrive.  Debian's Prometheus and Alertmanager, with the configuration in docker/, send an alert to a
# webhook and by mail.  The receivers are on the loopback interface.  Only addresses and times are other ones.
use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use MIME::QuotedPrint;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use HttpSink;
use TestWait qw(wait_until);

for my $program (qw(prometheus prometheus-alertmanager amtool))
{
	plan skip_all => "$program is not installed (test/packages.sh install monitoring)"
		unless grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

my $home = PostgreSQL::Test::Utils::tempdir();
my $sink = HttpSink->new;
my $smtp = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5, Blocking => 0) or die $@;
my (@daemons, %talks, @mails);

END
{
	my $status = $?;

	$_->kill_kill(grace => 5) for @daemons;
	diag(map { slurp_file($_) } glob "$home/*.log") if $status && defined $home;
	$? = $status;
}

sub free_port
{
	return PostgreSQL::Test::Cluster::get_free_port();
}

sub start_daemon
{
	my ($name, @command) = @_;

	push @daemons, IPC::Run::start(\@command, '<', '/dev/null', '&>', "$home/$name.log");
	return;
}

# Write a copy of a file in docker/prometheus with replacements, each of which must be needed.
sub configure
{
	my ($name, %replacements) = @_;
	my $text = slurp_file("docker/prometheus/$name");

	for my $old (sort keys %replacements)
	{
		cmp_ok($text =~ s/$old/$replacements{$old}/g, '>=', 1, "$name has $old");
	}
	append_to_file("$home/$name", $text);
	return "$home/$name";
}

# A mail server: answers what is waiting, and collects the mails.
sub serve_mail
{
	my $select = IO::Select->new($smtp, map { $_->{socket} } values %talks);

	for my $socket ($select->can_read(0))
	{
		if ($socket == $smtp)
		{
			my $new = $socket->accept or next;

			$talks{$new} = { socket => $new, read => '', data => undef };
			syswrite $new, "220 sink ESMTP\r\n";
			next;
		}
		my $talk = $talks{$socket};

		if (!sysread $socket, $talk->{read}, 65536, length $talk->{read})
		{
			delete $talks{$socket};
			next;
		}
		while ($talk->{read} =~ s/^(.*?)\r?\n//)
		{
			my $line = $1;

			if (defined $talk->{data})
			{
				$talk->{data} .= "$line\n", next unless $line eq '.';
				push @mails, $talk->{data};
				$talk->{data} = undef;
				syswrite $socket, "250 taken\r\n";
			}
			elsif ($line =~ /^DATA/i)
			{
				$talk->{data} = '';
				syswrite $socket, "354 go on\r\n";
			}
			else
			{
				syswrite $socket, $line =~ /^QUIT/i ? "221 bye\r\n" : "250 ok\r\n";
			}
		}
	}
	return;
}

my $out;
ok(IPC::Run::run([ qw(amtool check-config docker/prometheus/alertmanager.yml) ], '&>', \$out),
	'amtool finds nothing wrong with the configuration') or diag($out);

# Which alert goes where.
my %routes = (critical => 'mail and webhook', warning => 'mail and webhook', info => 'webhook');
for my $severity (sort keys %routes)
{
	IPC::Run::run([ qw(amtool config routes test --config.file=docker/prometheus/alertmanager.yml),
		"severity=$severity" ], '>', \$out);
	is($out =~ s/\s+$//r, $routes{$severity}, "$severity goes to: $routes{$severity}");
}

# Nothing listens where Prometheus looks for the exporter, so alert MnistHilDown fires.
my ($exporter, $alertmanager, $prometheus) = map { '127.0.0.1:' . free_port() } 1 .. 3;
append_to_file("$home/webhook_url", $sink->url('/hook/secret'));
configure('alerts.yml', 'for: \d+\w' => 'for: 1s');
my $config = configure('alertmanager.yml', '/etc/alertmanager/secrets/webhook_url\n' => "$home/webhook_url\n",
	'localhost:25\b' => '127.0.0.1:' . $smtp->sockport);
start_daemon('alertmanager', 'prometheus-alertmanager', "--config.file=$config", "--storage.path=$home/alertmanager",
	"--web.listen-address=$alertmanager", '--cluster.listen-address=');
$config = configure('prometheus.yml', 'exporter:9187' => $exporter, 'alertmanager:9093' => $alertmanager,
	'15s' => '1s');
start_daemon('prometheus', 'prometheus', "--config.file=$config", "--storage.tsdb.path=$home/tsdb",
	"--web.listen-address=$prometheus");
wait_until('webhook and mail have arrived', sub { $sink->step; serve_mail(); $sink->requests && @mails });

my ($request) = $sink->requests;
is("$request->{method} $request->{path}", 'POST /hook/secret', 'the webhook gets a POST');
my ($attachment) = @{ decode_json($request->{body})->{attachments} };
is($attachment->{title}, 'firing: critical', 'with a title');
like($attachment->{text}, qr/^\*MnistHilDown\* There are no figures of mnist_hil\. The exporter or the database/,
	'and with the alert');
my ($mail) = map { decode_qp($_) } @mails;
like($mail, qr/^Subject: \[mnist_hil\] firing: MnistHilDown\s*$/m, 'the mail has a subject');
like($mail, qr/^From: mnist_hil\@localhost\s*$/m, 'a sender');
like($mail, qr/^To: root\@localhost\s*$/m, 'an address');
like($mail, qr/There are no figures of mnist_hil\./, 'and the alert');

done_testing();
