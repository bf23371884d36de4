# ALTER EXTENSION UPDATE from 0.1.0: a database that was in use keeps all its rows.  Afterwards it has the same objects
# as a database with a new extension.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Installation qw(install_release why_missing);

my $why = why_missing('0.1.0');
plan skip_all => $why if $why;

my $node = PostgreSQL::Test::Cluster->new('upgraded', install_path => install_release('upgraded', '0.1.0'));
$node->init;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'mnist_hil'\nmnist_hil.min_new_labels = 5\nmnist_hil.fail_threshold = 1\n");
$node->start;

sub sql
{
	return $node->safe_psql('postgres', @_);
}

# The message, detail and hint of a statement that fails.
sub error_of
{
	my ($statement, $database) = @_;
	my $stderr;

	isnt($node->psql($database // 'postgres', $statement, stderr => \$stderr), 0, "$statement fails");
	return $stderr;
}

# ---- the database is used with 0.1.0

my $grants = q{
	GRANT USAGE ON SCHEMA "My Schema" TO regress_app, regress_trainer, regress_observer;
	REVOKE EXECUTE ON FUNCTION mnist_classify FROM PUBLIC;
	GRANT EXECUTE ON FUNCTION mnist_classify, mnist_predict TO regress_app;
	GRANT EXECUTE ON FUNCTION mnist_correct TO PUBLIC;
	GRANT EXECUTE ON FUNCTION mnist_retrain, mnist_reproduce TO regress_trainer WITH GRANT OPTION;
	GRANT SELECT ON mnist_status, mnist_failure_counts, mnist_run_feedback TO regress_observer;
	GRANT SELECT (id, label) ON mnist_prediction TO regress_observer;
	GRANT USAGE ON SEQUENCE mnist_event_id_seq TO regress_observer;
};
sql(qq{
	CREATE ROLE regress_app LOGIN;
	CREATE ROLE regress_ann;
	CREATE ROLE regress_trainer;
	CREATE ROLE regress_observer;
	CREATE SCHEMA "My Schema";
	CREATE EXTENSION mnist_hil SCHEMA "My Schema";
	ALTER DATABASE postgres SET search_path = "My Schema";
	SET search_path = "My Schema";
	$grants
	GRANT USAGE ON SCHEMA "My Schema" TO regress_ann;
	ALTER TABLE mnist_prediction SET (autovacuum_vacuum_scale_factor = 0.01);
	CREATE VIEW public.dashboard AS SELECT * FROM mnist_status;
	SELECT mnist_import_synthetic('drawn', 600, 1);
	SELECT count(id) FROM generate_series(1, 40) AS i, mnist_predict(mnist_draw(i % 10, i));
	SELECT count(mnist_correct(id, (id % 10)::int)) FROM mnist_prediction WHERE id <= 30;
	SET ROLE regress_ann;
	SELECT mnist_correct(1, 3), mnist_correct(2, 2), mnist_correct(2, 4);
});
is(sql("SELECT model_version, run_id
	FROM mnist_retrain('from_scratch', '{softmax}', epochs => 1, seed => 7, promote => false)"),
	'2|1', '0.1.0 trains a model');
sql(q{
	SELECT mnist_activate(2, 'to see it'), mnist_rollback('seen'), mnist_activate(2, 'after all');
	SELECT count(id) FROM generate_series(41, 60) AS i, mnist_predict(mnist_draw(i % 10, i));
	SELECT mnist_challenge(1, 0.5, shadow => true, reason => 'which is better?');
	SELECT count(id) FROM generate_series(61, 80) AS i, mnist_predict(mnist_draw(i % 10, i));
	SELECT mnist_correct(61, 3), mnist_correct(45, 4);
	SELECT length(mnist_report()) > 0;
	SET mnist_hil.drift_min_window = 10;
	SELECT mnist_hil_drift_update();
});

# Queries that hash the contents of 0.1.0's tables and of its views for users, in the columns that they had.
my @queries = split /\n/, sql(q{
	SELECT format('SELECT count(*), md5(string_agg(ROW(%s)::text, '','' ORDER BY ROW(%1$s)::text)) FROM %s AS t',
		string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), c.oid::regclass)
	FROM pg_class c
	JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE d.refclassid = 'pg_extension'::regclass AND (c.relkind = 'r' OR c.relname IN
		('mnist_live', 'mnist_failure_counts', 'mnist_lineage', 'mnist_confusion', 'mnist_set_aside', 'mnist_gate'))
	GROUP BY c.oid ORDER BY c.oid::regclass::text});
cmp_ok(scalar @queries, '>=', 20, '0.1.0 has tables and views');
my @sequences = split /\n/, sql(q{
	SELECT format('SELECT last_value, is_called FROM %s', c.oid::regclass)
	FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	WHERE c.relkind = 'S' ORDER BY c.oid::regclass::text});

sub contents
{
	return join "\n", map { "$_: " . sql($_) } @queries, @sequences;
}
my $before = contents();

# This dump is restored into the new release later.
my $dumped = $node->basedir . '/0.1.0.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dumped, $node->connstr('postgres') ], '0.1.0 is dumped');
my @kept = (
	'SELECT live_version, predictions, feedback FROM mnist_status',
	'SELECT version, parent_version, run_id, weights, weights_sha256 FROM mnist_model ORDER BY version',
	'SELECT id, version, action, rollback_to, run_id, reason, deployed_by FROM mnist_deployment ORDER BY id',
	'SELECT * FROM mnist_failure_counts',
	'SELECT run_id, feedback_id, split, label, weight, reason, doubted_as, doubt'
		. ' FROM mnist_run_feedback ORDER BY run_id, feedback_id',
	'SELECT id, created_at, image, label, confidence, probabilities, model_version, features, pixels_hash, challenge_id'
		. ' FROM mnist_prediction ORDER BY id',
	'SELECT * FROM mnist_feedback ORDER BY id',
	'SELECT model_version, source, readings FROM mnist_drift_reference ORDER BY id');

sub kept
{
	my ($database) = @_;

	return join "\n",
		map { $node->safe_psql($database,
		"SET search_path = \"My Schema\"; SELECT count(*), md5(string_agg(t::text, '')) FROM ($_) AS t") } @kept;
}
my $kept_before = kept('postgres');

# ---- the files are replaced

install_release('upgraded', 'now');
like(error_of('ALTER EXTENSION mnist_hil UPDATE'),
	qr/the library that the server has loaded is of another version.*HINT: +Restart the server/s,
	'a server that still runs the old library is not upgraded');
like(sql('SELECT mnist_classify(mnist_draw(3))'), qr/^\d$/, 'and goes on');
$node->restart;

# The new library has a C function for every function of 0.1.0, and none of them crashes.  If a function cannot work
# before the upgrade, its error says what to do.
is(sql("SELECT extversion FROM pg_extension WHERE extname = 'mnist_hil'"), '0.1.0', 'the database is not upgraded yet');
is(sql("SELECT count(fmgr_c_validator(p.oid)) > 20
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND d.refclassid = 'pg_extension'::regclass"),
	't', 'the library has every function that 0.1.0 refers to');
is($node->safe_psql('postgres', 'SELECT id, model_version FROM mnist_predict(mnist_draw(3))',
	extra_params => [ '-U', 'regress_app' ]),
	'81|2', 'predicting goes on');
is(sql('SELECT mnist_correct(81, 3) > 0'), 't', 'so does correcting');
is(sql("SELECT count(*) > 25 FROM (SELECT query_to_xml(format('SELECT * FROM %s', c.oid::regclass), false, false, '')
		FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		WHERE c.relkind = 'v' OFFSET 0) v"), 't', 'every view can be read');
foreach my $call ("mnist_retrain('from_scratch', '{softmax}', epochs => 1)", 'mnist_reproduce(1)')
{
	like(error_of("SELECT $call"),
		qr/of version 0\.1\.0, but its library is of version.*HINT: +Run ALTER EXTENSION mnist_hil UPDATE/s,
		'the error says what to do');
}
$before = contents();

# ---- the database is upgraded

sql('ALTER EXTENSION mnist_hil UPDATE');
is(contents(), $before, 'every row and every sequence is the same');

# Create the extension in another database, with the same privileges granted, to compare with.
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', qq{
	CREATE SCHEMA "My Schema";
	CREATE EXTENSION mnist_hil SCHEMA "My Schema";
	SET search_path = "My Schema";
	$grants
	ALTER TABLE mnist_prediction SET (autovacuum_vacuum_scale_factor = 0.01);
});

sub catalogue
{
	my ($database) = @_;

	return split /\n/, $node->safe_psql($database, slurp_file("$FindBin::RealBin/../catalogue.sql"));
}
my @upgraded = catalogue('postgres');
my @fresh = catalogue('fresh');
cmp_ok(scalar @fresh, '>', 2000, 'the catalogue has many facts about the extension');
my %in_upgraded = map { $_ => 1 } @upgraded;
my %in_fresh = map { $_ => 1 } @fresh;
is(join("\n", grep { !$in_upgraded{$_} } @fresh), '', 'the upgraded extension lacks nothing that a fresh one has');
is(join("\n", grep { !$in_fresh{$_} } @upgraded), '', 'and has nothing that a fresh one lacks');

# ---- the database goes on

is(sql('SELECT live_version FROM public.dashboard'), '2', 'a view of the user\'s goes on');
is($node->safe_psql('postgres', 'SELECT id, model_version FROM mnist_predict(mnist_draw(3))',
	extra_params => [ '-U', 'regress_app' ]),
	'82|2', 'so does predicting');
is(sql('SET ROLE regress_trainer; SELECT count(*) FROM mnist_reproduce(1)'), '1', 'the run of 0.1.0 is reproduced');
is(sql('SELECT count(DISTINCT weights_sha256), count(*) FROM mnist_model WHERE version IN (2, 3)'), '1|2',
	'with the same weights, bit by bit');
is(sql("SELECT model_version, promoted FROM mnist_retrain('fine_tune', epochs => 1, seed => 7, promote => false)"),
	'4|f',
	'retraining works');
is(sql('SELECT mnist_rollback()'), '1', 'rolling back goes to the same version as before');
is(sql('SELECT count(*) FROM mnist_check()'), '1', 'the loop goes on');

# Privileges that users granted do not belong to the extension, so pg_dump dumps them.
my ($dump) = run_command([ $node->installed_command('pg_dump'), '-s', '-d', $node->connstr('postgres') ]);
foreach my $grant ('REVOKE ALL ON FUNCTION .*mnist_classify\(.* FROM PUBLIC',
	'GRANT ALL ON FUNCTION .*mnist_classify\(.* TO regress_app',
	'GRANT ALL ON FUNCTION .*mnist_reproduce\(.* TO regress_trainer WITH GRANT OPTION',
	'GRANT ALL ON FUNCTION .*mnist_retrain\(.* TO regress_trainer WITH GRANT OPTION',
		'GRANT ALL ON FUNCTION .*mnist_correct\(.* TO PUBLIC',
	'GRANT SELECT ON TABLE .*mnist_run_feedback TO regress_observer')
{
	like($dump, qr/^$grant/m, "pg_dump: $grant");
}

# Restore the dump of 0.1.0.  It lacks the rows that CREATE EXTENSION of this version adds.  Its GRANT on mnist_retrain
# names the arguments of 0.1.0, and is the only thing that is not restored.
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_checks_all([ 'pg_restore', '-d', $node->connstr('restored'), $dumped ], 1, [qr/^$/],
	[qr/\Apg_restore: error: [^\n]*function My Schema\.mnist_retrain\(.*errors ignored on restore: 1\s*\z/s],
	'the dump of 0.1.0 is restored');
is(kept('restored'), $kept_before, 'and all is there');
is($node->safe_psql('restored',
	'SET search_path = "My Schema"; SELECT model_version FROM mnist_predict(mnist_draw(3));'), '2',
	'and works');

unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP:/, 'no process crashed');
$node->stop;

done_testing();
