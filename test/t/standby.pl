# A hot standby predicts with the live model, follows each switch of its primary, and stores nothing.  After its
# promotion it does everything.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use TestModel qw(add_constant_model);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\n");
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION mnist_hil');
add_constant_model($primary, 'postgres', 2, 'maxpool 28, dense 10', 20, 2);
$primary->safe_psql('postgres',
	'CREATE TABLE digit AS SELECT mnist_draw(i % 10, i, 56) AS image FROM generate_series(1, 50) AS i');
$primary->backup('copy');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

my $predictions = 'SELECT string_agg(mnist_probabilities(image)::text, \';\') FROM digit';
is($standby->safe_psql('postgres', $predictions), $primary->safe_psql('postgres', $predictions),
	'a standby predicts as its primary does');

my $explanation = q{
	SELECT md5(string_agg(mnist_explain(image, 3)::text, ';')) FROM (SELECT image FROM digit LIMIT 3) AS d};
is($standby->safe_psql('postgres', $explanation), $primary->safe_psql('postgres', $explanation),
	'and explains as it does');

my ($result, $out, $err) = $standby->psql('postgres', 'SELECT * FROM mnist_predict(mnist_draw(1))',
	extra_params => ['-v', 'VERBOSITY=verbose']);
isnt($result, 0, 'it cannot store a prediction');
like($err, qr/25006: cannot store a prediction during recovery/, 'with an error that says why');
like($err, qr/HINT:  Use mnist_classify/, 'and what to do instead');
is($standby->safe_psql('postgres',
	'SET mnist_hil.log_predictions = off; SELECT id IS NULL, label IS NOT NULL FROM mnist_predict(mnist_draw(1))'),
	't|t', 'mnist_predict works where predictions are not stored at all');

# Sessions that are open on the standby use the new model once the switch is replayed.
my $session = $standby->background_psql('postgres');
my $repeatable = $standby->background_psql('postgres');
$session->query_safe('SELECT mnist_classify(mnist_draw(0))');
$repeatable->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$repeatable->query_safe('SELECT mnist_classify(mnist_draw(0))');
$primary->safe_psql('postgres', 'SELECT mnist_activate(2)');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
my $constant = 'SELECT count(*) FROM digit WHERE mnist_classify(image) = 2';
is($session->query_safe($constant), '50', 'a switch reaches open sessions of the standby');
is($repeatable->query_safe($constant), '50', 'in an open transaction, too');
$repeatable->quit;

# A challenge on the primary: the standby, which stores nothing, goes on predicting with the live model.
$primary->safe_psql('postgres', 'SELECT mnist_challenge(1, 0.5)');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is($session->query_safe($constant), '50', 'the standby predicts with the live model during a challenge');
is($standby->safe_psql('postgres',
	'SET mnist_hil.log_predictions = off; SELECT model_version FROM mnist_predict(mnist_draw(0))'),
	'2', 'mnist_predict does, too');
is($standby->safe_psql('postgres', 'SELECT version, share, live_version FROM mnist_challenge_now'), '1|0.5|2',
	'and mnist_challenge_now shows the challenge');

$standby->promote;
is( $standby->safe_psql('postgres', 'CREATE TEMP TABLE r AS SELECT p.* FROM digit, mnist_predict(image) AS p;
		SELECT count(DISTINCT model_version),
			bool_and((model_version = 1) = (mnist_internal.challenge_point(id) < 0.5)) FROM r'),
	'2|t', 'once promoted the standby goes on with the challenge');
$standby->safe_psql('postgres', 'SELECT mnist_challenge_drop()');
is($standby->safe_psql('postgres', 'SELECT label, model_version FROM mnist_predict(mnist_draw(0))'), '2|2',
	'once promoted it stores predictions');
is($session->query_safe($constant), '50', 'and its open sessions go on predicting');
$standby->safe_psql('postgres', 'SELECT mnist_activate(1)');
isnt($session->query_safe($constant), '50', 'and use the model that is activated there');
$session->quit;
$standby->stop;
$primary->stop;

done_testing();
