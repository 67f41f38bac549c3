"""A real remote execution service in a folder: BuildGrid's server, BuildBox's cache and worker.

``python -m tests.remote_prefix PREFIX [SUITE…]`` takes the server from Python's registry, into an
environment of its own, and the rest from Debian, as :mod:`tests.bazel_prefix` does.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tests.bazel_prefix import SUITES, PrefixError, relocate, run, unpack_packages

SERVER = "buildgrid==0.0.86"
"""The last line of versions that needs no database but a file."""

WORKER = ("buildbox-casd", "buildbox-run-hosttools", "buildbox-worker")


def make_prefix(prefix: Path, suites: tuple[str, ...] = SUITES) -> None:
    """Make ``prefix`` anew from the first of ``suites`` that has a worker."""
    problems = []
    for suite in suites:
        shutil.rmtree(prefix, ignore_errors=True)
        try:
            unpack_packages(prefix, suite, ("buildbox",), ("buildbox", "lib*", "zlib1g"))
            break
        except PrefixError as error:
            problems.append(f"{suite}: {error}")
    else:
        raise PrefixError("\n".join(problems))
    relocate(prefix, *(prefix / "usr/bin" / name for name in WORKER))
    run(sys.executable, "-m", "venv", prefix / "server")
    pip = (prefix / "server/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--no-compile", SERVER)
    run(prefix / "server/bin/python", "-c", "import buildgrid.server.server")
    run(prefix / "usr/bin/buildbox-worker", "--version")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.remote_prefix", description=__doc__)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("suite", nargs="*", default=SUITES)
    options = parser.parse_args()
    try:
        make_prefix(options.prefix.absolute(), tuple(options.suite))
    except PrefixError as error:
        sys.stderr.write(f"runcommit: no remote execution: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
