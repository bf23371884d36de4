# A dump is restored into a release that has a different bundled model.  The versions, weights, deployments and lineage
# are exactly those of the dump, and the restored database works.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Installation qw(install_release);
use TestModel qw(constant_model);

# Start a server of this release.  With $other_model its bundled model is another one, which predicts 7 for every image.
sub start
{
	my ($name, $other_model) = @_;
	my $path = install_release($name, 'now');
	my $node = PostgreSQL::Test::Cluster->new($name, install_path => $path);

	if ($other_model)
	{
		my $file = (run_command([ "$path/bin/pg_config", '--sharedir' ]))[0] . '/extension/mnist_hil--default.weights';

		open my $weights, '>:raw', $file or die "$file: $!";
		print $weights constant_model('dense 10', 7850, 7);
		close $weights;
	}
	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'");
	$node->start;
	return $node;
}

my $ours = start('ours', 0);
my $other = start('other', 1);

# What must be the same.  mnist_lineage shows versions, runs and deployments together.
my @exact = (
	'SELECT m.*, sha256(m.weights) = m.weights_sha256 FROM mnist_model m ORDER BY version',
	'SELECT * FROM mnist_deployment ORDER BY id',
	'SELECT * FROM mnist_lineage ORDER BY version',
	'SELECT * FROM mnist_live',
	'SELECT * FROM mnist_drift_reference ORDER BY id',
	'SELECT * FROM mnist_drift_histogram ORDER BY reference_id, feature',
	'SELECT * FROM mnist_run ORDER BY id',
	'SELECT id, mnist_classify(image), mnist_probabilities(image) FROM mnist_prediction ORDER BY id',
	'SELECT i, mnist_classify(d), mnist_probabilities(d) FROM generate_series(1, 20) AS i, mnist_draw(i % 10, i) AS d');

sub exactly
{
	my ($node, $database) = @_;

	return map { $node->safe_psql($database, "SELECT count(*), md5(string_agg(t::text, E'\\n')) FROM ($_) t") } @exact;
}

# Dump a database of one server, restore it into the other server with the given options, and compare.
sub carry_over
{
	my ($from, $to, $database, $how, @options) = @_;
	my $file = $from->basedir . "/$database-$how.dump";
	my @before = exactly($from, $database);

	$from->command_ok([ 'pg_dump', '-Fc', '-f', $file, $from->connstr($database) ], "$database, $how: dump");
	$to->safe_psql('postgres', "DROP DATABASE IF EXISTS $database");
	$to->safe_psql('postgres', "CREATE DATABASE $database");
	$to->safe_psql($database, 'CREATE EXTENSION mnist_hil') if $how eq 'data only';
	$to->command_ok([ 'pg_restore', '--exit-on-error', @options, '-d', $to->connstr($database), $file ],
		"$database, $how: restore");
	my @after = exactly($to, $database);
	is($after[$_], $before[$_], "$database, $how: $exact[$_]") foreach 0 .. $#exact;
	return;
}

sub goes_on
{
	my ($node, $database) = @_;
	my $newest = $node->safe_psql($database, 'SELECT max(version) FROM mnist_model');

	$node->safe_psql($database, "SELECT mnist_import_synthetic('more', 600, 2)");
	is( $node->safe_psql($database,
		"SELECT model_version FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false)"),
		$newest + 1, "$database: retraining goes on");
	is($node->safe_psql($database, 'SELECT mnist_activate(1, \'back\')'), '1',
		"$database: the first model can be used");
	is($node->safe_psql($database, 'SELECT model_version FROM mnist_predict(mnist_draw(3))'), '1', "$database: and is");
	return;
}

# ---- a database in use

foreach my $node ($ours, $other)
{
	my $name = $node->name;

	$node->safe_psql('postgres', "CREATE DATABASE used_$name");
	$node->safe_psql(
		"used_$name", q{
		CREATE EXTENSION mnist_hil;
		SELECT mnist_import_synthetic('drawn', 600, 1);
		SELECT count(id) FROM generate_series(1, 40) AS i, mnist_predict(mnist_draw(i % 10, i));
		SELECT count(mnist_correct(id, (id % 10)::int)) FROM mnist_prediction WHERE id <= 20;
		SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, promote => false);
		SELECT mnist_activate(2), mnist_rollback();
		SELECT mnist_predict(mnist_draw(1));
		UPDATE mnist_model SET weights = NULL WHERE version = 2;
	});
	# A database in which nothing was done yet.
	$node->safe_psql('postgres', "CREATE DATABASE new_$name");
	$node->safe_psql("new_$name", 'CREATE EXTENSION mnist_hil');
}
isnt($ours->safe_psql('new_ours', 'SELECT weights_sha256 FROM mnist_model'), $other->safe_psql('new_other',
	'SELECT weights_sha256 FROM mnist_model'),
	'the two bundled models differ');
is($other->safe_psql('new_other',
	'SELECT count(*), count(*) FILTER (WHERE mnist_classify(mnist_draw(i, 1)) = 7) FROM generate_series(0, 9) i'),
	'10|10',
	'the other one predicts 7 for everything');
is($ours->safe_psql('new_ours', 'SELECT count(*) FROM mnist_drift_reference'), '1', 'ours has a reference for drift');
is($other->safe_psql('new_other', 'SELECT count(*) FROM mnist_drift_reference'), '0', 'the other one has none');

foreach my $pair ([ $ours, $other ], [ $other, $ours ])
{
	my ($from, $to) = @$pair;
	my $name = $from->name;

	carry_over($from, $to, "used_$name", 'whole');
	goes_on($to, "used_$name");
	carry_over($from, $to, "used_$name", 'data only', '--data-only');
	carry_over($from, $to, "new_$name", 'whole');
	goes_on($to, "new_$name");
}

# The first model's weights may have been pruned, too.
$other->safe_psql('used_other', q{SELECT run_id FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1,
	promote => false, seed => 3)});
$other->safe_psql('used_other', 'SELECT mnist_activate(3); UPDATE mnist_model SET weights = NULL WHERE version = 1');
carry_over($other, $ours, 'used_other', 'pruned');

# ---- once the database was used, a row that CREATE EXTENSION added is not replaced; an equal row is skipped

$ours->safe_psql('postgres', 'CREATE DATABASE busy');
$ours->safe_psql('busy', 'CREATE EXTENSION mnist_hil; SELECT mnist_predict(mnist_draw(3))');
my $insert = q{INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256, created_at)
	SELECT 1, 'default', network, parameters, w, sha256(w), '2000-01-01' FROM mnist_model,
		LATERAL (SELECT %s) AS x (w) RETURNING version};
my $stderr;
isnt($ours->psql('busy', sprintf($insert, q{weights || '\x00'}), stderr => \$stderr), 0,
	'another model is refused in a database in use');
like($stderr, qr/a row of mnist_model that CREATE EXTENSION added cannot be replaced.*HINT/s, 'with a hint');
is($ours->safe_psql('busy', sprintf($insert, 'weights')), '', 'the same one is skipped');
is($ours->safe_psql('busy', "SELECT created_at > '2001-01-01' FROM mnist_model"), 't', 'and nothing is changed');
# In an unused database, too, only a restore may change such a row.
isnt($ours->psql('new_ours', "UPDATE mnist_model SET architecture = 'mine' WHERE version = 1", stderr => \$stderr), 0,
	'an UPDATE is refused');
isnt($ours->psql('new_ours', 'DELETE FROM mnist_deployment', stderr => \$stderr), 0, 'so is a DELETE');

# A session that has used the bundled model uses the restored one as soon as it is replaced.
my $weights = $other->safe_psql('new_other', q{SELECT encode(weights, 'hex') FROM mnist_model});
is( $ours->safe_psql('new_ours', qq{
		SELECT mnist_classify(mnist_draw(3, 5));
		INSERT INTO mnist_model (version, architecture, network, parameters, weights, weights_sha256)
		SELECT 1, 'default', d.network, d.parameters, w, sha256(w) FROM decode('$weights', 'hex') AS w,
			mnist_internal.describe(w) AS d;
		SELECT mnist_classify(mnist_draw(3, 5))}),
	"3\n7", 'an open session uses the restored model');

done_testing();
