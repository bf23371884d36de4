# rooms.pl ROOM:USES...: check which rooms of src use which others, and that there is no cycle between its files.
#
# A room is a folder of src.  Each argument is a room, a colon, and the rooms that it may use besides itself, separated
# by commas.  A file must not include a header of any other room, and its object must not need a symbol of one.  The
# objects must have been built.  Files directly in src may use all rooms.
use strict;
use warnings;

use File::Find;

my %uses = map { my ($room, $uses) = split /:/; $room => { map { $_ => 1 } $room, split /,/, $uses // '' } } @ARGV;
my @bad;

# The innermost room that the file is in: "nn/train" rather than "nn".
sub room
{
	my ($file) = @_;

	for my $room (sort { length $b <=> length $a } keys %uses) { return $room if index($file, "$room/") == 0 }
	return $file =~ m!/! ? undef : '';
}

sub check
{
	my ($from, $to, $why) = @_;
	my ($room, $other) = (room($from), room($to));

	return push @bad, "src/$from is in no room" unless defined $room;
	return push @bad, "src/$to is in no room" unless defined $other;
	push @bad, "src/$from $why src/$to: $room must not use $other" unless $room eq '' || $uses{$room}{$other};
	return;
}

# ---- includes

my %needs;
find({ no_chdir => 1, wanted => sub {
	return unless /\.[ch]$/;
	(my $file = $_) =~ s!^src/!!;
	open my $source, '<', $_ or die "$_: $!";
	while (<$source>)
	{
		next unless /^\s*#\s*include\s+"([^"]+)"/ && -e "src/$1";
		check($file, $1, 'includes');
		$needs{$file}{$1} = 1;
	}
} }, 'src');

# ---- symbols

my (%defines, %wants);
my @objects;
find({ no_chdir => 1, wanted => sub { push @objects, $_ if /\.o$/ } }, 'src');
die "no object is built: run make first\n" unless @objects;
for my $object (@objects)
{
	(my $file = $object) =~ s!^src/(.*?)(\.\w+)?\.o$!$1.c!;
	for (qx(nm "$object"))
	{
		$defines{$1} = $file if /^[0-9a-f]+ [BDRTV] (\S+)/;
		$wants{$file}{$1} = 1 if /^\s+U (\S+)/;
	}
}
for my $file (keys %wants)
{
	for my $symbol (keys %{ $wants{$file} })
	{
		my $other = $defines{$symbol};

		next if !defined $other || $other eq $file;
		check($file, $other, "calls $symbol of");
		$needs{$file}{$other} = 1;
	}
}

# ---- cycles of includes and calls

my (%state, @path);
sub visit
{
	my ($file) = @_;

	return if ($state{$file} // '') eq 'done';
	if (($state{$file} // '') eq 'open')
	{
		my @cycle = @path;

		shift @cycle while $cycle[0] ne $file;
		push @bad, 'a cycle: ' . join ' -> ', map { "src/$_" } @cycle, $file;
		return;
	}
	$state{$file} = 'open';
	push @path, $file;
	visit($_) for sort keys %{ $needs{$file} };
	pop @path;
	$state{$file} = 'done';
	return;
}
visit($_) for sort keys %needs;

print map { "$_\n" } @bad;
exit(@bad > 0);
