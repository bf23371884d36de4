# lib.sh: podman and buildah as root, in a directory of their own.  The machine's own images, containers and
# configuration are neither used nor changed.  bash scripts source it.
# shellcheck shell=bash

# Images stay here for the next time: the base image, and the layers of the build.
containers=${MNIST_CONTAINERS:-/var/cache/mnist_hil-containers}

export CONTAINERS_CONF=$containers/containers.conf
export CONTAINERS_STORAGE_CONF=$containers/storage.conf
export CONTAINERS_REGISTRIES_CONF=$containers/registries.conf
export BUILDAH_ISOLATION=chroot TMPDIR=$containers/tmp
base=localhost/debian:bookworm-slim

configure_containers()
{
	mkdir -p "$containers/tmp"
	chmod 0700 "$containers"
	cat >"$CONTAINERS_CONF" <<-CONF
		[engine]
		runtime = "runc"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		tmp_dir = "$containers/run/libpod"
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
	CONF
	cat >"$CONTAINERS_STORAGE_CONF" <<-CONF
		[storage]
		driver = "overlay"
		graphroot = "$containers/storage"
		runroot = "$containers/run/storage"
	CONF
	cat >"$CONTAINERS_REGISTRIES_CONF" <<-CONF
		[aliases]
		"debian" = "localhost/debian"
	CONF
}

# Make the image that the Dockerfiles name debian:bookworm-slim, from this machine's sources of packages.  As Debian's
# own image, it has no documentation and no translations, and its dpkg installs none.
make_base_image()
{
	local root=$containers/tmp/base mirror

	podman image exists "$base" && return
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
	rm -rf "$root"
	debootstrap --variant=minbase bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$root.log" 2>&1 ||
		{ tail "$root.log"; return 1; }
	cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<-CONF
		path-exclude /usr/share/doc/*
		path-include /usr/share/doc/*/copyright
		path-exclude /usr/share/info/*
		path-exclude /usr/share/locale/*
		path-exclude /usr/share/man/*
	CONF
	find "$root/usr/share/doc" ! -type d ! -name copyright -delete
	rm -rf "$root"/usr/share/{info,locale,man}/* "$root"/var/{lib/apt/lists,cache/apt,log}/*
	rm -f "$root/etc/apt/sources.list"
	cp -R /etc/apt/sources.list* "$root/etc/apt/"
	apt-config dump | grep '^Acquire::' >"$root/etc/apt/apt.conf.d/99machine"
	tar -C "$root" -c . | podman import -q - "$base" && rm -rf "$root" "$root.log"
}
