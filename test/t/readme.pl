# The READMEs: their statements work in the order given, the names in them exist, and their tables are complete.
#
# The SQL blocks of a README are run one after the other in one session of psql, as if they were pasted.  The current
# directory is one that psql may write to.  The server is configured as README.md says.
use strict;
use warnings;

use Cwd;
use Encode qw(decode);
use IO::Compress::Gzip qw(gzip $GzipError);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use TestWait qw(wait_until);

my @paths = qw(README.md sql/README.md src/README.md test/README.md docker/README.md);
my %text = map { $_ => slurp_file($_) } @paths, 'CHANGELOG.md';
my $pg_cron = -e "$ENV{share_contrib_dir}/extension/pg_cron.control";

# ---- reading the files

# The text from one heading of level two to the next.
sub section
{
	my ($path, $title) = @_;

	$text{$path} =~ /^## \Q$title\E\n(.*?)(?=^## |\z)/ms or die "$path has no section \"$title\"";
	return $1;
}

# The code blocks of a language, each with the number of its first line.
sub blocks
{
	my ($path, $language) = @_;
	my @blocks;

	while ($text{$path} =~ /^```$language\n(.*?)^```$/msg)
	{
		my $code = $1;
		my $line = 1 + (substr($text{$path}, 0, $-[1]) =~ tr/\n//);

		push @blocks, { path => $path, line => $line, code => $code };
	}
	return @blocks;
}

# The code spans of a text, without its code blocks.
sub spans
{
	my ($text) = @_;

	$text =~ s/^```.*?^```$//msg;
	return $text =~ /`([^`]+)`/g;
}

# The rows of the tables in a section, as lists of cells.
sub rows
{
	my ($path, $title) = @_;
	my @rows = grep { /^\|/ && !/^\|[-|]+$/ } split /\n/, section($path, $title);

	return map { [ map { s/^\s+|\s+$//gr } (split /(?<!\\)\|/, $_, -1)[ 1 .. tr/|// - 1 ] ] } @rows;
}

# ---- form and links

cmp_ok($text{'README.md'} =~ tr/\n//, '<=', 300, 'README.md has 300 lines at most');

# The files of the repository.  test/run copies only some of them, and writes a list of all of them.
my %files = map { chomp; $_ => 1 } -e '.repository' ? split(/^/m, slurp_file('.repository')) : ();

sub in_repository
{
	my ($file) = @_;

	$file =~ s!/$!!;
	return -e $file || $files{"./$file"};
}

# The anchors of a page, as GitHub makes them.
sub anchors
{
	my ($text) = @_;

	$text =~ s/^```.*?^```$//msg;
	return map { my $a = lc; $a =~ s/[^\w\- ]//g; $a =~ tr/ /-/; $a => 1 } $text =~ /^#+ (.*)$/mg;
}

for my $path (@paths)
{
	my ($directory) = $path =~ m!^(.*/)?!;
	my @long = grep { length(decode('UTF-8', $_)) > 120 && !/^\|/ } split /\n/, $text{$path};
	is(join("\n", @long), '', "$path: lines have 120 columns at most");

	for my $link ($text{$path} =~ /\]\(([^)\s]+)\)/g)
	{
		next if $link =~ /^https?:/;
		my ($file, $anchor) = split /#/, $link, 2;
		my $target = $file eq '' ? $path : ($directory // '') . $file;

		1 while $target =~ s!(^|/)(?\!\.\.)[^/]+/\.\./!$1!;
		ok(in_repository($target), "$path: link $link");
		next unless defined $anchor && $text{$target};
		my %anchors = anchors($text{$target});
		ok($anchors{$anchor}, "$path: the section of link $link");
	}

	# Files and commands.
	my %named = map { $_ => 1 } grep { /^(?:src|sql|test|docker|expected|\.ci)\/[\w.\/-]+$/ } spans($text{$path});
	ok(in_repository($_), "$path: $_ exists") for sort keys %named;
	my %targets = map { $_ => 1 } $text{$path} =~ /(?:`|^|&& |sudo )make ([a-z][a-z-]*)/mg;
	like(slurp_file('Makefile'), qr/^$_:/m, "$path: make $_ is a command") for sort keys %targets;
}

# The rooms of src and their arrows, as the Makefile has them.
{
	my ($arrows) = slurp_file('Makefile') =~ /^LIBRARY_ARROWS = \\\n(.*?)^\n/ms;
	my %makefile = map { my ($room, $uses) = split /:/; $room => $uses // '' } $arrows =~ /^\t(\S+)/mg;
	my %documented;

	for (rows('src/README.md', 'The rooms'))
	{
		my ($room) = $_->[0] =~ /^`src\/([\w\/]+)\/`$/ or next;

		$documented{$room} = join ',', $_->[1] =~ /`([\w\/]+)`/g;
	}
	is_deeply(\%documented, \%makefile, 'src/README.md has every room and what it may use, as the Makefile does');
}

# ---- a server, configured as README.md says

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
my ($conf) = section('README.md', 'Install') =~ /conf\.d\/\S+ <<'END'\n(.*?)^END$/ms;
$conf =~ s/,pg_cron// unless $pg_cron;
$node->append_conf('postgresql.conf', $conf =~ s/(cron\.database_name = )'app'/$1'postgres'/r);
$node->start;

my $here = getcwd();
my $directory = PostgreSQL::Test::Utils::tempdir();
my %roles = map { $_ => 1 } qw(application annotator trainer observer monitor notifier);

# Run SQL as psql -At does, in a directory that psql may write to; returns what it printed.
sub run_sql
{
	my ($database, $sql, $what, $server) = @_;
	my ($out, $err);

	chdir $directory or die;
	my $result = ($server // $node)->psql($database, $sql, on_error_stop => 1, stdout => \$out, stderr => \$err);
	chdir $here or die;
	is($result, 0, $what) or diag("$out\n$err");
	return $out;
}

# The statements that do not need pg_cron.
sub without_pg_cron
{
	my ($sql) = @_;

	return join '', grep { !/\bcron\.|\bpg_cron\b|\bmnist_(?:un)?schedule\(/ } $sql =~ /(.+?(?:;[^\n]*\n|\z))/gs;
}

# The roles get the prefix regress_, because the user who runs the tests may have any other name.
sub regress_roles
{
	my ($sql) = @_;

	$sql =~ s/\b(TO |ROLE |mnist_grant\('\w+', ')(\w+)/$1 . ($roles{$2} ? "regress_$2" : $2)/ge;
	return $sql;
}

# Run blocks in one session; returns what each of them printed.
sub run_blocks
{
	my ($database, @blocks) = @_;
	my ($script, @outputs) = ('');

	my $run = sub {
		my $out = run_sql($database, $script, "$blocks[0]{path}: the statements up to line $_[0]{line}");

		push @outputs, map { s/^.*\n//r } $out =~ /^(BLOCK .*?)(?=^BLOCK |\z)/msg;
		$script = '';
		return;
	};
	for my $block (@blocks)
	{
		my $sql = $block->{code};

		$sql = regress_roles($sql);
		$sql =~ s!/data/mnist!$directory!g;
		$sql = without_pg_cron($sql) unless $pg_cron;
		$script .= "\\echo BLOCK $block->{line}\n$sql";
	}
	$run->($blocks[-1]) if $script;
	return @outputs;
}

# pg_cron runs a job at the beginning of a minute.  It can miss that the job exists; a reload of the configuration makes
# it read its table again, as docker/README.md says.
sub wait_for_job
{
	my ($server, $database) = @_;
	my $polls = 0;

	wait_until('the job has run', sub {
		$server->safe_psql($database, 'SELECT pg_reload_conf()') if ++$polls % 4000 == 0;
		return $server->safe_psql($database, 'SELECT last_check_status FROM mnist_status') ne '';
	});
	return;
}

# ---- README.md: the session at its beginning; what differs between machines is ignored

my ($session) = section('README.md', 'What it looks like') =~ /^```\n\$ psql[^\n]*\n(.*?)^```$/ms;
my $statements = join "\n", $session =~ /^app=# (.*)$/mg;
(my $shown = $session) =~ s/^app=# .*\n//mg;

# Remove what differs between machines: fractional numbers, figures of a verdict, and the widths of columns.
sub comparable
{
	my ($text) = @_;

	$text =~ s/\d+\.\d+/#/g;
	$text =~ s/promoted: .*/promoted: #/g;
	$text =~ s/-+/-/g;
	$text =~ s/ +/ /g;
	return join "\n", map { s/^\s+|\s+$//gr } grep { /\S/ } split /\n/, $text;
}

$node->safe_psql('postgres', 'CREATE DATABASE app');
my $printed = run_sql('app', join("\n", '\pset format aligned', '\pset tuples_only off', '\pset footer off',
		'\set QUIET off', $statements), 'README.md: the session');
is(comparable($printed), comparable($shown), '... prints what it shows');

# ---- README.md, Install: on a server of its own; test/install does all of it on Debian's default cluster

my @blocks = blocks('README.md', 'sql');
my $install = shift @blocks;
my $fresh = PostgreSQL::Test::Cluster->new('install');
if ($pg_cron)
{
	$fresh->init;
	$fresh->append_conf('postgresql.conf', $conf);
	$fresh->start;
	$fresh->safe_psql('postgres', 'CREATE DATABASE app');
	run_sql('app', regress_roles($install->{code}), 'README.md: Install, until a job is scheduled', $fresh);
}

# ---- README.md, block by block, up to the one that waits for a job of pg_cron

my @first;
push @first, shift @blocks while @blocks && $blocks[0]{code} !~ /mnist_schedule/;
@first = run_blocks('postgres', @first);
ok(-s "$directory/digit.png", 'the image was written to a file');
like($first[1], qr/^\d+\|7\|/m, 'the drawn 7 is predicted as one');
like($first[2], qr/^ +[.:=+*#%@-]+/m, 'the image is shown as the network got it');
is(scalar(() = $first[2] =~ /^\d\|/mg), 10, 'the failure counts have ten rows');
like($first[4], qr/^promoted\|t\nverdict\|promoted: .*^version\|2\naction\|promote\n/ms,
	'the retrained model is live');
like($first[5], qr/^1\n1\|1\|install.*^2\|2\|promote.*^3\|1\|rollback\|seen enough/ms, 'and rolled back');

# ---- the reference, in a database of its own

# Files with the names and the format of MNIST's, but with drawn digits.
sub write_idx
{
	my ($name, $n, $seed) = @_;
	my @rows = split /\n/, $node->safe_psql('postgres', qq{
		SELECT n % 10 || ' ' || encode(mnist_preprocess(mnist_draw(n % 10, n + $seed)), 'hex')
		FROM generate_series(1, $n) AS n});
	my $images = pack('N4', 2051, $n, 28, 28) . join '', map { pack 'H*', (split / /)[1] } @rows;
	my $labels = pack('N2', 2049, $n) . join '', map { pack 'C', (split / /)[0] } @rows;

	gzip(\$images => "$directory/$name-images-idx3-ubyte.gz") or die $GzipError;
	gzip(\$labels => "$directory/$name-labels-idx1-ubyte.gz") or die $GzipError;
	return;
}
write_idx('train', 1200, 0);
write_idx('t10k', 100, 5000);

$node->safe_psql('postgres', 'CREATE DATABASE sql');
# Runs train for one epoch unless the call says otherwise.
$node->safe_psql('postgres', 'ALTER DATABASE sql SET mnist_hil.epochs = 1');
my ($create, @reference) = blocks('sql/README.md', 'sql');
run_blocks('sql', $create);
# A small live model, which is quick to fine-tune.
$node->safe_psql('sql', q{
	SELECT mnist_import_synthetic('fast', 600);
	SELECT mnist_activate(model_version) FROM mnist_retrain('from_scratch', '{softmax}', seed => 1, promote => false);
	SELECT mnist_drop_dataset('fast')});
run_blocks('sql', @reference);
for my $file (qw(four.png nine.png digits.onnx digits.safetensors report.html drift.html))
{
	ok(-s "$directory/$file", "$file was written");
}
is($node->safe_psql('sql', q{SELECT string_agg(action, ' ' ORDER BY id) FROM mnist_challenger}),
	'challenge challenge drop challenge promote', 'challenges began, were dropped and promoted');
is($node->safe_psql('sql', q{
		SELECT count(*) FROM mnist_trial t JOIN mnist_run r ON r.id = t.run_id WHERE r.resumes > 0}),
	'8', 'a search was resumed');
like($node->safe_psql('sql', q{SELECT verdict FROM mnist_run WHERE reproduces > 0}), qr/same weights/,
	'a run was reproduced');

# ---- the rest of README.md, and the other READMEs, in the same database

$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron') if $pg_cron;
my @last = run_blocks('postgres', @blocks);
if ($pg_cron)
{
	wait_for_job($fresh, 'app');
	my ($query) = section('README.md', 'Install') =~ /`(SELECT last_check,[^`]*)`/;
	my $done = run_sql('app', "SET ROLE regress_trainer;\n$query", 'README.md: Install, when the job has run', $fresh);

	like($done, qr/^20\S+ \S+\|succeeded$/m, 'the job has run where README.md says how to install');
	is($fresh->safe_psql('app', 'SELECT DISTINCT username FROM cron.job_run_details'), 'regress_trainer',
		'... as the trainer');
	$fresh->stop;
}
like(join("\n", @last), qr/^new_labels\|.*\|model_promoted\|/ms, 'the loop retrains, and there is an event');
is($node->psql('postgres', 'SET ROLE regress_application; SELECT id FROM mnist_predict(mnist_draw(3))'), 0,
	'an application with its grants can predict');
is($node->psql('postgres', 'SET ROLE regress_annotator; SELECT mnist_correct(1, 7)'), 0, 'an annotator can correct');
isnt($node->psql('postgres', 'SET ROLE regress_annotator; SELECT mnist_rollback()'), 0, 'and not switch models');
run_blocks('postgres', map { blocks($_, 'sql') } qw(src/README.md test/README.md docker/README.md));

# ---- the names and lists in the READMEs

# The statements run in databases that have the extension in schema public.
sub ask
{
	return $node->safe_psql('postgres', $_[0]);
}

my $members = q{
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'mnist_hil' AND d.deptype = 'e'};

# Functions: all of them, with their arguments.
my %functions = map { /^(\w+)\t(.*)$/ } split /\n/, ask(qq{
	SELECT p.proname || E'\\t' || (
		SELECT coalesce(string_agg(replace(a.text, 'INOUT ', ''), ', ' ORDER BY a.place), '')
		FROM regexp_split_to_table(pg_get_function_arguments(p.oid), ', ') WITH ORDINALITY AS a (text, place)
		WHERE a.text NOT LIKE 'OUT %')
	$members
	JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND p.pronamespace = e.extnamespace});
my %documented;
for (rows('sql/README.md', 'Functions'))
{
	my ($name, $arguments) = $_->[0] =~ /^`(\w+)\((.*)\)`$/ or next;

	$arguments =~ s/\bint\b/integer/g;
	$documented{$name} = $arguments;
}
for my $name (keys %functions)
{
	$functions{$name} =~ s/::\w+(?:\[\])?//g;
	$functions{$name} =~ s/ without time zone//g;
	$functions{$name} =~ s/\(mnist_internal\.settings\(\)\)\.keep_models/mnist_hil.keep_models/;
}
is_deeply(\%documented, \%functions, 'sql/README.md has every function and its arguments');

# Tables and views: all of them, with columns that exist.
my %relations = map { $_ => 1 } split /\n/, ask(qq{
	SELECT c.relname $members JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
		AND c.relnamespace = e.extnamespace AND c.relkind IN ('r', 'v')});
my %columns = map { $_ => 1 } split /\n/, ask(q{
	SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped});
my %listed;
for (rows('sql/README.md', 'Tables and views'))
{
	my ($name) = $_->[0] =~ /^`(\w+)`$/ or next;

	$listed{$name} = 1;
	is(join(' ', grep { !$columns{"$name.$_"} } $_->[3] =~ /`(\w+)`/g), '', "sql/README.md: the columns of $name");
}
is_deeply(\%listed, \%relations, 'sql/README.md has every table and view');

# The kinds of events: the constants that functions pass in the argument before the message.
my %kinds = map { $_ => 1 } map { $_->[0] =~ /`(\w+)`/g } rows('sql/README.md', 'Events');
my %noted;
my $definitions = ask(qq{
	SELECT pg_get_functiondef(p.oid) $members JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		AND p.prokind IN ('f', 'p')});
while ($definitions =~ /mnist_internal\.(?:event|note_state)\(((?:(?!\$function\$|;).)*?)\bformat\(/sg)
{
	my $argument = $1;

	$noted{$_} = 1 for $argument =~ /(?:\A|\bTHEN|\bELSE|,)\s*'([a-z_]+)'/g;
}
cmp_ok(scalar keys %noted, '>=', 16, 'functions note events');
is_deeply(\%kinds, \%noted, 'sql/README.md has every kind of event');

# The settings: all of them, each with its default and who may set it.
my %settings;
for (rows('sql/README.md', 'Settings'))
{
	my ($name) = $_->[0] =~ /^`(mnist_hil\.\w+)`$/ or next;

	$settings{$name} = { default => $_->[3], who => $_->[4] };
}
my %who = (postmaster => 'server start', superuser => 'superuser', user => 'anybody', sighup => 'reload');
my %known;
for my $row (split /\n/, ask(q{SELECT name, boot_val, current_setting(name), context FROM pg_settings
		WHERE name LIKE 'mnist\_hil.%' ORDER BY name}))
{
	my ($name, undef, $value, $context) = split /\|/, $row;

	$known{$name} = 1;
	is($settings{$name}{default} =~ s/ //gr, $value, "sql/README.md: the default of $name");
	like($settings{$name}{who}, qr/^\Q$who{$context}\E/, "... and who may set it");
}
is(join(' ', sort keys %settings), join(' ', sort keys %known), 'sql/README.md has every setting');

# Errors: each message is in the library or in the install script; "N" and "..." stand for any text.
my ($version) = slurp_file('mnist_hil.control') =~ /^default_version = '(.*)'/m;
my $library = ask("SELECT setting || '/mnist_hil.so' FROM pg_config WHERE name = 'PKGLIBDIR'");
my $sources = slurp_file($library) . slurp_file("$ENV{share_contrib_dir}/extension/mnist_hil--$version.sql");
for (rows('sql/README.md', 'Errors'))
{
	my ($state, $messages, $what_to_do) = @$_;

	next unless $state =~ /^[0-9A-Z]{5}$/ && $state !~ /^(?:42501|58P01)$/;
	# An error that only some PostgreSQL versions raise is not compiled for the others.
	next if $what_to_do =~ /^On PostgreSQL 15 and 16/ && ask('SHOW server_version_num') >= 170000;
	for my $message ($messages =~ /`([^`]+)`/g)
	{
		my $pattern = join '[^\n]{0,40}?', map { quotemeta } split /"?\.\.\."?|\bN\b/, $message, -1;

		ok($sources =~ $pattern, "sql/README.md: error \"$message\"");
	}
}

# Every other name of ours in any README.
my %internals = map { $_ => 1 } split /\n/, ask(q{
	SELECT proname FROM pg_proc WHERE pronamespace = 'mnist_internal'::regnamespace
	UNION SELECT relname FROM pg_class WHERE relnamespace = 'mnist_internal'::regnamespace});
for my $path (@paths)
{
	my %names = map { $_ => 1 }
		$text{$path} =~ /(?<![\w\/])(mnist_[a-z_]+(?:\.(?!sql\b|so\b|c\b|pl\b|json\b|control\b)[a-z_]+)?)/g;

	for my $name (sort keys %names)
	{
		my ($first, $second) = split /\./, $name;

		next if $first =~ /^mnist_(?:hil|hil_notify|exporter|app|annotator|trainer|observer|monitor|history)$/
			&& !defined $second;
		next if $first =~ /_$/ || $name eq 'mnist_internal';
		ok($first eq 'mnist_hil' ? $known{$name}
			: $first eq 'mnist_internal' ? $internals{$second}
			: defined $second ? $columns{$name}
			: defined $functions{$first} || $relations{$first}, "$path: there is $name");
	}
}

$node->stop;

done_testing();
