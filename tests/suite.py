"""Run tests with what they need, and with no more: ``python -m tests.suite [ARGUMENT…]``.

``--quick`` takes those that need nothing but Python's packages, ``--engine NAME,…`` those on the
hosts of an engine; all other arguments are pytest's.  The tests are collected first: only what
they ask for is made and started.  Lanes of tests run side by side.  A run of all tests measures
coverage, and fails below the floor that pyproject.toml sets.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.prefixes import provide
from tests.selection import Needs

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTEST = (sys.executable, "-m", "pytest")
ALONE = ("--pdb", "--trace", "--capture=no", "-s")
"""Options that want the terminal for one test after the other."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/test", add_help=False, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engine", action="append", default=[])
    options, words = parser.parse_known_args()
    words += [f"--engine={name}" for name in options.engine]
    if options.quick:
        _test([], *side_by_side(os.cpu_count() or 1, words), "--quick", *words)
    needs = _needs(words)
    for name in needs.prefixes:
        provide(name)
    measure = ["--coverage"] if needs.whole else []
    _test(needs.hosts, *side_by_side(workers(needs), words), *measure, *words)


def _test(hosts: Sequence[str], *words: str) -> None:
    """Become pytest, below who brings up its hosts and ends what it leaves."""
    sys.stdout.flush()
    with_hosts = (sys.executable, "-m", "tests.with_hosts", f"--only={','.join(hosts)}", "--")
    os.execv(with_hosts[0], (*with_hosts, *PYTEST, *words))


def _needs(words: Sequence[str]) -> Needs:
    """Collect the tests; where pytest finds none, or cannot, its words are the last."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "needs.json"
        collect = (*PYTEST, "-qq", "--collect-only", f"--needs={path}", *words)
        done = subprocess.run(collect, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.stdout.write(done.stdout[-10_000:])
            sys.stderr.write(done.stderr)
            sys.exit(done.returncode)
        return Needs.load(path)


def workers(needs: Needs) -> int:
    """How many processes: half of what a test on a host takes is waiting for its engine."""
    rows = len(set(needs.lanes) - {""}) + ("" in needs.lanes) * (os.cpu_count() or 1)
    return min(rows, needs.tests, 2 * (os.cpu_count() or 1))


def side_by_side(workers: int, words: Sequence[str]) -> tuple[str, ...]:
    if workers < 2 or set(words) & {*ALONE}:
        return ()
    return (f"--numprocesses={workers}",)


if __name__ == "__main__":
    main()
