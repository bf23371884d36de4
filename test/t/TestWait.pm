# Waiting in tests until a condition is true; the test dies if it is not true in time.
package TestWait;

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(wait_until wait_for wait_for_restart);

# Call a piece of code again and again until it returns something true, and return that.  Die after timeout_default
# seconds (180, or PG_TEST_TIMEOUT_DEFAULT).
sub wait_until
{
	my ($what, $condition) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	while (time < $deadline)
	{
		my $result = $condition->();

		return $result if $result;
		sleep 0.02;
	}
	croak "timed out waiting: $what";
}

# Wait until a query gives a value.  The server need not answer in the meantime.  Returns the seconds until the last
# query was started; the time of the query itself does not count, because it varies on a busy machine.
sub wait_for
{
	my ($node, $database, $sql, $expected) = @_;
	my $start = time;
	my $began;

	wait_until("$sql gives $expected", sub {
		my $value;

		$began = time;
		$node->psql($database, $sql, stdout => \$value);
		return defined $value && $value eq $expected;
	});
	return $began - $start;
}

# Wait until the server has noticed that one of its processes was killed, and has restarted.  $offset is the size of the
# server's log before the kill.
sub wait_for_restart
{
	my ($node, $offset) = @_;

	$node->wait_for_log(qr/reinitializing.*database system is ready to accept connections/s, $offset);
	return;
}

1;
