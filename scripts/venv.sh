# Sourced from the top of the checkout: make_venv fills .venv by pip, and installs nothing else.
# shellcheck shell=bash

venv=.venv

say() { printf '%s\n' "$*" >&2; }

die() {
  say "runcommit: $*"
  exit 1
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
