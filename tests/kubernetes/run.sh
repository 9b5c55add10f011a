#!/usr/bin/env bash
# Applies the manifests to a real API server and runs flows as jobs there: make test-kubernetes, as root, on Debian.
#
# The API server is built once a machine, and kept in the user's cache with Python's packages that the image has.
set -euo pipefail

if ((EUID)); then
  echo "test-kubernetes: needs root: it installs packages" >&2
  exit 2
fi
python=$(realpath "${1:?usage: tests/kubernetes/run.sh PYTHON}" --no-symlinks)
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dsir-test-kubernetes
log=$(mktemp)
trap 'rm --force "$log"' EXIT

quietly() { "$@" >"$log" 2>&1 || { tail --lines 40 "$log" >&2; return 1; }; }

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

packages() {
  local missing=()
  command -v etcd >/dev/null || missing+=(etcd-server)
  command -v kubectl >/dev/null || missing+=(kubernetes-client)
  command -v openssl >/dev/null || missing+=(openssl)
  ((${#missing[@]})) || return 0
  quietly apt-get update
  DEBIAN_FRONTEND=noninteractive quietly apt-get install --yes --no-install-recommends "${missing[@]}"
}

# What the image has, in a folder of its own for each state of the lock.
environment() {
  local lock
  lock=$(sha256sum requirements-extras.lock | cut --characters 1-12)
  venv=$cache/python-$lock
  if [[ ! -e $venv/.complete ]]; then
    "$python" -m venv --clear "$venv"
    quietly "$venv/bin/pip" install --require-hashes --no-deps --requirement requirements-extras.lock
    touch "$venv/.complete"
  fi
  quietly "$venv/bin/pip" install --no-deps .
}

step "packages of Debian"
packages
step "API server"
tests/kubernetes/build.sh "$cache/bin"
step "packages of Python"
environment
step "tests"
KUBERNETES_PROGRAMS=$cache/bin IMAGE_PROGRAMS=$venv/bin \
  "$python" -m pytest -v -rP --timeout=1200 tests/kubernetes/manifests.py
