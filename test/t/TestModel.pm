# Models for tests: networks that predict the same digit for every image.
package TestModel;

use strict;
use warnings;

use Compress::Zlib qw(crc32);
use Exporter qw(import);

our @EXPORT_OK = qw(constant_model add_constant_model add_variant);

# A weights blob (see src/nn/formats/blob.c) with all weights zero except for the bias of one digit.
sub constant_model
{
	my ($network, $nvalues, $digit) = @_;
	my @values = (0) x $nvalues;

	$values[$nvalues - 10 + $digit] = 5;
	my $body = pack('V V V', 1, length $network, $nvalues) . $network . pack('f<*', @values);
	return "\x89MHNN\r\n\x1a" . pack('V', crc32($body)) . $body;
}

# Add a model to a server's database.
sub add_model
{
	my ($node, $database, $version, $blob) = @_;

	$node->safe_psql($database, "
		INSERT INTO mnist_model (version, parent_version, architecture, network, parameters, weights, weights_sha256)
		SELECT $version, 1, 'test', d.network, d.parameters, w, sha256(w)
		FROM decode('" . unpack('H*', $blob) . "', 'hex') AS w, mnist_internal.describe(w) AS d");
	return;
}

# Add a model that differs from another version only in its last weight.
sub add_variant
{
	my ($node, $database, $version, $of, $tag) = @_;
	my $blob = pack('H*', $node->safe_psql($database,
		"SELECT encode(weights, 'hex') FROM mnist_model WHERE version = $of"));
	my $body = substr($blob, 12);

	substr($body, -4) = pack('f<', unpack('f<', substr($body, -4)) + 1e-4 * $tag);
	add_model($node, $database, $version, substr($blob, 0, 8) . pack('V', crc32($body)) . $body);
	return;
}

# Add a model that predicts the same digit for every image.  Its tag makes its weights differ from those of other
# models.
sub add_constant_model
{
	my ($node, $database, $version, $network, $nvalues, $digit, $tag) = @_;
	my $blob = constant_model($network, $nvalues, $digit);

	if ($tag)
	{
		my $header = 24 + length $network;
		my $body = substr($blob, 12);

		substr($body, $header - 12, 4) = pack('f<', 1e-6 * $tag);
		$blob = substr($blob, 0, 8) . pack('V', crc32($body)) . $body;
	}
	add_model($node, $database, $version, $blob);
	return;
}

1;
