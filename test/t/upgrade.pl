# pg_upgrade: its own checks pass, the new cluster has everything, and the database works.  Old and new cluster are of
# the same server version; pg_upgrade treats the extension's objects as in an upgrade from an older version.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $config = "shared_preload_libraries = 'mnist_hil'\nmnist_hil.min_new_labels = 5\nmnist_hil.fail_threshold = 1\n";
my $old = PostgreSQL::Test::Cluster->new('old');
$old->init;
$old->append_conf('postgresql.conf', $config);
$old->start;
$old->safe_psql(
	'postgres', q{
	CREATE SCHEMA "My Schema";
	CREATE EXTENSION mnist_hil SCHEMA "My Schema";
	ALTER DATABASE postgres SET search_path = "My Schema";
	SET search_path = "My Schema";
	SELECT mnist_import_synthetic('drawn', 600);
	SELECT mnist_activate(model_version) FROM mnist_retrain('from_scratch', '{softmax}', promote => false);
	SELECT mnist_predict(mnist_draw(i % 10, i)) FROM generate_series(1, 30) AS i;
	SELECT mnist_correct(id, (label + 1) % 10) FROM mnist_prediction WHERE id <= 20;
});

# The rows of every table, whatever their order, and the state of every sequence.
sub names
{
	my ($kind) = @_;

	return split /\n/, $old->safe_psql('postgres',
		"SELECT relname FROM pg_class
		WHERE relnamespace = '\"My Schema\"'::regnamespace AND relkind = '$kind' ORDER BY 1");
}
my @tables = names('r');
my @sequences = names('S');
cmp_ok(scalar @tables, '>=', 10, 'the extension has tables');

sub contents
{
	my ($node) = @_;

	return join "\n",
		(map { "$_ " . $node->safe_psql('postgres',
			"SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM $_ t") } @tables),
		(map { "$_ " . $node->safe_psql('postgres', "SELECT last_value, is_called FROM $_") } @sequences);
}
my $before = contents($old);

# The catalogs' rows about the extension, except the text of views and function bodies: pg_upgrade writes their casts
# differently.
sub catalogue
{
	my ($node) = @_;
	my $facts = $node->safe_psql('postgres', slurp_file("$FindBin::RealBin/../catalogue.sql"));

	return join "\n",
		grep { /: (member|comment|dumped|owner|privileges|event trigger|trigger \w+|options|column \d+): / }
		split /\n/, $facts;
}
my $catalogue_before = catalogue($old);
like($catalogue_before, qr/^mnist_hil_keep_schema: event trigger:/m, 'the event trigger is in the catalogs');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', $config);
my ($bindir) = run_command([ 'pg_config', '--bindir' ]);
my @upgrade = ('pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir,
	'-s', $new->host, '-p', $old->port, '-P', $new->port);

chdir $PostgreSQL::Test::Utils::tmp_check;
command_ok([ @upgrade, '--check' ], 'pg_upgrade --check finds no obstacle');
command_ok(\@upgrade, 'pg_upgrade');
$new->start;
is(contents($new), $before, 'every table and sequence is the same');
is(catalogue($new), $catalogue_before, 'so are the catalogs');
is($new->safe_psql('postgres', 'SELECT mnist_correct(21, 3)'), '21', 'correcting goes on');
is($new->safe_psql('postgres', 'SELECT retrain FROM mnist_check()'), 't', 'so does the loop');
ok($new->poll_query_until('postgres', "SELECT status = 'succeeded' FROM mnist_run ORDER BY id DESC LIMIT 1"),
	'and its run succeeds');
is($new->safe_psql('postgres', 'SELECT mnist_rollback() > 0, count(*) = 1 FROM mnist_live'), 't|t',
	'rolling back goes on');
$new->stop;

done_testing();
