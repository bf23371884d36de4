# mnist_erase removes every trace of an annotator and of an image from a database that has used both in every way.
# Afterwards neither a text dump nor the planner's statistics contain the name or the bytes.  After the VACUUM that the
# README names, the tables' files do not contain them, either.  Derived rows are computed from the remaining rows.
# mnist_erase fails while a run trains on the feedback.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $name = 'regress_erasable';
my $node = PostgreSQL::Test::Cluster->new('erase');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmax_worker_processes = 8\n"
	. "mnist_hil.drift_min_window = 10\nmnist_hil.epochs = 1\n");
$node->start;

# The first two predictions are of the image to erase, once as a PNG and once as its 784 bytes.  A challenger predicts
# as a shadow.  One model learns from all feedback, and another one is fine-tuned from that model.
$node->safe_psql(
	'postgres', qq{
	CREATE EXTENSION mnist_hil;
	CREATE ROLE regress_annotators;
	GRANT EXECUTE ON FUNCTION mnist_correct TO regress_annotators;
	CREATE ROLE $name IN ROLE regress_annotators;
	CREATE ROLE regress_other IN ROLE regress_annotators;
	SELECT mnist_import_synthetic('drawn', 600);
	SELECT mnist_activate(model_version) FROM mnist_retrain('from_scratch', '{softmax}', seed => 1, promote => false);
	SELECT mnist_challenge(1, 1, shadow => true);
	SELECT mnist_predict(mnist_draw(8, 4242, 40));
	SELECT mnist_predict(mnist_preprocess(mnist_draw(8, 4242, 40)));
	SELECT count(*) FROM mnist_predict_batch(ARRAY(SELECT mnist_draw(3, i, 28) FROM generate_series(1, 98) AS i));
});
$node->safe_psql('postgres', "GRANT SELECT (id, label) ON mnist_prediction TO regress_annotators");

sub correct
{
	my ($role, $label, $condition) = @_;

	$node->safe_psql('postgres',
		"SET ROLE $role; SELECT count(mnist_correct(id, $label)) FROM mnist_prediction WHERE $condition");
	return;
}
correct($name, '(label + 1) % 10', 'id <= 2');
correct($name, 3, 'id BETWEEN 3 AND 80');
correct('regress_other', 5, 'id BETWEEN 2 AND 40');
correct('regress_other', 3, 'id BETWEEN 81 AND 90');
my $learnt = $node->safe_psql('postgres', 'SELECT model_version FROM mnist_retrain(seed => 2, promote => false)');
$node->safe_psql(
	'postgres', qq{
	SELECT mnist_activate($learnt);
	SELECT mnist_drift_rebase('readings');
	SELECT mnist_check();
	SELECT mnist_internal.event('told', '$name was told', jsonb_build_object('whom', '$name'));
});
my $child = $node->safe_psql('postgres', 'SELECT model_version FROM mnist_retrain(seed => 3, promote => false)');

# ---- a run that trains on the feedback

my $run = $node->safe_psql('postgres',
	"SELECT run_id FROM mnist_retrain('from_scratch', ARRAY['lenet5'], epochs => 10000, wait => false)");
my ($out, $err);
ok($node->poll_query_until('postgres', "SELECT progress > 0 FROM mnist_training_progress WHERE run_id = $run"),
	'a run is under way');
isnt($node->psql('postgres', "\\set VERBOSITY verbose\nSELECT mnist_erase('$name')", stderr => \$err), 0,
	'nothing is erased while the run learns from it');
like($err, qr/55006: run $run is under way and uses feedback that is to be erased.*HINT:  .*pg_terminate_backend/s,
	'the error says why and what to do');
is($node->safe_psql('postgres', "SELECT count(*) > 0 FROM mnist_feedback WHERE annotator = '$name'"), 't',
	'the feedback is still there');
is($node->psql('postgres', "SELECT mnist_erase(predictions => '{95}')", stderr => \$err), 0,
	'a prediction that the run does not use can be erased');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM mnist_run WHERE id = $run");
ok($node->poll_query_until('postgres', "SELECT status = 'cancelled' FROM mnist_run WHERE id = $run"),
	'the run is cancelled');

# ---- the traces before erasing

$node->safe_psql('postgres',
	"SELECT count(mnist_report(kind)) FROM unnest('{full,performance,quality}'::text[]) AS kind; ANALYZE");
my %trace = (
	'the PNG' => $node->safe_psql('postgres', "SELECT encode(image, 'hex') FROM mnist_prediction WHERE id = 1"),
	'its pixels' => $node->safe_psql('postgres', "SELECT encode(image, 'hex') FROM mnist_prediction WHERE id = 2"),
	'the hash of its pixels' => $node->safe_psql('postgres',
		"SELECT encode(pixels_sha256, 'hex') FROM mnist_prediction WHERE id = 2"),
	'its features' => $node->safe_psql('postgres', 'SELECT features FROM mnist_prediction WHERE id = 2'),
	'the image in a report' => $node->safe_psql('postgres', q{
		SELECT translate(encode(mnist_png(mnist_preprocess(image), 3), 'base64'), E'\n', '')
		FROM mnist_prediction WHERE id = 1}),
	'the name' => $name);

sub dump_text
{
	my ($stdout, $stderr) = run_command([ 'pg_dump', '--inserts', '-d', $node->connstr('postgres') ]);

	is($stderr, '', 'pg_dump has no complaints');
	return $stdout;
}

# The tables, including TOAST tables, whose files contain the name or the image's 784 bytes.
my $in_files = qq{
	SELECT string_agg(c.oid::regclass::text, ' ' ORDER BY c.oid)
	FROM pg_class c
	JOIN pg_class t ON t.oid = c.oid OR t.reltoastrelid = c.oid
	JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e'
	WHERE c.relkind IN ('r', 't') AND pg_relation_size(c.oid) > 0
		AND (position(convert_to('$name', 'UTF8') IN pg_read_binary_file(pg_relation_filepath(c.oid))) > 0
			OR position('\\x$trace{'its pixels'}'::bytea IN pg_read_binary_file(pg_relation_filepath(c.oid))) > 0)};
my $in_samples = "
	SELECT count(*) FROM pg_stats
	WHERE tablename LIKE 'mnist\\_%' AND (most_common_vals::text || coalesce(histogram_bounds::text, '')) ~ '$name'";

my $before = dump_text();
cmp_ok(index($before, $trace{$_}), '>=', 0, "before: the dump has $_") foreach sort keys %trace;
$node->safe_psql('postgres', 'CHECKPOINT');
like($node->safe_psql('postgres', $in_files), qr/mnist_prediction.*mnist_feedback/, 'before: the files have them');
isnt($node->safe_psql('postgres', $in_samples), '0', 'before: the planner\'s statistics have the name');
is($node->safe_psql('postgres', "SELECT count(*) FROM mnist_report_log"), '3', 'before: there are reports');

# ---- erasing

my $result = $node->safe_psql('postgres',
	"SELECT what, removed, model_versions FROM mnist_erase('$name', '{1,2}')
	WHERE removed > 0 OR model_versions IS NOT NULL");
my %removed = map { /^(\w+)\|(\d+)\|/ ? ($1 => $2) : () } split /\n/, $result;
is_deeply([ map { "$_ "
	. ($removed{$_} // 0) } qw(mnist_prediction mnist_shadow mnist_feedback mnist_label mnist_report_log mnist_event) ],
	[ 'mnist_prediction 2', 'mnist_shadow 2', 'mnist_feedback 81', 'mnist_label 80', 'mnist_report_log 3',
		'mnist_event 1' ],
	'mnist_erase returns what it removed');
# Three runs had the feedback in their snapshots; one of them was cancelled.
cmp_ok($removed{mnist_run_feedback} // 0, '>=', 3 * 80, 'also from the records of runs');
like($result, qr/^weights\|0\|\{$learnt,$child\}$/m, 'and which models learnt from it');
is($node->safe_psql('postgres',
	"SELECT detail->>'learnt_by' FROM mnist_event WHERE kind = 'data_erased' ORDER BY id DESC LIMIT 1"),
	"[$learnt, $child]", 'an event keeps a record of these models');

my $after = dump_text();
is(index($after, $trace{$_}), -1, "after: the dump has no trace of $_") foreach sort keys %trace;
is($node->safe_psql('postgres', $in_samples), '0', 'after: the planner\'s statistics do not have the name');
$node->safe_psql('postgres', "VACUUM FULL $_; CHECKPOINT")
	foreach qw(mnist_prediction mnist_shadow mnist_feedback mnist_label mnist_report_log mnist_event);
is($node->safe_psql('postgres', $in_files), '', 'after VACUUM FULL: the files have no trace');

# ---- what is left

is($node->safe_psql('postgres', "SELECT count(*), min(annotator), max(annotator) FROM mnist_feedback"),
	'48|regress_other|regress_other',
	'the other annotator\'s feedback is there');
my $labels = q{
	SELECT md5(string_agg((prediction_id, label, votes, annotators, feedback_ids)::text, ',' ORDER BY prediction_id))
	FROM mnist_label};
my $derived = $node->safe_psql('postgres', $labels);
$node->safe_psql('postgres',
	'DELETE FROM mnist_label; SELECT mnist_internal.resolve(array_agg(DISTINCT prediction_id)) FROM mnist_feedback');
is($node->safe_psql('postgres', $labels), $derived, 'labels follow from the feedback that is left');
is($node->safe_psql('postgres', 'SELECT label, failures, corrected FROM mnist_failure_counts WHERE corrected > 0'),
	$node->safe_psql('postgres',
		'SELECT label, count(*) FILTER (WHERE label <> predicted_label), count(*)
		FROM mnist_feedback GROUP BY label ORDER BY label'),
	'failures are counted from it, too');
isnt($node->psql('postgres', "SELECT mnist_reproduce(run_id) FROM mnist_model WHERE version = $learnt",
	stderr => \$err), 0,
	'a run that learnt from erased feedback cannot be reproduced');
like($err, qr/Feedback was erased/, 'and the error says why');
like($node->safe_psql('postgres', 'SELECT verdict FROM mnist_retrain(seed => 4, promote => false)'), qr/\S/,
	'a new run works');
$node->stop;

done_testing();
