"""Podman of other Debian suites in a folder: its packages, unpacked and made to run from there.

``python -m tests.podman_prefix PREFIX [SUITE…]`` makes ``PREFIX/SUITE/bin/podman``, as
:mod:`tests.bazel_prefix` makes a Bazel. Whatever podman calls is the machine's own.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tests.bazel_prefix import PrefixError, relocate, run, unpack_packages

SUITES = ("trixie", "sid")
"""Debian suites whose podman is another one than Debian 12's: 5.4, and the newest."""

LEFT_OUT = ("libldap*", "libsasl2*", "libdb5*", "libgnutls*", "libunistring*", "libncurses*")
"""Libraries of tools that podman's package depends on, and that podman does not load."""


def make_prefix(prefix: Path) -> str:
    """Make ``prefix`` anew from the suite that it is called by; return podman's version."""
    unpack_packages(prefix, prefix.name, ("podman",), ("podman", "lib*", "zlib1g"), LEFT_OUT)
    # helpers for ports and systemd, and podman once more with what its own tests need
    shutil.rmtree(prefix / "usr/libexec")
    relocate(prefix, prefix / "usr/bin/podman")
    (prefix / "bin").mkdir()
    (prefix / "bin/podman").symlink_to(prefix / "usr/bin/podman")
    return run(prefix / "bin/podman", "--version").strip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.podman_prefix", description=__doc__)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("suite", nargs="*", default=SUITES)
    options = parser.parse_args()
    shutil.rmtree(options.prefix, ignore_errors=True)
    try:
        versions = [make_prefix(options.prefix.absolute() / suite) for suite in options.suite]
    except PrefixError as error:
        sys.stderr.write(f"runcommit: no podman of another suite: {error}\n")
        return 1
    sys.stderr.write(f"{', '.join(versions)} in {options.prefix}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
