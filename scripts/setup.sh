# Sourced by scripts/test and others, from the top of the checkout: installs what is missing.
# shellcheck shell=bash

. scripts/venv.sh

packages=(
  podman buildah docker.io skopeo umoci runc crun
  fuse-overlayfs slirp4netns uidmap netavark aardvark-dns catatonit iptables nftables iproute2
  openssh-server openssh-client
  busybox-static debootstrap docker-registry libfaketime patchelf python3-venv rpm git ca-certificates
)
# Debian 13 split the client from the daemon.
if command -v apt-cache >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi

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

umask 022
require_debian_and_root
install_packages
make_venv
