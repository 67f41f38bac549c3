"""Many jobs at once on one base whose copy is taken away all the time: each of them succeeds.

``python -m tests.load --host docker --jobs 50``, beside engines that ``tests.with_hosts`` started.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.testing import bases
from tests.hosts import session
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runcommit_core.testing import Base
    from runcommit_core.testing.bench import Ran
    from tests.hosts import Host

MOST_AT_ONCE = 16
"""How many clients of an engine a small machine carries; the other jobs follow at once."""


def load(
    host: Host, folder: Path, number: int, thieves: Sequence[Callable[[], object]]
) -> list[Ran]:
    """Run so many jobs, with each thief in a loop beside them until the last has ended."""
    bench = host_bench(host, folder)
    base = unique_base(folder)
    warm = [bench.job(base.ref, "-c", "echo warm > /warm") for _ in range(3)]
    assert all(ran.returncode == 0 for ran in warm), warm

    def job(index: int) -> Ran:
        return bench.job(base.ref, "-c", f"echo {index} > /new")

    with robbed(thieves), ThreadPoolExecutor(min(number, MOST_AT_ONCE)) as pool:
        return list(pool.map(job, range(number)))


def unique_base(folder: Path) -> Base:
    """A base that no engine has had before."""
    unique = bases.file_layer("unique", os.urandom(16))
    return bases.write_layout(folder / "base", [bases.busybox_layer(), unique])


def remover(host: Host) -> Callable[[], object]:
    """Takes away whatever copies of bases the engine holds, as its user by hand would."""

    def remove() -> None:
        if names := copies(host):
            host.run(host.program, "rmi", *names, check=False)

    return remove


def pruner(host: Host) -> Callable[[], object]:
    """Calls ``runcommit prune`` as a timer would."""
    return lambda: host.runcommit("prune", "--bases", check=False)


def copies(host: Host) -> list[str]:
    """The names of the copies of bases that the engine holds."""
    name = "{{.Name}}" if host.program == "buildah" else "{{.Repository}}"
    listed = host.run(
        host.program, "images", "--format", f"{name}:{{{{.Tag}}}}", check=False
    ).stdout.split()
    return [name for name in listed if name.startswith("localhost/runcommit/base:")]


@contextlib.contextmanager
def robbed(thieves: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Let the thieves work beside the block."""
    over = threading.Event()

    def steal(thief: Callable[[], object]) -> None:
        while not over.is_set():
            thief()

    with ThreadPoolExecutor(len(thieves)) as pool:
        for thief in thieves:
            pool.submit(steal, thief)
        try:
            yield
        finally:
            over.set()


def told(ran: Sequence[Ran]) -> collections.Counter[str]:
    """How the jobs ended: exit code and last line of those that failed, by number."""
    return collections.Counter(
        f"{done.returncode}: {done.stderr.strip()[-300:]}" if done.returncode else "0"
        for done in ran
    )


def main() -> int:
    """Run the load on one host; the exit code is 1 unless all jobs went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--jobs", type=int, default=50)
    options = parser.parse_args()
    found = session().host(options.host)
    folder = Path(tempfile.mkdtemp(dir=session().shared))
    folder.chmod(0o777)
    begin = time.monotonic()
    try:
        ran = load(found, folder, options.jobs, [remover(found), pruner(found)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for outcome, number in told(ran).most_common():
        sys.stdout.write(f"{number:4} jobs: exit code {outcome}\n")
    seconds = time.monotonic() - begin
    sys.stdout.write(f"{options.jobs} jobs on {found.name} in {seconds:.0f} s\n")
    return int(any(done.returncode for done in ran))


if __name__ == "__main__":
    sys.exit(main())
