# Waiting in tests: until something is so, with a deadline that is a failure.
package TestWait;

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(wait_until wait_for wait_for_restart);

# Look again and again until a piece of code gives something true, which is returned; die after timeout_default seconds
# (180, or PG_TEST_TIMEOUT_DEFAULT).
sub wait_until
{
	my ($what, $look) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	while (time < $deadline)
	{
		my $result = $look->();

		return $result if $result;
		sleep 0.02;
	}
	croak "timed out waiting: $what";
}

# Wait until a query gives a value, whether or not the server answers meanwhile.  Returns how many seconds that took:
# until the look that saw it began, as a look itself takes as long as the machine is busy.
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

# Wait until the server has noticed that one of its processes was killed, and has started again.  $offset: the size of
# its log before the kill.
sub wait_for_restart
{
	my ($node, $offset) = @_;

	$node->wait_for_log(qr/reinitializing.*database system is ready to accept connections/s, $offset);
	return;
}

1;
