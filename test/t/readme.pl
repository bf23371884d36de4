# The README: what it says to paste works, in that order, and what it says of settings and names is so.
use strict;
use warnings;

use Cwd;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file('README.md');

# The text from one heading to the next of the same level.
sub section
{
	my ($title) = @_;

	$readme =~ /^## \Q$title\E\n(.*?)(?=^## |\z)/ms or die "the README has no section \"$title\"";
	return $1;
}

sub sql_blocks
{
	my ($text) = @_;
	my @blocks = $text =~ /^```sql\n(.*?)^```$/msg;

	return @blocks;
}

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'");
$node->start;

# First use, block by block in one session, in a directory where files may be written.
my @first_use = sql_blocks(section('First use'));
cmp_ok(scalar @first_use, '>=', 6, 'first use has its blocks');
my $directory = PostgreSQL::Test::Utils::tempdir();
my $here = getcwd();
my ($out, $err);
chdir $directory or die;
my $result = $node->psql('postgres', join('', map { "\\echo == block\n$_" } @first_use),
	on_error_stop => 1, stdout => \$out, stderr => \$err);
chdir $here or die;
is($result, 0, 'first use runs through') or diag($out, $err);
my @shown = split /^== block\n/m, $out;
shift @shown;
ok(-s "$directory/digit.png", 'the picture was written to a file');
like($shown[1], qr/^\d+\|7\|/m, 'the picture of a 7 is read as one');
like($shown[2], qr/\S/, 'what the network saw is shown');
is(scalar(() = $shown[3] =~ /^\d\|/mg), 10, 'the failure counts have ten rows');
like($shown[4], qr/^6000$/m, 'base data are drawn');
like($shown[5], qr/^\d+\|2\|[tf]\|\S/m, 'a retraining makes version 2 and says why it went live or not');
is($node->safe_psql('postgres', 'SELECT version FROM mnist_live'), '1', 'the rollback went back to version 1');
is($node->safe_psql('postgres', "SELECT count(*) FROM mnist_deployment WHERE action = 'rollback' AND version = 1"),
	'1', 'and is on record');

# The grants, to roles whose names cannot be that of the user who runs the tests.
my ($grants) = sql_blocks(section('Who may do what'));
$grants =~ s/\bTO (\w+);/TO regress_$1;/g;
my %roles = map { $_ => 1 } $grants =~ /\b(regress_\w+)/g;
$node->safe_psql('postgres', "CREATE ROLE $_") for sort keys %roles;
is($node->psql('postgres', $grants, on_error_stop => 1, stderr => \$err), 0, 'the grants can be made') or diag($err);
is($node->psql('postgres', "SET ROLE regress_application; SELECT id FROM mnist_predict(mnist_draw(3))", on_error_stop => 1,
		stderr => \$err), 0, 'an application with its grants can predict') or diag($err);
is($node->psql('postgres', "SET ROLE regress_annotator; SELECT mnist_correct(1, 7)", on_error_stop => 1, stderr => \$err), 0,
	'an annotator can correct') or diag($err);
isnt($node->psql('postgres', "SET ROLE regress_annotator; SELECT mnist_rollback()", on_error_stop => 1), 0,
	'and not switch models');

# Trying a model out, up to where it goes live: one that has gone live cannot be dropped as well.
my ($trying) = sql_blocks(section('Trying a model out'));
$trying =~ s/^SELECT mnist_challenge_drop\(.*\n//m or die;
is($node->psql('postgres', $trying, on_error_stop => 1, stderr => \$err), 0, 'a model can be tried out') or diag($err);
is($node->safe_psql('postgres', 'SELECT version, action FROM mnist_live'), '2|promote', 'and goes live');

# The loop: without pg_cron, which test/t/loop.pl has.
my ($deciding, $listening) = sql_blocks(section('The loop'));
$deciding =~ s/^SELECT mnist_(un)?schedule\(.*\n//mg;
like($node->safe_psql('postgres', $deciding), qr/^[tf]\|.*^new_labels\|/ms, 'the loop decides');
like($node->safe_psql('postgres', $listening), qr/\|model_/, 'and events tell');

# The kinds of events: those that the README lists are those that functions note, which is to say the constants in the
# argument before the message.
my ($events) = section('The loop') =~ /^\*\*Events\.\*\* (.*?) What holds for a while/ms;
my %kinds = map { $_ => 1 } ($events // '') =~ /`([a-z]+_[a-z_]+|drift)`/g;
delete $kinds{mnist_event};
my %noted;
my $functions = $node->safe_psql('postgres', q{
	SELECT pg_get_functiondef(p.oid)
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'mnist_hil'
	WHERE p.prokind IN ('f', 'p')});
while ($functions =~ /mnist_internal\.(?:event|note_state)\(((?:(?!\$function\$|;).)*?)\bformat\(/sg)
{
	my $argument = $1;

	$noted{$_} = 1 for $argument =~ /(?:\A|\bTHEN|\bELSE)\s*'([a-z_]+)'/g;
}
cmp_ok(scalar keys %noted, '>=', 16, 'functions note events');
is(join(' ', sort keys %kinds), join(' ', sort keys %noted), 'the README lists every kind of event, and no other');

# Looking at runs and trials; the searches themselves, which take their time, are tried in test/sql/search.sql.
my (undef, $looking) = sql_blocks(section('Searching hyperparameters and architectures'));
$node->safe_psql('postgres', "SELECT mnist_retrain('from_scratch', '{softmax,mlp}', trials => 3, epochs => 1, promote => false)");
is($node->psql('postgres', $looking, on_error_stop => 1, stdout => \$out, stderr => \$err), 0, 'runs and trials can be looked at')
	or diag($err);
like($out, qr/^3\|(succeeded|pruned)\|.*^\d+\|(softmax|mlp)\|.*^loss of run \d+/ms, 'and are there');

# The settings: all of them, with what the server says of each.
my %documented;
for my $line (split /\n/, section('Settings'))
{
	next unless $line =~ /^\|\s*`(mnist_hil\.\w+)`\s*\|\s*([^|]*?)\s*\|\s*([^|]*?)\s*\|\s*([^|]*?)\s*\|\s*([^|]*?)\s*\|$/;
	$documented{$1} = { default => $4, who => $5 };
}
for my $row (split /\n/, $node->safe_psql('postgres',
		"SELECT name, current_setting(name), context FROM pg_settings WHERE name LIKE 'mnist_hil.%' ORDER BY name"))
{
	my ($name, $value, $context) = split /\|/, $row;
	my $setting = delete $documented{$name};
	my $who = { postmaster => 'server start', superuser => 'superuser', user => 'anybody', sighup => 'reload' };

	if (!ok($setting, "the README has $name"))
	{
		next;
	}
	(my $default = $setting->{default}) =~ s/ //g;
	is($default, $value, "... its default");
	like($setting->{who}, qr/^\Q$who->{$context}\E/, "... and who may set it");
}
is(join(' ', sort keys %documented), '', 'the README has no setting that there is not');

# Every mnist_name that the README puts in code is a function, table, view or data set of its examples.
my %names = map { $_ => 1 } $readme =~ /`[^`\n]*?\b(mnist_[a-z_]+)\b(?!\.)[^`\n]*`/g;
delete $names{$_} for qw(mnist_hil mnist_internal);
for my $name (sort keys %names)
{
	is($node->safe_psql('postgres', "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = '$name')
			OR to_regclass('$name') IS NOT NULL"), 't', "there is $name") unless $name =~ /_$/;
}

done_testing();
