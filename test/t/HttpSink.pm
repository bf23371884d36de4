# An HTTP server on the loopback interface that misbehaves as told.  It runs inside the test: step() serves for a
# moment.
package HttpSink;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

# Statuses that it can answer with, besides what answer() does itself.
my %reasons = (200 => 'OK', 302 => 'Found', 400 => 'Bad Request', 429 => 'Too Many Requests',
	500 => 'Internal Server Error');

sub new
{
	my ($class) = @_;
	my $self = bless { port => 0, plan => [], requests => [], connections => {}, held => [] }, $class;

	$self->open;
	return $self;
}

# Accept connections, always on the same port.
sub open ## no critic
{
	my ($self) = @_;

	$self->{listener} = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->{port}, Listen => 20,
		ReuseAddr => 1, Blocking => 0)
		or die "cannot listen: $@";
	$self->{port} = $self->{listener}->sockport;
	return;
}

# Refuse connections.
sub refuse
{
	my ($self) = @_;

	close $self->{listener};
	delete $self->{listener};
	return;
}

sub url
{
	my ($self, $path) = @_;

	return "http://127.0.0.1:$self->{port}$path";
}

# What to do with the next requests, one after the other: a status to answer with; "429 N": with Retry-After N;
# "hang": do not answer; "hold": not before release(); "cut": close the connection after reading; "half": answer 200
# without the promised body.  When the plan is used up, it answers 200.
sub plan
{
	my ($self, @plan) = @_;

	push @{ $self->{plan} }, @plan;
	return;
}

# The requests that were read, in order: hashes with method, path, headers (lower case), body, and what was done.
sub requests
{
	my ($self) = @_;

	return @{ $self->{requests} };
}

sub answer
{
	my ($self, $socket, $status, @headers) = @_;

	syswrite $socket, join("\r\n", "HTTP/1.1 $status $reasons{$status}", @headers, 'Content-Length: 2',
		'Connection: close', '', 'ok');
	delete $self->{connections}{$socket};
	close $socket;
	return;
}

# Answer the requests that are held with 200.
sub release
{
	my ($self) = @_;

	for my $held (splice @{ $self->{held} })
	{
		$held->{request}{done} = '200';
		$self->answer($held->{socket}, 200);
	}
	return;
}

sub act
{
	my ($self, $socket, $request) = @_;
	my $action = shift @{ $self->{plan} } // '200';

	$request->{done} = $action;
	push @{ $self->{requests} }, $request;
	if ($action =~ /^(\d+)(?: (\d+))?$/)
	{
		$self->answer($socket, $1, defined $2 ? "Retry-After: $2" : (), $1 == 302 ? 'Location: /elsewhere' : ());
	}
	elsif ($action eq 'half')
	{
		syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nand then";
	}
	elsif ($action eq 'hold')
	{
		push @{ $self->{held} }, { socket => $socket, request => $request };
	}
	elsif ($action eq 'cut')
	{
		delete $self->{connections}{$socket};
		close $socket;
	}
	return;
}

# Serve what has arrived, or arrives within a few milliseconds.
sub step
{
	my ($self) = @_;
	my $select = IO::Select->new(grep { defined } $self->{listener},
		map { $_->{socket} } values %{ $self->{connections} });

	for my $socket ($select->can_read(0.02))
	{
		if ($self->{listener} && $socket == $self->{listener})
		{
			my $new = $socket->accept or next;

			$self->{connections}{$new} = { socket => $new, read => '' };
			next;
		}
		my $connection = $self->{connections}{$socket} or next;
		my $n = sysread $socket, $connection->{read}, 65536, length $connection->{read};

		if (!$n)
		{
			delete $self->{connections}{$socket};
			close $socket;
			next;
		}
		my ($head, $body) = $connection->{read} =~ /^(.*?\r\n)\r\n(.*)$/s or next;
		my ($method, $path) = $head =~ /^(\S+) (\S+)/;
		my %headers = map { /^([^:]+):\s*(.*?)\r?$/ ? (lc $1 => $2) : () } split /\n/, $head;

		next if length $body < ($headers{'content-length'} // 0) || $connection->{seen};
		$connection->{seen} = 1;
		$self->act($socket, { method => $method, path => $path, headers => \%headers, body => $body });
	}
	return;
}

1;
