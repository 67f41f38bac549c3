# Sourced by scripts/test and scripts/demo, from the top of the checkout: installs what is missing.
# shellcheck shell=bash

packages=(
  podman buildah docker.io skopeo umoci runc crun
  fuse-overlayfs slirp4netns uidmap netavark aardvark-dns catatonit iptables nftables iproute2
  openssh-server openssh-client
  busybox-static debootstrap docker-registry libfaketime patchelf python3-venv rpm git ca-certificates
)
# Debian 13 split the client from the daemon.
if command -v apt-cache >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
venv=.venv

say() { printf '%s\n' "$*" >&2; }

die() {
  say "runcommit: $*"
  exit 1
}

require_debian_and_root() {
  [[ $EUID -eq 0 ]] || die "the test hosts need root (packages, dockerd, an unprivileged user): run this as root"
  command -v apt-get >/dev/null || die "this is not Debian (no apt-get); install by hand: ${packages[*]}"
}

# Daemons that come with the packages stay off: the tests start their own.
apt_install() {
  local policy=/usr/sbin/policy-rc.d log code=0
  log=$(mktemp)
  if [[ -e $policy ]]; then policy=; else
    # shellcheck disable=SC2064  # the name is expanded now, on purpose
    trap "rm -f '$policy'" EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  {
    apt-get -q update &&
      DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$@"
  } >"$log" 2>&1 </dev/null || code=$?
  if [[ -n $policy ]]; then
    rm -f "$policy"
    trap - EXIT
  fi
  [[ $code -eq 0 ]] || tail -n 20 "$log" >&2
  rm -f "$log"
  return "$code"
}

install_packages() {
  local name missing=()
  for name in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "installing: ${missing[*]}"
  apt_install "${missing[@]}" || die "apt-get could not install: ${missing[*]}"
}

# A name on PATH is not enough: it may be a pyenv shim of a version that is not there.
find_python() {
  local name
  for name in python3 python python3.14 python3.13 python3.12 python3.11; do
    if "$name" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  die "no Python 3.11 or newer (with ensurepip) on PATH"
}

fill_venv() {
  if ! "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$(find_python)" -m venv --clear "$venv"
  fi
  # Older versions of pip do not know --group.
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1'
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --editable . --group dev
}

# The stamp holds what the environment was made from; the lock keeps two runs in one checkout apart.
make_venv() {
  local stamp=$venv/made-from wanted lock
  wanted="$PWD $(sha256sum <pyproject.toml)"
  exec {lock}<.
  flock "$lock"
  if [[ $(cat "$stamp" 2>/dev/null) != "$wanted" ]] || ! "$venv/bin/python" -c 'import pytest' 2>/dev/null; then
    say "making the virtual environment"
    fill_venv || die "pip could not fill $PWD/$venv"
    printf '%s\n' "$wanted" >"$stamp"
  fi
  exec {lock}<&-
}

# Without these the tests of Bazel and of newer podmans fail; all others can go on.
make_prefixes() {
  [[ -n ${RUNCOMMIT_BAZEL:-} ]] || make_prefix bazel_prefix .bazel "a Bazel (150 MB of Debian's packages)"
  make_prefix remote_prefix .bazel-remote "a remote execution service (60 MB of packages)"
  make_prefix podman_prefix .podman "newer podmans (70 MB of packages)"
}

make_prefix() {
  local module=$1 prefix=$2 what=$3 stamp=$2/made-from wanted lock
  wanted="$PWD $(cat tests/bazel_prefix.py "tests/$module.py" | sha256sum)"
  exec {lock}<.
  flock "$lock"
  if [[ $(cat "$stamp" 2>/dev/null) != "$wanted" ]]; then
    say "making $what in $prefix"
    if "$venv/bin/python" -m "tests.$module" "$prefix" >&2; then
      printf '%s\n' "$wanted" >"$stamp"
    else
      say "runcommit: there is no $what, so its tests will fail"
    fi
  fi
  exec {lock}<&-
}

umask 022
require_debian_and_root
install_packages
make_venv
