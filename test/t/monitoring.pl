# Monitoring as configured in docker/.  Debian's prometheus-postgres-exporter queries a cluster, and Debian's Prometheus
# scrapes the exporter.  Prometheus then has everything that the dashboard shows.  All processes run unprivileged, on
# the loopback interface.  The dashboard is also checked by what Grafana requires of one.
use strict;
use warnings;

use File::Copy;
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TestWait qw(wait_until);

for my $program (qw(prometheus promtool prometheus-postgres-exporter))
{
	plan skip_all => "$program is not installed (test/packages.sh install monitoring)"
		unless grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

my $home = PostgreSQL::Test::Utils::tempdir();
my $http = HTTP::Tiny->new(timeout => 10);
my @daemons;

sub get
{
	my ($url) = @_;
	my $answer = $http->get($url);

	return $answer->{success} ? $answer->{content} : undef;
}

# The current value of a PromQL expression: a list of samples.
my $prometheus;
sub query
{
	my ($expr) = @_;
	my $answer = get("http://$prometheus/api/v1/query?" . $http->www_form_urlencode({ query => $expr }));

	return defined $answer ? @{ decode_json($answer)->{data}{result} } : ();
}

sub start_daemon
{
	my ($name, @command) = @_;

	push @daemons, IPC::Run::start(\@command, '<', '/dev/null', '&>', "$home/$name.log");
	return;
}

END
{
	my $status = $?;

	$_->kill_kill(grace => 5) for @daemons;
	diag(map { slurp_file($_) } glob "$home/*.log") if $status;
	$? = $status;
}

# The rules, without a server.
my ($out, $err);
ok(IPC::Run::run([ 'promtool', 'check', 'rules', 'docker/prometheus/alerts.yml' ], '&>', \$out),
	'promtool finds nothing wrong with the rules')
	or diag($out);
ok(IPC::Run::run([ 'promtool', 'test', 'rules', 'test/prometheus/alerts_test.yml' ], '&>', \$out),
	'each alert fires when it should')
	or diag($out);

# The dashboard, as Grafana would load it.
my $dashboard = decode_json(slurp_file('docker/grafana/dashboards/mnist_hil.json'));
# Panels of a collapsed row are inside it.
my @panels = map { ($_, @{ $_->{panels} || [] }) } @{ $dashboard->{panels} };
my @faults;
sub demand
{
	my ($condition, $what) = @_;

	push @faults, $what unless $condition;
	return;
}
sub is_number
{
	my ($value) = @_;

	return defined $value && $value =~ /^[0-9]+$/;
}
my ($source) = slurp_file('docker/grafana/provisioning/datasources/prometheus.yaml') =~ /^ +uid: (\S+)$/m;
sub names_source
{
	my ($where, $what) = @_;
	my $named = $where->{datasource} || {};

	demand(($named->{type} || '') eq 'prometheus' && ($named->{uid} || '') eq $source,
		"$what: its data source is the one that is provisioned");
	return;
}
demand(($dashboard->{uid} || '') =~ /^[A-Za-z0-9_-]{1,40}$/, 'uid');
demand(length($dashboard->{title} || ''), 'title');
# Grafana brings older dashboards up to date; 36 is the version from which data sources are named by type and uid.
demand(is_number($dashboard->{schemaVersion}) && $dashboard->{schemaVersion} >= 36, 'schemaVersion');
demand(is_number($dashboard->{version}), 'version');
demand(!defined $dashboard->{id}, 'no id, which would be that of another Grafana');
demand($dashboard->{refresh} =~ /^[0-9]+[smh]$/, 'refresh');
demand($dashboard->{time}{from} && $dashboard->{time}{to}, 'time');
demand(ref $dashboard->{templating}{list} eq 'ARRAY' && ref $dashboard->{annotations}{list} eq 'ARRAY', 'lists');
for my $annotation (@{ $dashboard->{annotations}{list} })
{
	demand($annotation->{name} && $annotation->{expr} && $annotation->{iconColor}, 'annotation');
	names_source($annotation, 'annotation');
}
my (%ids, @taken);
for my $panel (@panels)
{
	my $what = 'panel ' . ($panel->{title} || '?');
	my ($x, $y, $w, $h) = map { $panel->{gridPos}{$_} } qw(x y w h);
	my %refs;

	demand(is_number($panel->{id}) && !$ids{ $panel->{id} }++, "$what: an id of its own");
	demand(length($panel->{title} || ''), "$what: title");
	demand($panel->{type} =~ /^(?:row|stat|timeseries|bargauge)$/, "$what: type");
	demand(4 == grep({ is_number($_) } $x, $y, $w, $h) && $w > 0 && $h > 0 && $x + $w <= 24,
		"$what: place in the grid");
	push @faults, map { "$what overlaps $_->[0]" }
		grep { $x < $_->[1] + $_->[3] && $_->[1] < $x + $w && $y < $_->[2] + $_->[4] && $_->[2] < $y + $h } @taken;
	push @taken, [ $what, $x, $y, $w, $h ];
	next if $panel->{type} eq 'row';
	names_source($panel, $what);
	demand(ref $panel->{fieldConfig}{defaults} eq 'HASH' && ref $panel->{fieldConfig}{overrides} eq 'ARRAY',
		"$what: fieldConfig");
	demand(ref $panel->{options} eq 'HASH', "$what: options");
	demand(@{ $panel->{targets} || [] }, "$what: targets");
	for my $target (@{ $panel->{targets} })
	{
		names_source($target, $what);
		demand(length($target->{expr} || ''), "$what: expr");
		demand(($target->{refId} || '') =~ /^[A-Z]$/ && !$refs{ $target->{refId} }++, "$what: a refId of its own");
	}
}
cmp_ok(scalar @panels, '>', 20, 'the dashboard has panels');
is(join("\n", @faults), '', 'it has what Grafana requires');
my ($path) = slurp_file('docker/grafana/provisioning/dashboards/mnist_hil.yaml') =~ m{^ +path: (\S+)$}m;
# compose.yaml: what it mounts is there, and docker/README.md has all of its variables.
my $compose = slurp_file('docker/compose.yaml');
my @mounted = map { s/^\$\{\w+:-(.*)\}$/$1/r } $compose =~ m{^ +- (\.\S*?|\$\{\S*?\}):/}mg;
cmp_ok(scalar @mounted, '>=', 7, 'compose mounts files');
is(join(' ', grep { !-e "docker/$_" } @mounted), '', 'and they are there');
like($compose, qr{ \./grafana/dashboards:\Q$path\E:ro$}m, 'the dashboard is where Grafana is told to look');
my $documentation = slurp_file('docker/README.md');
is(join(' ', grep { $documentation !~ /\b$_\b/ } $compose =~ /\$\{(\w+)/g), '', 'its variables are documented');

# A cluster that has been used.
my $node = PostgreSQL::Test::Cluster->new('monitoring');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\nmax_worker_processes = 16");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION mnist_hil;
	CREATE ROLE regress_exporter LOGIN;
	GRANT SELECT ON mnist_metrics TO regress_exporter;
	GRANT EXECUTE ON FUNCTION mnist_metrics_text TO regress_exporter;
	SELECT mnist_import_synthetic('base', 1200);
	SELECT count(id)
	FROM mnist_predict_batch((SELECT array_agg(mnist_draw(i % 10, i, 56)) FROM generate_series(1, 100) AS i));
	SELECT count(mnist_correct(id, (label + (id % 5 = 0)::int) % 10)) FROM mnist_prediction;
	SELECT mnist_retrain(architectures => '{softmax}', strategy => 'from_scratch', epochs => 1, seed => 1);
	SELECT mnist_retrain(learning_rate => 1e-9, epochs => 1, seed => 1);
	SELECT mnist_activate(max(version)) FROM mnist_model;
	SELECT mnist_rollback('only a test');
});

# The exposition format, as Prometheus parses it.
my $text = $node->safe_psql('postgres', 'SET ROLE regress_exporter; SELECT mnist_metrics_text()');
ok(IPC::Run::run([ 'promtool', 'check', 'metrics' ], '<',
	\"$text\n", '&>', \$out), 'promtool finds nothing wrong with mnist_metrics_text')
	or diag($out);

# The exporter and Prometheus, configured as in docker/ except for addresses and intervals.
my $exporter = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
$ENV{DATA_SOURCE_NAME} = 'host=' . $node->host . ' port=' . $node->port
	. ' user=regress_exporter dbname=postgres sslmode=disable';
start_daemon('exporter', 'prometheus-postgres-exporter', '--extend.query-path=docker/prometheus/queries.yaml',
	'--disable-default-metrics', '--disable-settings-metrics', "--web.listen-address=$exporter");
my $scraped = wait_until('the exporter answers',
	sub { my $page = get("http://$exporter/metrics"); $page && $page =~ /^mnist_hil_model_version/m ? $page : undef });
like($scraped, qr/^pg_exporter_last_scrape_error 0$/m, 'its queries have no error');

$prometheus = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
my $config = slurp_file('docker/prometheus/prometheus.yml');
is($config =~ s/exporter:9187/$exporter/g, 1, 'Prometheus is told where the exporter is');
$config =~ s/15s/1s/g;
append_to_file("$home/prometheus.yml", $config);
copy('docker/prometheus/alerts.yml', "$home/alerts.yml") or die;
start_daemon('prometheus', 'prometheus', "--config.file=$home/prometheus.yml", "--storage.tsdb.path=$home/tsdb",
	"--web.listen-address=$prometheus");
wait_until('Prometheus has scraped it more than once', sub { query('rate(mnist_hil_predictions_total[30s])') });

# Every metric arrives, under its name, with its labels.
my $figures = decode_json($node->safe_psql('postgres', 'SELECT json_agg(m) FROM mnist_metrics m'));
cmp_ok(scalar @$figures, '>', 50, 'there are figures');
my @lost;
for my $figure (@$figures)
{
	my $labels = join ',', map { "$_=\"$figure->{labels}{$_}\"" } sort keys %{ $figure->{labels} };
	my @found = query("$figure->{name}\{$labels\}");
	my $changes = $figure->{name} =~ /table_bytes|cache/;

	push @lost, "$figure->{name}\{$labels\} $figure->{value}: " . encode_json(\@found)
		unless @found == 1 && ($changes || abs($found[0]{value}[1] - $figure->{value}) <= 1e-6 * abs $figure->{value});
}
is(join("\n", @lost), '', 'every figure of mnist_metrics is found in Prometheus');

# Everything that the dashboard shows and that the alerts use.
my @expressions = map { map { $_->{expr} } @{ $_->{targets} || [] } } @panels;
push @expressions, map { $_->{expr} =~ s/ > 0$//r } @{ $dashboard->{annotations}{list} };
cmp_ok(scalar @expressions, '>', 25, 'the dashboard has expressions');
for my $expression (@expressions)
{
	(my $now = $expression) =~ s/\$__rate_interval|2m/30s/g;
	ok(scalar query($now), "found: $expression");
}
my %known = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT name FROM mnist_internal.metric');
for my $file (qw(docker/prometheus/alerts.yml docker/grafana/dashboards/mnist_hil.json))
{
	my @unknown = grep { !$known{$_} } slurp_file($file) =~ /\b(mnist_hil_[a-z_]+)/g;

	is(join(' ', @unknown), '', "$file names metrics that there are");
}
my $rules = decode_json(get("http://$prometheus/api/v1/rules"))->{data}{groups}[0]{rules};
wait_until('every rule was evaluated', sub {
	$rules = decode_json(get("http://$prometheus/api/v1/rules"))->{data}{groups}[0]{rules};
	return !grep { $_->{health} eq 'unknown' } @$rules;
});
is(join(' ', map { "$_->{name}: $_->{lastError}" } grep { $_->{health} ne 'ok' } @$rules), '',
	'Prometheus can evaluate every rule');
is_deeply([ sort map { $_->{name} } grep { $_->{state} eq 'firing' && $_->{name} =~ /Down|Stuck/ } @$rules ], [],
	'nothing is reported down');

# During a retraining.
$node->safe_psql('postgres', "SELECT mnist_retrain(wait => false, epochs => 60, seed => 1)");
wait_until('a run in progress is shown', sub { query('mnist_hil_run_in_progress == 1') });
wait_until('and its progress', sub { query('mnist_hil_run_progress_ratio > 0') });
my $begun = time;
is($node->safe_psql('postgres', "SELECT value FROM mnist_metrics WHERE name = 'mnist_hil_run_in_progress'"), '1',
	'mnist_metrics answers meanwhile');
cmp_ok(time - $begun, '<', 2, 'at once');

# A transaction that queries mnist_metrics and one that predicts do not wait for each other.
my $monitor = $node->background_psql('postgres');
$monitor->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mnist_metrics');
is($node->safe_psql('postgres',
	"SET lock_timeout = '1s'; SELECT label IS NOT NULL FROM mnist_predict(mnist_draw(3))"), 't',
	'a prediction does not wait for a transaction that has queried mnist_metrics');
$monitor->query_safe('COMMIT; BEGIN; SELECT mnist_predict(mnist_draw(4));'
	. ' SELECT mnist_correct(max(id), 4) FROM mnist_prediction');
is($node->safe_psql('postgres', "SET lock_timeout = '1s'; SELECT count(*) > 50 FROM mnist_metrics"), 't',
	'mnist_metrics does not wait for a transaction that has predicted');
$monitor->quit;
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM mnist_run WHERE status = 'running'");

# Prometheus notices that the database is gone.
$node->stop('fast');
wait_until('without the database there are no metrics', sub { !query('mnist_hil_model_version') });

done_testing();
