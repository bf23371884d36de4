# Explanations of MNIST's test images: erasing the pixels that mnist_explanation names changes the reading more than
# erasing as many others.  Without MNIST, of synthetic digits.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('explain');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'mnist_hil'");
$node->start;
my $digits = "SELECT i AS ordinal, mnist_internal.synthetic(i % 10, i) AS pixels FROM generate_series(1, 50) AS i";
$node->safe_psql('postgres', 'CREATE EXTENSION mnist_hil');
if ($ENV{MNIST_DIR})
{
	my ($images, $labels) = map { (glob "$ENV{MNIST_DIR}/t10k-$_-ubyte*")[0] } qw(images-idx3 labels-idx1);

	$node->safe_psql('postgres',
		"SELECT mnist_import_idx('mnist', 'test', pg_read_binary_file('$images'), pg_read_binary_file('$labels'))");
	$digits = 'SELECT ordinal, pixels FROM mnist_sample WHERE ordinal % 200 = 0';
}
$node->safe_psql('postgres', "
	CREATE FUNCTION erase(image bytea, positions int[]) RETURNS bytea LANGUAGE plpgsql AS \$\$
	DECLARE
		i int;
	BEGIN
		FOREACH i IN ARRAY positions LOOP
			image := set_byte(image, i, 0);
		END LOOP;
		RETURN image;
	END \$\$;
	CREATE TABLE pixel AS
	SELECT s.ordinal, s.pixels, mnist_classify(s.pixels) AS label, (u.n - 1)::int AS position, u.a AS attribution,
		hashint8(u.n * 31 + s.ordinal) AS die
	FROM ($digits) AS s, unnest(mnist_explanation(s.pixels)) WITH ORDINALITY AS u (a, n)
	WHERE get_byte(s.pixels, (u.n - 1)::int) > 0");
for my $share (10, 20)
{
	my ($named, $random, $count) = split /\|/, $node->safe_psql('postgres', "
		SELECT avg((mnist_classify(erase(pixels, named[:n])) <> label)::int),
			avg((mnist_classify(erase(pixels, random[:n])) <> label)::int), count(*)
		FROM (
			SELECT ordinal, pixels, label, (count(*) * $share / 100)::int AS n,
				array_agg(position ORDER BY attribution DESC) AS named, array_agg(position ORDER BY die) AS random
			FROM pixel GROUP BY ordinal, pixels, label) AS p");

	cmp_ok($named, '>', 2 * $random, "erasing the $share % of the ink that are named makes more readings change than random ones");
	cmp_ok($named, '>', 0.15, 'and many do');
	note("share of $count readings that change: named $named, random $random");
}
$node->stop;

done_testing();
