# Accuracy on MNIST.  The bundled model has the documented accuracy, on raw pixels and on PNGs.  Fine-tuning on a style
# that it predicts badly raises the accuracy on that style and keeps it elsewhere.  Skipped without MNIST (MNIST_DIR).
use strict;
use warnings;

use File::Basename;
use IPC::Run;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $mnist = $ENV{MNIST_DIR};
plan skip_all => 'MNIST is not at hand (MNIST_DIR)' unless $mnist;

my $node = PostgreSQL::Test::Cluster->new('accuracy');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'\n");
$node->start;

# The path of one of MNIST's files, compressed or not.
sub idx
{
	my ($name) = @_;
	my ($path) = grep { -e } ("$mnist/$name", "$mnist/$name.gz");
	return $path // die "$name is not in $mnist";
}

# A fresh extension with a data set as base data.
sub start_with
{
	my ($base) = @_;

	$node->safe_psql('postgres', 'DROP EXTENSION IF EXISTS mnist_hil');
	$node->safe_psql('postgres', 'CREATE EXTENSION mnist_hil');
	if ($base eq 'synthetic')
	{
		$node->safe_psql('postgres', 'SELECT mnist_import_synthetic(n => 20000)');
		return;
	}
	foreach my $split (['train', 'train'], ['test', 't10k'])
	{
		my ($images, $labels) = map { idx("$split->[1]-$_-ubyte") } ('images-idx3', 'labels-idx1');
		$node->safe_psql('postgres',
			"SELECT mnist_import_idx('mnist', '$split->[0]', pg_read_binary_file('$images'),"
				. " pg_read_binary_file('$labels'))");
	}
}

# Fine-tune on 500 corrections of the style.  Returns the figures that fine_tune.sql prints, by name.
sub fine_tune
{
	my $output = '';

	IPC::Run::run(['psql', '-X', '-At', '-F', '=', '-v', 'corrections=500', '-v', 'others=1000',
		'-d', $node->connstr('postgres'), '-f', dirname(__FILE__) . '/../bench/fine_tune.sql'],
		'>', \$output) or die "fine_tune.sql failed: $output";
	note($output);
	return { map { split /=/, $_, 2 } grep { /=/ } split /\n/, $output };
}

start_with('mnist');
my ($raw, $png) = split /\|/, $node->safe_psql('postgres',
	q{SELECT 100 * avg((mnist_classify(pixels) = label)::int),
		100 * avg((mnist_classify(mnist_png(pixels)) = label)::int)
	FROM mnist_sample WHERE split = 'test'});
cmp_ok($raw, '>=', 99.60, 'the bundled model\'s accuracy on MNIST\'s test images');
cmp_ok(abs($raw - $png), '<=', 0.05, '... is the same on PNGs');

$node->safe_psql('postgres',
	"CREATE TABLE digit AS SELECT split, ordinal, label, pixels FROM mnist_sample WHERE split <> 'validation'");
my $tuned = fine_tune();
is($tuned->{promoted}, 't', 'MNIST as base: 500 corrections give a better model');
cmp_ok($tuned->{learned_percent_of_missing}, '>=', 50,
	'... whose accuracy on the style gains at least half of what was missing');
cmp_ok($tuned->{cost_points}, '<=', 0.05, '... and whose accuracy on MNIST is as before');

start_with('synthetic');
$tuned = fine_tune();
is($tuned->{promoted}, 't', 'synthetic digits as base: 500 corrections give a better model');
cmp_ok($tuned->{learned_percent_of_missing}, '>=', 50,
	'... whose accuracy on the style gains at least half of what was missing');
cmp_ok($tuned->{cost_points}, '<=', 0.3, '... and whose accuracy on MNIST is nearly as before');

$node->stop;
done_testing();
