# The demo, with little data: it ends with the loop, and its output fits into a terminal.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir() . '/demo';
my $pg_cron = -e "$ENV{share_contrib_dir}/extension/pg_cron.control";

$ENV{DEMO_DIR} = $directory;
$ENV{DEMO_INSTALLED} = 1;
$ENV{DEMO_FAST} = 1;
$ENV{MNIST_DIR} = 'none';

# Run a script of the demo: its exit status is 0 if it succeeds, and its output.
sub demo
{
	my ($script) = @_;
	my $output = '';

	IPC::Run::run([ "test/demo/$script" ], '<', \undef, '>', \$output, '2>&1');
	return ($? >> 8, $output);
}

END
{
	my $status = $?;

	demo('stop');
	$? = $status;
}

# ---- a directory that is not the demo's

mkdir $directory or die;
my ($status, $output) = demo('run');
isnt($status, 0, 'a directory that is not of an earlier demo is refused');
like($output, qr/exists and is not the demo's; set DEMO_DIR/, '... with a message');
ok(-d $directory, '... and not deleted');

# ---- an earlier demo

open my $marker, '>', "$directory/this-is-the-mnist_hil-demo" or die;
close $marker;
($status, $output) = demo('run');
is($status, 0, 'the demo succeeds') or diag($output);
like($output, qr/^Deleting the earlier demo and its data: \Q$directory\E, made /m, '... and says what it deletes');
my @long = grep { length > 100 && !/\Q$directory\E/ } split /\n/, $output;
is(join("\n", @long), '', '... its lines have 100 columns at most');

SKIP:
{
	skip 'pg_cron is not installed', 2 unless $pg_cron;
	like($output, qr/mnist_schedule\(.*pg_cron runs the job .*The check began run 1/s, '... pg_cron begins the run');
	like($output, qr/CALL public\.mnist_housekeep\(\) +\| succeeded/, '... the record of its jobs is shown');
}
like($output, qr/run 1: \w/, '... the progress is shown');
like($output, qr/\| model_promoted +\| model version 2 .*trigger +\| check/s,
	'... the promotion by the check is shown');
like($output, qr/\| rollback +\| the demo shows it.*\| activate +\| the demo is over/s,
	'... and the switches by hand');

($status, $output) = demo('stop');
is($status, 0, 'the demo is stopped');
like($output, qr/^stopped; /, '... which it says');

done_testing();
