#!/usr/bin/env bash
# Builds the image and runs what deployments/ ships: make test-containers, as root, on Debian.
#
# Nothing is pulled from a registry of images: the base image is made from Debian's packages and the running Python.
# Images, containers and networks live in a directory and in namespaces of their own, and end with this script.
set -euo pipefail

if ((EUID)); then
  echo "test-containers: needs root: debootstrap, namespaces and limits of memory do" >&2
  exit 2
fi
python=$(realpath "${1:?usage: tests/containers/run.sh PYTHON}" --no-symlinks)
cd "$(dirname "$0")/../.."
work=$(mktemp --directory /var/tmp/dsir-containers.XXXXXX)
# shellcheck disable=SC1091
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

cleanup() {
  podman rm --all --force --volumes --time 0 >/dev/null 2>&1 || true
  podman rmi --all --force >/dev/null 2>&1 || true
  umount "$work"/storage/overlay 2>/dev/null || true
  rm --recursive --force --one-file-system "$work"
}

quietly() { "$@" >"$work/log" 2>&1 || { tail --lines 40 "$work/log" >&2; return 1; }; }

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

packages() {
  apt-get update --quiet --quiet
  DEBIAN_FRONTEND=noninteractive quietly apt-get install --yes --no-install-recommends \
    podman buildah runc netavark aardvark-dns catatonit debootstrap iptables uidmap iproute2
}

# The engine's configuration: limits that can be set in a container too, and nothing outside of $work.
configure() {
  export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf DISABLE_HC_SYSTEMD=true
  cat >"$CONTAINERS_CONF" <<END
[containers]
cgroups = "enabled"
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "$work/libpod"
END
  cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "overlay"
graphroot = "$work/storage"
runroot = "$work/run"
END
}

# What python:3-slim is: Debian, and Python in /usr/local.
base() {
  local root=$work/root prefix mirror
  prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head --lines 1)
  local include=ca-certificates,libssl3,libffi8,libsqlite3-0,libreadline8,libbz2-1.0,liblzma5,zlib1g
  include+=,libncursesw6,libuuid1,libexpat1,netbase,tzdata
  [[ $prefix != /usr ]] || include+=,python3,python3-venv,python-is-python3
  quietly debootstrap --variant=minbase --include="$include" "$codename" "$root" "$mirror"
  if [[ $prefix != /usr ]]; then
    tar --directory "$prefix" --exclude='*/site-packages/*' --exclude=__pycache__ --create . |
      tar --directory "$root/usr/local" --extract --no-same-owner
    chroot "$root" ldconfig
  fi
  # Packages come from $work/wheels, so that the build needs no network.
  printf '[global]\nno-index = true\nfind-links = /wheels\n' >"$root/etc/pip.conf"
  tar --directory "$root" --create . | podman import --quiet - localhost/dsir-base:test >/dev/null
  rm --recursive --force --one-file-system "$root"
}

wheels() {
  sed --regexp-extended '/^ *--hash=/d; s/ \\$//' requirements-extras.lock >"$work/constraints.txt"
  quietly "$python" -m pip wheel --wheel-dir "$work/wheels" --constraint "$work/constraints.txt" \
    '.[kubernetes]' 'hatchling>=1.27,<2'
  "$python" -m venv "$work/compose"
  quietly "$work/compose/bin/pip" install podman-compose==1.6.0
}

images() {
  quietly podman build --pull=never --network=none --volume "$work/wheels:/wheels:ro" --file deployments/Dockerfile \
    --build-arg BASE=localhost/dsir-base:test --build-arg 'EXTRAS=[kubernetes]' --tag dsir-pipeline:0.1.0 .
  # The S3 server under the name that the compose file has: the base, and the program that the tests use.
  mkdir "$work/s3"
  cp --dereference "$(dirname "$python")/weed" "$work/s3/weed"
  printf 'FROM localhost/dsir-base:test\nCOPY weed /usr/bin/weed\nENTRYPOINT ["weed"]\n' >"$work/s3/Dockerfile"
  quietly podman build --pull=never --network=none --tag docker.io/chrislusf/seaweedfs:4.48 "$work/s3"
}

trap cleanup EXIT
step "packages of Debian"
packages
configure
step "base image"
base
step "packages of Python"
wheels
step "images"
images
step "tests"
# A network of their own: no rule and no port of this machine changes, and nobody else reaches the containers.
PATH=$work/compose/bin:$PATH unshare --net --mount sh -c \
  'mkdir -p /run/containers && mount -t tmpfs tmpfs /run/containers && ip link set lo up && exec "$@"' sh \
  "$python" -m pytest -v -rP --timeout=1800 tests/containers/containers.py
