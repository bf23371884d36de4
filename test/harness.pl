# harness.pl [-j JOBS] LIST LOGS TOTALS: run tests, JOBS at a time (default 1), with TAP::Harness, as prove does.
#
# Each line of the file LIST is a test's name, a tab, and the command that runs it and prints TAP.  When a test ends, a
# line is printed: whether it passed, how long it took, and how many tests have ended.  A test whose name ends in "*" is
# a suite: each of its results is printed as soon as it is known.  The output of a test is written to the file of its
# name in LOGS.  If the test fails, the end of its output is also printed.  At the end the numbers of results that
# passed, failed and were skipped are written to TOTALS.
use strict;
use warnings;

use Getopt::Long;
use TAP::Harness;
use Time::HiRes qw(time);

my $jobs = 1;
GetOptions('j=i' => \$jobs) && @ARGV == 3 or die "usage: harness.pl [-j JOBS] LIST LOGS TOTALS\n";
my ($list, $logs, $totals) = @ARGV;

open my $tests, '<', $list or die "$list: $!";
chomp(my @lines = <$tests>);
my @names = map { (split /\t/)[0] } @lines;
my %command = map { split /\t/, $_, 2 } @lines;
my ($passed, $failed, $skipped, $ended) = (0, 0, 0, 0);
my (%output, %skipped);

$| = 1;
my $harness = TAP::Harness->new({
	jobs => $jobs,
	verbosity => -3,
	merge => 1,
	exec => sub { return [ 'bash', '-c', $command{ $_[1] } ] },
});

# When a test begins: keep its output.
$harness->callback(made_parser => sub {
	my ($parser, $job) = @_;
	my $name = $job->[0];
	my $suite = $name =~ s/\*$//;
	(my $file = $name) =~ s!/!_!g;
	my $before = time;

	open my $log, '>', "$logs/$file.log" or die "$logs/$file.log: $!";
	$log->autoflush(1);
	$parser->callback(ALL => sub {
		my ($result) = @_;

		print $log $result->raw, "\n";
		push @{ $output{ $job->[0] } }, $result->raw unless $result->is_test && $result->is_actual_ok;
		return unless $result->is_test;
		push @{ $skipped{ $job->[0] } }, $result->explanation if $result->has_skip;
		return unless $suite;
		printf "%-36s %-12s %6.1f s\n", "$name: " . ($result->description =~ s/^- //r),
			$result->is_ok ? 'ok' : 'FAILED', time - $before;
		$before = time;
	});
});

# When a test has ended: count and print its results.
$harness->callback(after_test => sub {
	my ($job, $parser) = @_;
	(my $name = $job->[0]) =~ s/\*$//;
	my $skips = $parser->skipped;
	my $oks = $parser->passed - $skips;
	my $bads = $parser->failed;
	my @reasons = ($parser->skip_all || (), @{ $skipped{ $job->[0] } || [] });

	# A test that exits with an error, or without all the results that it announced, has failed.
	$bads++ if !$bads && ($parser->wait || $parser->parse_errors);
	$skips++ if $parser->skip_all;
	$passed += $oks;
	$failed += $bads;
	$skipped += $skips;
	$ended++;
	printf "%-36s %-12s %6.1f s   %d of %d, %d passed, %d failed\n", $name,
		$bads ? "$bads FAILED" : $parser->skip_all ? 'skipped' : "$oks passed", $parser->end_time - $parser->start_time,
		$ended, scalar @names, $passed, $failed;
	print map { "    skipped: $_\n" } @reasons;
	return unless $bads;
	# The failed results, and the end of the rest of the output.
	my @shown = @{ $output{ $job->[0] } || [] };
	@shown = ((grep { /^not ok/ } splice @shown, 0, @shown - 120), @shown) if @shown > 120;
	push @shown, $parser->parse_errors, ('wait status ' . $parser->wait) x !!$parser->wait;
	print map { "    $_\n" } @shown;
});

$harness->runtests(@names);
open my $out, '>', $totals or die "$totals: $!";
print $out "$passed $failed $skipped\n";
