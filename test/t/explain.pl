# Explanations: erasing the pixels that mnist_explanation names changes more predictions than erasing as many random
# pixels.  This is tested on digits drawn by the extension, and on MNIST's test images if MNIST is available.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('explain');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'");
$node->start;
$node->safe_psql('postgres', '
	CREATE EXTENSION mnist_hil;
	CREATE FUNCTION erase(image bytea, positions int[]) RETURNS bytea LANGUAGE plpgsql AS $$
	DECLARE
		i int;
	BEGIN
		FOREACH i IN ARRAY positions LOOP
			image := set_byte(image, i, 0);
		END LOOP;
		RETURN image;
	END $$');

my %digits = (synthetic => '
	SELECT i AS ordinal, mnist_internal.synthetic(i % 10, i) AS pixels FROM generate_series(1, 50) AS i');
if ($ENV{MNIST_DIR})
{
	my ($images, $labels) = map { (glob "$ENV{MNIST_DIR}/t10k-$_-ubyte*")[0] } qw(images-idx3 labels-idx1);

	$node->safe_psql('postgres',
		"SELECT mnist_import_idx('mnist', 'test', pg_read_binary_file('$images'), pg_read_binary_file('$labels'))");
	$digits{mnist} = 'SELECT ordinal, pixels FROM mnist_sample WHERE ordinal % 200 = 0';
}

# For each image: does erasing the ink that the explanation names change the prediction, and does erasing as many random
# pixels of ink?
for my $name (sort keys %digits)
{
	$node->safe_psql('postgres', "
		CREATE TABLE $name AS
		SELECT s.ordinal, s.pixels, mnist_classify(s.pixels) AS label, (u.n - 1)::int AS position, u.a AS attribution,
			hashint8(u.n * 31 + s.ordinal) AS die
		FROM ($digits{$name}) AS s, unnest(mnist_explanation(s.pixels)) WITH ORDINALITY AS u (a, n)
		WHERE get_byte(s.pixels, (u.n - 1)::int) > 0");
	for my $percent (5, 10, 20)
	{
		my ($count, $named, $random, $only_named, $only_random) = split /\|/, $node->safe_psql('postgres', "
			SELECT count(*), count(*) FILTER (WHERE named), count(*) FILTER (WHERE random),
				count(*) FILTER (WHERE named AND NOT random), count(*) FILTER (WHERE random AND NOT named)
			FROM (
				SELECT mnist_classify(erase(pixels, named[:n])) <> label AS named,
					mnist_classify(erase(pixels, random[:n])) <> label AS random
				FROM (
					SELECT pixels, label, (count(*) * $percent / 100)::int AS n,
						array_agg(position ORDER BY attribution DESC) AS named,
						array_agg(position ORDER BY die) AS random
					FROM $name GROUP BY ordinal, pixels, label) AS p
				OFFSET 0) AS changed");
		my $what = "$name, $percent % of the ink";

		note("$what: of $count predictions, erasing named pixels changes $named ($only_named that random ones do not),"
				. " and erasing random pixels changes $random ($only_random that named ones do not)");
		is($count, 50, "$what: fifty digits");
		cmp_ok($named, '>', 0.15 * $count, "$what: erasing the named pixels changes many predictions");
		# If much of the ink is erased, random pixels change many predictions, too, mostly the same ones.
		cmp_ok($named, '>', 2 * $random, "$what: more than twice as many as erasing random ones") if $percent <= 10;
		cmp_ok($only_named, '>=', 3 * $only_random,
			"$what: where only one of the two changes the prediction, it is mostly the named pixels");
	}
}
$node->stop;

done_testing();
