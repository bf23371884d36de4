# Second installations of PostgreSQL for tests.  A test can install one release of the extension after another there.
package Installation;

use strict;
use warnings;

use Exporter qw(import);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT_OK = qw(install_release why_missing);

# The directory with the built files of a release ("now" or "0.1.0"), or undef if it could not be built.
sub release_tree
{
	my ($release) = @_;
	my $tree = ($ENV{MNIST_RELEASES} // '') . "/$release";

	return -d $tree ? $tree : undef;
}

# The reason why a release could not be built, from test/releases.sh, or undef if it was built.
sub why_missing
{
	my ($release) = @_;

	return undef if release_tree($release);
	return 'no releases are built (MNIST_RELEASES; see test/run)' unless $ENV{MNIST_RELEASES};
	chomp(my $why = slurp_file("$ENV{MNIST_RELEASES}/$release.missing"));
	return $why;
}

# Install a release into the installation of this name; make the installation if there is none.  Returns its path, for
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
