# Random statements by sqlsmith over all objects of the extension: as a role with no grants, and as one with all of
# them.  No server process crashes, and no statement ends in an internal error.
#
# SQLSMITH_QUERIES is the number of statements that each role runs.  SQLSMITH_SEED gives another sequence of statements.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use TestRoles qw(grant_everything);

my $sqlsmith = (grep { -x } map { "$_/sqlsmith" } split /:/, $ENV{PATH})[0];
plan skip_all => 'sqlsmith is not installed' unless $sqlsmith;

my $queries = $ENV{SQLSMITH_QUERIES} // 1500;
my $seed = $ENV{SQLSMITH_SEED} // 1;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'mnist_hil'
max_worker_processes = 16
restart_after_crash = off
statement_timeout = 500ms
lock_timeout = 100ms
log_statement = none
log_line_prefix = '%p %e '
log_error_verbosity = verbose
log_min_messages = error
log_min_error_statement = error
mnist_hil.training_workers = 0
});
$node->start;

# Data of every kind, and the records of a run.
$node->safe_psql('postgres', q{
	SET statement_timeout = 0;
	SET lock_timeout = 0;
	CREATE EXTENSION mnist_hil;
	SELECT mnist_import_synthetic('drawn', 600);
	SELECT count(mnist_predict(mnist_draw(i % 10, i))) FROM generate_series(1, 100) AS i;
	SELECT count(mnist_correct(id, (label + (id % 4 = 0)::int) % 10)) FROM mnist_prediction WHERE id <= 50;
	SELECT mnist_retrain('from_scratch', '{softmax}', epochs => 1);
	SELECT mnist_challenge(2, 0.5, true);
	SELECT count(mnist_predict(mnist_draw(i % 10, i))) FROM generate_series(1, 20) AS i;
	SELECT length(mnist_report());
	CREATE ROLE regress_nobody LOGIN;
	CREATE ROLE regress_everything LOGIN;
} . grant_everything('regress_everything', 'regress_everything'));

for my $role (qw(regress_nobody regress_everything))
{
	my $from = -s $node->logfile;
	my ($out, $err) = ('', '');

	# A role that may read none of our relations needs the catalogs to build statements on.
	my @relations = $role eq 'regress_nobody' ? () : ('--exclude-catalog');
	IPC::Run::run([ $sqlsmith, @relations, "--max-queries=$queries", "--seed=$seed",
		'--target=' . $node->connstr('postgres') . " user=$role" ], '>', \$out, '2>', \$err,
			IPC::Run::timeout(60 + $queries));
	my $log = substr(slurp_file($node->logfile), $from);
	my %state;

	$state{$1}++ while $log =~ /^\d+ ([0-9A-Z]{5}) (?:ERROR|FATAL|PANIC):/mg;
	note("$role, seed $seed: " . join(', ', map { "$state{$_} of $_" } sort { $state{$b} <=> $state{$a} } keys %state));
	unlike($log, qr/TRAP:|was terminated by signal|PANIC:/, "$role: no server process crashes");
	is($node->safe_psql('postgres', 'SELECT 1'), '1', "$role: the server is up");

	my $failure = qr/(?:ERROR|FATAL|PANIC):/;
	my @internal = $log =~ /^\d+ XX\d\d\d $failure.*(?:\n(?!\d+ [0-9A-Z]{5} $failure).*)*/mg;
	# Known internal errors of PostgreSQL itself do not count.  They are errors of its parser, and of support functions
	# of its types: sqlsmith calls these with arguments that only the server should pass.
	my $of_server = qr/LOCATION:  \w+, (?:parse_\w+|timestamp|numeric)\.c/;
	my @known = grep { $_ =~ $of_server } @internal;

	note("$role: " . scalar(@known) . " internal errors of the server's own") if @known;
	@internal = grep { $_ !~ $of_server } @internal;
	is(scalar @internal, 0, "$role: no internal error") or diag(join "\n\n",
		@internal[0 .. ($#internal < 4 ? $#internal : 4)]);

	# Make sure that some statements reached the extension.
	cmp_ok($state{42501} // 0, '>', 0, "$role: privileges refuse something") if $role eq 'regress_nobody';
}
is($node->safe_psql('postgres', 'SELECT label FROM mnist_predict(mnist_draw(3))'), '3', 'predicting goes on');

done_testing();
