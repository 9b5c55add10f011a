#!/usr/bin/env bash
# Puts Kubernetes' API server and controller manager into a folder, built from Debian's source package.
#
# Nine minutes of processor time, once: a folder that has them is left as it is. Needs Debian and root.
set -euo pipefail

folder=${1:?usage: tests/kubernetes/build.sh FOLDER}
programs=(kube-apiserver kube-controller-manager)
if [[ -x $folder/${programs[0]} && -x $folder/${programs[1]} ]]; then
  exit 0
fi
mkdir --parents "$folder"
work=$(mktemp --directory /var/tmp/dsir-kubernetes.XXXXXX)
trap 'chmod --recursive u+w "$work"; rm --recursive --force --one-file-system "$work"' EXIT

quietly() { "$@" >"$work/log" 2>&1 || { tail --lines 40 "$work/log" >&2; return 1; }; }

# The machine's own sources of packages, as sources of source packages: its configuration stays as it is.
sources() {
  mkdir --parents "$work/apt/lists/partial" "$work/apt/sources"
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [[ -e $file ]] || continue
    sed --regexp-extended 's/^deb( |\t)/deb-src\1/; s/^Types:.*/Types: deb-src/' "$file" \
      >"$work/apt/sources/$(basename "$file")"
  done
  options=(-o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/apt/sources"
    -o "Dir::State::Lists=$work/apt/lists" -o "APT::Sandbox::User=root")
  quietly apt-get "${options[@]}" update
  cd "$work"
  quietly apt-get "${options[@]}" --download-only source kubernetes
  quietly dpkg-source --no-check --extract ./kubernetes_*.dsc "$work/kubernetes"
}

build() {
  local version
  version=$(dpkg-parsechangelog --file "$work/kubernetes/debian/changelog" --show-field Version |
    sed --regexp-extended 's/.*really//; s/-[^-]*$//')
  mkdir --parents "$work/go/src/k8s.io"
  ln --symbolic "$work/kubernetes" "$work/go/src/k8s.io/kubernetes"
  cd "$work/go/src/k8s.io/kubernetes"
  # Without what is for disks and load balancers of clouds: a sixth of the packages, and the largest.
  export GOPATH=$work/go GO111MODULE=auto CGO_ENABLED=0 GOFLAGS=-tags=providerless
  export KUBE_GIT_VERSION=v$version KUBE_GIT_COMMIT=debian KUBE_GIT_TREE_STATE=archive
  KUBE_GIT_MAJOR=$(cut --delimiter . --fields 1 <<<"$version")
  KUBE_GIT_MINOR=$(cut --delimiter . --fields 2 <<<"$version")
  export KUBE_GIT_MAJOR KUBE_GIT_MINOR
  quietly make WHAT="${programs[*]/#/cmd/}"
  install --target-directory "$folder" "${programs[@]/#/_output/bin/}"
}

DEBIAN_FRONTEND=noninteractive quietly apt-get install --yes --no-install-recommends \
  golang-go dpkg-dev rsync make jq
sources
build
