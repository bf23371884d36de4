# place.sh: where the demo's server lives.  To be sourced after lib.sh.
# shellcheck shell=bash disable=SC2034,SC2154

# Of a user: in the checkout.  Of root: with postgres, who cannot read a checkout under /root.
if [ -n "${DEMO_DIR:-}" ]; then
	demo_dir=$DEMO_DIR
elif [ "$(id -u)" = 0 ]; then
	demo_dir=/var/lib/postgresql/mnist_hil_demo
else
	demo_dir=$repo/.demo
fi
demo_port=54320
# A socket's path has room for some 100 bytes only.
if [ ${#demo_dir} -lt 80 ]; then
	demo_socket=$demo_dir
else
	demo_socket=${XDG_RUNTIME_DIR:-$HOME}
fi

# What to type to get in.
client_command()
{
	local psql="psql -h $demo_socket -p $demo_port -U demo demo"

	if [ "$(id -u)" = 0 ]; then
		echo "runuser -u $(server_user) -- $psql"
	else
		echo "$psql"
	fi
}
