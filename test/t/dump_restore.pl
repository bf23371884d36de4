# pg_dump and pg_restore: everything is restored, also into a new server, and the restored database works.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old');
$old->init;
$old->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'");
$old->start;
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'");
$new->start;

# A database with something in every table, the extension in a schema whose name must be quoted.
my $schema = '"My Schema"';
$old->safe_psql(
	'postgres', qq{
	CREATE ROLE regress_ann;
	CREATE SCHEMA $schema;
	CREATE EXTENSION mnist_hil SCHEMA $schema;
	SET search_path = $schema;
	GRANT USAGE ON SCHEMA $schema TO regress_ann;
	GRANT EXECUTE ON FUNCTION mnist_correct, mnist_predict TO regress_ann;
	GRANT SELECT ON mnist_failure_counts TO regress_ann;
	SELECT mnist_import_synthetic('drawn', 210);
	SELECT mnist_import_images('mine', 'train', ARRAY[mnist_draw(1), mnist_draw(2)], ARRAY[1, 2]);
	SELECT mnist_predict(mnist_draw(i % 10, i)) FROM generate_series(1, 30) AS i;
	SELECT mnist_correct(id, (label + 1) % 10) FROM mnist_prediction WHERE id <= 10;
	SET ROLE regress_ann;
	SELECT mnist_correct(1, 3), mnist_correct(2, 3);
	RESET ROLE;
	INSERT INTO mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid, process_started_at)
	VALUES ('succeeded', 'fine_tune', 'default', 1, '{"epochs": 1}', 'regress_ann', 1, now());
	SELECT mnist_internal.open_snapshot(1, 1, 0);
	INSERT INTO mnist_internal.run_excluded VALUES (1, 5, 4, 0.9);
	SELECT mnist_correct(id, (label + 1) % 10) FROM mnist_prediction WHERE id BETWEEN 11 AND 20;
	INSERT INTO mnist_metric (run_id, epoch, train_loss) VALUES (1, 1, 0.5);
	INSERT INTO mnist_trial (run_id, trial, status, architecture, parameters, value)
		VALUES (1, 1, 'succeeded', 'mlp', '{"architecture": "mlp"}', 0.9);
	INSERT INTO mnist_model (version, parent_version, architecture, network, parameters, weights, weights_sha256,
		run_id)
	SELECT 2, 1, architecture, network, parameters, weights, weights_sha256, 1 FROM mnist_model;
	SELECT mnist_activate(2, 'for the dump');
	SELECT mnist_challenge(1, 1, shadow => true, reason => 'for the dump');
	SELECT mnist_predict(mnist_draw(4));
	SET mnist_hil.drift_min_window = 10;
	SELECT mnist_predict(mnist_draw(i % 10, i)) FROM generate_series(31, 45) AS i;
	SELECT mnist_internal.drift_update();
	SELECT mnist_internal.probation_check();
	SELECT mnist_notify_next('dump', all_events => true), mnist_notify_done('dump', 1);
	SELECT mnist_report();
	SELECT mnist_set_recipe(epochs => 5, note => 'for the dump');
});

# Every table except those with derived rows, which a restore computes again.
my @tables = split /\n/, $old->safe_psql(
	'postgres', q{
	SELECT c.oid::regclass
	FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'mnist_hil' AND c.relkind = 'r'
		AND c.relname NOT IN ('tally', 'run_feedback_row', 'feedback_image')
	ORDER BY 1});
cmp_ok(scalar @tables, '>=', 10, 'the extension has tables');

# The hashes of a table's rows, sorted.
sub rows
{
	my ($node, $database, $table) = @_;

	return $node->safe_psql($database, "SELECT md5(t::text) FROM $table t ORDER BY 1");
}

# pg_dump prints no warning.
my $file = $old->backup_dir . '/dump';
mkdir $old->backup_dir;
my ($stdout, $stderr) = run_command([ 'pg_dump', '-Fc', '-f', $file, '-d', $old->connstr('postgres') ]);
is($stderr, '', 'pg_dump has no complaints');

sub check_restored
{
	my ($node, $database, $how) = @_;

	foreach my $table (@tables)
	{
		my $expected = rows($old, 'postgres', $table);

		isnt($expected, '', "$table has rows");
		is(rows($node, $database, $table), $expected, "$how: $table is the same");
	}
	is( $node->safe_psql($database,
		"SELECT version, weights_sha256 = sha256(weights), run_id, parent_version FROM $schema.mnist_model ORDER BY 1"),
		"1|t||\n2|t|1|1", "$how: models are whole");
	is($node->safe_psql($database, "SELECT live_version FROM $schema.mnist_status"), '2',
		"$how: the same model is live");

	# The database goes on: numbers continue, and nothing collides.
	my $next = sub { return $old->safe_psql('postgres', "SELECT max(id) + 1 FROM $schema.$_[0]"); };
	is( $node->safe_psql($database, "SELECT id, model_version FROM $schema.mnist_predict($schema.mnist_draw(3))"),
		$next->('mnist_prediction') . '|2', "$how: predicting goes on");
	is( $node->safe_psql($database,
		"SELECT model_version, prediction_id IN (SELECT max(id) FROM $schema.mnist_prediction)
			FROM $schema.mnist_shadow ORDER BY prediction_id DESC LIMIT 1"),
		'1|t', "$how: so does the challenge, in shadow mode");
	is($node->safe_psql($database, "SELECT $schema.mnist_correct(30, 3)"), $next->('mnist_feedback'),
		"$how: correcting goes on");
	is($node->safe_psql($database, "SELECT $schema.mnist_import_synthetic('more', 70)"), '70',
		"$how: importing goes on");
	is( $node->safe_psql($database, "SELECT id FROM $schema.mnist_dataset WHERE name = 'more'"),
		$next->('mnist_dataset'), "$how: with the next number");
	is( $node->safe_psql(
			$database,
			"INSERT INTO $schema.mnist_run (status, strategy, architecture, seed, parameters, requested_by, pid,
				process_started_at)
			VALUES ('failed', 'fine_tune', 'default', 1, '{}', 'regress_ann', 1, now()) RETURNING id"),
		$next->('mnist_run'), "$how: so do runs");
	is($node->safe_psql($database, "SELECT $schema.mnist_set_recipe(epochs => 6)"), $next->('mnist_recipe_log'),
		"$how: so do recipes");
	is($node->safe_psql($database, "SELECT $schema.mnist_rollback()"), '1', "$how: rolling back goes where it went");
	is( $node->safe_psql(
			$database,
			"SELECT run_id, model_version FROM $schema.mnist_retrain('from_scratch', '{softmax}', promote => false)"),
		$next->('mnist_run') + 1 . '|3', "$how: so does retraining");
	is( $node->safe_psql(
			$database, "SET search_path = $schema; SET ROLE regress_ann;
			SELECT mnist_correct(30, 4) > 0, sum(failures) > 0 FROM mnist_failure_counts"),
		't|t', "$how: grants are kept");
	return;
}

command_ok([ 'createdb', '-h', $old->host, '-p', $old->port, 'restored' ], 'a database on the same server');
command_ok([ 'pg_restore', '--exit-on-error', '-d', $old->connstr('restored'), $file ], 'restore into it');
check_restored($old, 'restored', 'same server');

# Restore into a schema of another name.  The schema cannot be renamed, so its name is replaced in a text dump.
my $text = $old->backup_dir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $text, '-d', $old->connstr('postgres') ], 'dump as text');
my $sql = slurp_file($text);
$sql =~ s/\Q$schema\E/digits/g;
$sql =~ s/'My Schema'/'digits'/g;
open my $replaced, '>', $text or die "$text: $!";
print $replaced $sql;
close $replaced;
command_ok([ 'createdb', '-h', $old->host, '-p', $old->port, 'renamed' ], 'another database');
command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-o', $old->backup_dir . '/out', '-d',
	$old->connstr('renamed'), '-f', $text ],
	'restore with another name of the schema');
is($old->safe_psql('renamed',
	q{SELECT s.live_version, p.model_version
	FROM digits.mnist_status s, digits.mnist_predict(digits.mnist_draw(3)) p}),
	'2|2', 'and it works there');

# Restore into a new server.  pg_restore --jobs ignores the foreign keys between an extension's tables when it orders
# their loads.  So the data are loaded first, one table after another.  The post-data section (indexes and constraints)
# follows in parallel.
$new->safe_psql('postgres', 'CREATE ROLE regress_ann');
command_ok(
	[ 'pg_restore', '--exit-on-error', '--section=pre-data', '--section=data', '-d', $new->connstr('postgres'), $file ],
	'restore into a new server');
command_ok(
	[ 'pg_restore', '--exit-on-error', '--jobs=2', '--section=post-data', '-d', $new->connstr('postgres'), $file ],
	'restore the rest in parallel');
check_restored($new, 'postgres', 'new server');

done_testing();
