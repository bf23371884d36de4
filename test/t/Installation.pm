# Second installations of PostgreSQL for tests, in which a test may put one release of the extension after another.
package Installation;

use strict;
use warnings;

use Exporter qw(import);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT_OK = qw(install_release release_tree);

# Where a release lies ready to be installed ("now" or "0.1.0"), or undef if it could not be built.
sub release_tree
{
	my ($release) = @_;
	my $tree = ($ENV{MNIST_RELEASES} // '') . "/$release";

	return -d $tree ? $tree : undef;
}

# Put a release into the installation of this name, which is made if there is none; returns its path, for
# PostgreSQL::Test::Cluster's install_path.
sub install_release
{
	my ($name, $release) = @_;
	my ($path, $stderr) = run_command([ "$FindBin::RealBin/../installation.sh",
		"$PostgreSQL::Test::Utils::tmp_check/installation_$name", release_tree($release) ]);

	die "installation.sh: $stderr" if $stderr ne '' || $path eq '';
	return $path;
}

1;
