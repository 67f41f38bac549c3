"""The workloads: what is timed side by side on one host and one base."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import engines
from benchmarks.measure import Contender, Kind, nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.bases import Base
    from tests.hosts import Host

CLASSIC = Path(__file__).with_name("classic.sh")
ONE_LINE = "echo x > /x"
BIG_FILE = "dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null"
MANY_FILES = "mkdir /many && cd /many && for i in $(seq 10000); do echo $i > $i; done"
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A host, a base that it holds, a folder that its user may write to."""

    host: Host
    base: Base
    folder: Path

    def contender(
        self,
        name: str,
        kind: Kind,
        action: Callable[[], object],
        prepare: Callable[[], object] = nothing,
    ) -> Contender:
        return Contender(self.host.name, name, kind, action, prepare)

    def bare(self, command: str) -> None:
        engines.bare_run(self.host, self.base, command)

    def runcommit(self, command: str, *options: str, cache: str = "off") -> None:
        options = ("--cache", cache, *options)
        words = ("-q", "-b", self.host.backend, *engines.network(self.host), *options)
        done = self.host.runcommit("run", *words, self.base.ref, "-c", command)
        if bool(done.stdout) == (command == "true"):
            raise AssertionError(f"{self.host.name}: {command}: not the layer expected: {done}")

    def classic(self, command: str) -> None:
        host = self.host
        layer = self.folder / "classic.tar"
        words = (host.backend, self.base.archive, command, layer, self.folder)
        host.run("sh", CLASSIC, *words, *engines.network(host))
        if not layer.stat().st_size:
            raise AssertionError(f"{host.name}: the classic way made no layer")

    @property
    def layer(self) -> str:
        return str(self.folder / "layer.tar")

    def command(self, what: str, command: str) -> list[Contender]:
        """Bare, runcommit and classic with one command; the last two write the layer's tar."""
        return [
            self.contender(f"bare run, {what}", Kind.REFERENCE, lambda: self.bare(command)),
            self.contender(
                f"runcommit -o, {what}",
                Kind.OURS,
                lambda: self.runcommit(command, "-o", self.layer),
            ),
            self.contender(f"classic, {what}", Kind.CLASSIC, lambda: self.classic(command)),
        ]


def warm_start(place: Place) -> list[Contender]:
    """W1: what the whole thing costs when there is hardly anything to do."""
    _, with_output, classic = place.command("one line", ONE_LINE)
    return [
        place.contender("bare run, true", Kind.REFERENCE, lambda: place.bare("true")),
        place.contender("runcommit, no-op", Kind.OURS, lambda: place.runcommit("true")),
        place.contender("runcommit, one line", Kind.OURS, lambda: place.runcommit(ONE_LINE)),
        with_output,
        classic,
    ]


def big_file(place: Place) -> list[Contender]:
    """W2: 100 MB of new data."""
    return place.command("100 MB", BIG_FILE)


def many_files(place: Place) -> list[Contender]:
    """W3: 10,000 small new files."""
    return place.command("10,000 files", MANY_FILES)


def cold_base(place: Place) -> list[Contender]:
    """W4: a base that neither the engine nor the index knows, against the engine's own imports."""
    host = place.host

    def cold(name: str, kind: Kind, action: Callable[[], object]) -> Contender:
        return place.contender(name, kind, action, lambda: engines.forget(host))

    def importer(argv: tuple[str, ...]) -> Callable[[], object]:
        return lambda: host.run(*argv)

    ways = engines.imports(host, place.base).items()
    return [
        *(cold(name, Kind.REFERENCE, importer(argv)) for name, argv in ways),
        cold("runcommit, no-op", Kind.OURS, lambda: place.runcommit("true")),
        cold("runcommit, one line", Kind.OURS, lambda: place.runcommit(ONE_LINE)),
    ]


def at_once(place: Place) -> list[Contender]:
    """W6: several jobs at once, against the same ones one after another."""

    def job(number: int) -> None:
        place.runcommit(f"echo {number} > /x")

    def bare(number: int) -> None:
        place.bare(f"echo {number} > /x")

    return [
        place.contender(
            f"runcommit, {AT_ONCE} in turn", Kind.REFERENCE, lambda: _times(AT_ONCE, 1, job)
        ),
        place.contender(
            f"runcommit, {AT_ONCE} at once", Kind.OURS, lambda: _times(AT_ONCE, AT_ONCE, job)
        ),
        place.contender(
            f"bare run, {AT_ONCE} in turn", Kind.OTHER, lambda: _times(AT_ONCE, 1, bare)
        ),
        place.contender(
            f"bare run, {AT_ONCE} at once", Kind.OTHER, lambda: _times(AT_ONCE, AT_ONCE, bare)
        ),
    ]


def cached(place: Place) -> list[Contender]:
    """W7: a job whose result is in the cache, against its run."""
    output = ("-o", place.layer)

    def hit() -> None:
        place.runcommit(ONE_LINE, *output, cache="always")

    return [
        place.contender("bare run, true", Kind.REFERENCE, lambda: place.bare("true")),
        place.contender("runcommit -o, a hit", Kind.OURS, hit, hit),
        place.contender(
            "runcommit -o, a run", Kind.OTHER, lambda: place.runcommit(ONE_LINE, *output)
        ),
    ]


def _times(count: int, together: int, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(together) as pool:
        list(pool.map(work, range(count)))


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload and the bases that it is measured on unless told otherwise."""

    title: str
    bases: tuple[str, ...]
    contenders: Callable[[Place], list[Contender]]


WORKLOADS = {
    "W1": Workload("a warm job", ("small", "1200"), warm_start),
    "W2": Workload("100 MB of new data", ("small",), big_file),
    "W3": Workload("10,000 small new files", ("small",), many_files),
    "W4": Workload("a cold base", ("1200",), cold_base),
    "W6": Workload(f"{AT_ONCE} jobs at once", ("small",), at_once),
    "W7": Workload("a result in the cache", ("small",), cached),
}
