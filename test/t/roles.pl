# Least privilege: the statements of the README give exactly the privileges in its table "Who may do what".
#
# The test runs the README's statements.  Then each role calls every public function and reads every public table
# and view.  A call counts as refused if it ends in 42501, whether the function itself or something inside it is
# refused.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($section) = slurp_file('README.md') =~ /^## Who may do what\n(.*?)^## /ms or die 'the README has no such section';
my $grants = join '', slurp_file('README.md') =~ /^((?:CREATE ROLE|SELECT mnist_grant\().*;\n)/mg;
my ($head, @rows) = grep { /^\|/ } split /\n/, $section;
my (undef, @roles) = cells($head);
my %documented;

sub cells
{
	my ($line) = @_;

	$line =~ s/^\|\s*|\s*\|$//g;
	return split /\s*\|\s*/, $line, -1;
}

shift @rows; # the line under the head
for my $row (@rows)
{
	my ($names, @marks) = cells($row);

	for my $name ($names =~ /`(\w+)`/g)
	{
		ok(!exists $documented{$name}, "$name stands in the table once");
		$documented{$name} = { map { $roles[$_] => $marks[$_] // '' } 0 .. $#roles };
	}
}
is("@roles", 'application annotator trainer observer monitor notifier', 'the table has all roles');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION mnist_hil; SELECT mnist_predict(mnist_draw(3))');
$node->safe_psql('postgres', $grants);

# Every relation, and every public function and procedure with NULL for every argument: with these none of them changes
# anything.  Each NULL is a subquery: the planner would replace a strict function of a constant NULL by NULL, without
# calling it.
my $objects = q{
	SELECT p.proname::text AS name, format(CASE p.prokind WHEN 'p' THEN 'CALL %s(%s)' ELSE 'SELECT %s(%s)' END,
		p.oid::regproc, (
			SELECT string_agg(format('(SELECT NULL::%s)', format_type(a.type, NULL)), ', ' ORDER BY a.place)
			FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, place))) AS statement
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'mnist_hil' AND p.pronamespace = e.extnamespace
	UNION ALL
	SELECT c.relname, format('SELECT count(t) FROM %s AS t', c.oid::regclass)
	FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'mnist_hil' AND c.relnamespace = e.extnamespace
	WHERE c.relkind IN ('r', 'v', 'p')};
my @names = split /\n/, $node->safe_psql('postgres', "SELECT name FROM ($objects) o ORDER BY name COLLATE \"C\"");
is(join("\n", sort keys %documented), join("\n", @names), 'the table lists every public function, table and view');

for my $role (@roles)
{
	my $seen = $node->safe_psql('postgres', qq{
		CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS \$\$
		BEGIN
			EXECUTE statement;
			RETURN '00000';
		EXCEPTION WHEN OTHERS THEN
			RETURN SQLSTATE;
		END \$\$;
		CREATE TEMP TABLE object AS $objects;
		GRANT SELECT ON object TO $role;
		SET ROLE $role;
		SET client_min_messages = error;
		BEGIN;
		SELECT name, pg_temp.outcome(statement) FROM object ORDER BY name COLLATE "C"});
	my @different;

	for (split /\n/, $seen)
	{
		my ($name, $state) = split /\|/;
		my $allowed = ($documented{$name}{$role} // '') ne '';

		push @different, "$name: $state" if $allowed ? $state eq '42501' : $state ne '42501';
	}
	is(join(', ', @different), '', "$role may do what the table says, and no more");

	is($node->safe_psql('postgres', qq{
		SELECT string_agg(c.oid::regclass || ' ' || privilege, ', ')
		FROM pg_class c, unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege
		WHERE (c.relname LIKE 'mnist\\_%' OR c.relnamespace = 'mnist_internal'::regnamespace)
			AND c.relkind IN ('r', 'v') AND has_table_privilege('$role', c.oid, privilege)}),
		'', "$role may change no table");
	is($node->safe_psql('postgres', "SELECT has_schema_privilege('$role', 'mnist_internal', 'USAGE')"), 'f',
		"$role cannot use schema mnist_internal");
}
$node->stop;

done_testing();
