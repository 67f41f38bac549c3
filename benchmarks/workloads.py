"""The workloads: what is timed side by side on one host and one base, and the goals for it."""

from __future__ import annotations

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import changes, engines
from benchmarks.goals import Goal, Growth, above_reference, difference, ratio, seconds, speedup
from benchmarks.measure import Contender, Group, Kind, nothing
from benchmarks.peers import peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.bases import Base
    from benchmarks.changes import Change
    from benchmarks.peers import Peer
    from tests.hosts import Host

CLASSIC = Path(__file__).with_name("ways") / "classic.sh"
FLOOR = Path(__file__).with_name("floor.py")
ONE_LINE = changes.one_line()
DATA = changes.new_data(100, "100 MB")
MUCH_DATA = changes.new_data(1000, "1 GB")
FILES = changes.small_files(10_000)
MANY_FILES = changes.small_files(100_000)
AT_ONCE = 20
COMPARED = ("small", "1200")
"""The bases of W1 where all take part; on the others only what is said to be flat."""

SIZE = Growth("0.2 → 2.4 GB", "200", "2400")
COUNT = Growth("1 → 100,000 files", "small", "many")
LAYERS = Growth("5 → 41 layers", "200", "layers")


@dataclass(frozen=True, slots=True)
class Place:
    """A host, a base that it holds, a folder that its user may write to."""

    host: Host
    base: Base
    folder: Path
    subject: str = ""

    def contender(
        self,
        name: str,
        kind: Kind,
        action: Callable[[], object],
        prepare: Callable[[], object] = nothing,
        finish: Callable[[], object] = nothing,
    ) -> Contender:
        group = Group(self.base.name, self.host.name, self.subject)
        return Contender(group, name, kind, action, prepare, finish)

    def about(self, subject: str) -> Place:
        """The same place for contenders that are compared among themselves."""
        return replace(self, subject=subject)

    def bare(self, command: str) -> None:
        engines.bare_run(self.host, self.base, command)

    def runcommit(self, command: str, *options: str, base: str = "", cache: str = "off") -> None:
        options = ("--cache", cache, *options)
        words = ("-q", "-b", self.host.backend, *engines.network(self.host), *options)
        done = self.host.runcommit("run", *words, base or self.base.ref, "-c", command)
        if bool(done.stdout) == (command == "true"):
            raise AssertionError(f"{self.host.name}: {command}: not the layer expected: {done}")

    def classic(self, command: str) -> None:
        words = (self.host.program, self.base.archive, command, self.old_layer, self.folder)
        script = CLASSIC.read_text()
        self.host.run("sh", "-c", script, CLASSIC.name, *words, *engines.network(self.host))

    @property
    def layer(self) -> Path:
        return self.folder / "layer.tar"

    @property
    def old_layer(self) -> Path:
        return self.folder / "classic.tar"

    def bare_contender(self, change: Change) -> Contender:
        return self.contender("bare run", Kind.REFERENCE, lambda: self.bare(change.command))

    def layer_contender(self, change: Change, name: str, kind: Kind, *options: str) -> Contender:
        """Runcommit, with the layer's tar as its output."""
        return self.contender(
            name,
            kind,
            lambda: self.runcommit(change.command, "-o", str(self.layer), *options),
            finish=lambda: _check_layer(change, self.layer),
        )

    def peer_contender(self, change: Change, peer: Peer) -> Contender:
        result = self.folder / "peer-result"
        return self.contender(
            peer.name,
            Kind.PEER,
            lambda: peer.run(self.host, change, result),
            lambda: peer.prepare(result),
            lambda: peer.finish(change, result),
        )

    def others(self, change: Change) -> list[Contender]:
        """Transports that runcommit would not have chosen, the classic way, and peers."""
        forced = [
            self.layer_contender(
                change, f"runcommit -o --transport {transport}", Kind.FORCED,
                "--transport", transport,
            )
            for transport in ("registry", "archive")
        ]  # fmt: skip
        classic = self.contender(
            "classic",
            Kind.CLASSIC,
            lambda: self.classic(change.command),
            finish=lambda: _check_layer(change, self.old_layer),
        )
        found = [self.peer_contender(change, peer) for peer in peers(self.host, self.base)]
        return [*forced, classic, *found]

    def all_ways(self, change: Change) -> list[Contender]:
        """The bare run, runcommit, and all others, with one change."""
        ours = self.layer_contender(change, "runcommit -o", Kind.OURS)
        return [self.bare_contender(change), ours, *self.others(change)]

    def data_floor(self, change: Change) -> Contender:
        """The bytes of the change read, hashed and written by one process."""
        target = self.folder / "floor"
        sample = functools.partial(change.sample, self.base.layout.parent)
        return self.contender(
            "read, sha256, write",
            Kind.FLOOR,
            lambda: self.host.run(self.host.python, "-c", FLOOR.read_text(), sample(), target),
            sample,
            lambda: _check_copy(sample(), target),
        )

    def files_floor(self, change: Change) -> Contender:
        """The engine's commit of the change, and tar on the same files."""
        target = self.folder / "floor"
        sample = functools.partial(change.sample, self.base.layout.parent)

        def prepare() -> None:
            sample()
            engines.hold(self.host, self.base, change.command)

        def finish() -> None:
            engines.let_go(self.host)
            target.unlink()

        return self.contender(
            "commit, plain tar",
            Kind.FLOOR,
            lambda: engines.commit_and_tar(self.host, sample(), target),
            prepare,
            finish,
        )


def _check_layer(change: Change, layer: Path) -> None:
    change.check_layer(layer)
    layer.unlink()


def _check_copy(source: Path, target: Path) -> None:
    if target.stat().st_size != source.stat().st_size:
        raise AssertionError(f"{target} is not as large as {source}")
    target.unlink()


def warm_start(place: Place) -> list[Contender]:
    """W1: what the whole thing costs when there is hardly anything to do."""
    line = ONE_LINE.command
    flat = [
        place.contender("bare run, true", Kind.REFERENCE, lambda: place.bare("true")),
        place.contender("runcommit, no-op", Kind.OURS, lambda: place.runcommit("true")),
        place.contender("runcommit, one line", Kind.OURS, lambda: place.runcommit(line)),
        place.layer_contender(ONE_LINE, "runcommit -o, one line", Kind.OURS),
    ]
    return [*flat, *place.others(ONE_LINE)] if place.base.name in COMPARED else flat


def new_data(place: Place) -> list[Contender]:
    """W2: 100 MB of new data."""
    return [*place.all_ways(DATA), place.data_floor(DATA)]


def new_files(place: Place) -> list[Contender]:
    """W3: 10,000 and 100,000 small new files."""
    return [
        contender
        for change in (FILES, MANY_FILES)
        for there in [place.about(change.name)]
        for contender in (*there.all_ways(change), there.files_floor(change))
    ]


def cold_base(place: Place) -> list[Contender]:
    """W4: a base that neither the engine nor the index knows, against the engine's own imports.

    From its layout and from its docker-archive: the same bytes for those that are compared.
    """
    host = place.host
    line = ONE_LINE.command
    forms = {"from a layout": place.base.ref, "from an archive": place.base.archive_ref}
    found = []
    for form, reference in forms.items():
        there = place.about(form)

        def cold(
            name: str, kind: Kind, action: Callable[[], object], at: Place = there
        ) -> Contender:
            return at.contender(name, kind, action, lambda: engines.forget(host))

        ways = engines.imports(host, place.base)[reference].items()
        found += [
            *(cold(name, Kind.REFERENCE, functools.partial(host.run, *way)) for name, way in ways),
            *(
                cold(name, Kind.OURS, functools.partial(there.runcommit, command, base=reference))
                for name, command in (("runcommit, no-op", "true"), ("runcommit, one line", line))
            ),
        ]
    return found


def much_data(place: Place) -> list[Contender]:
    """W5: 1 GB of new data."""
    return [*place.all_ways(MUCH_DATA), place.data_floor(MUCH_DATA)]


def at_once(place: Place) -> list[Contender]:
    """W6: several jobs at once, against the same ones one after another."""

    def job(number: int) -> None:
        place.runcommit(f"echo {number} > /x")

    def bare(number: int) -> None:
        place.bare(f"echo {number} > /x")

    def contender(name: str, kind: Kind, together: int, work: Callable[[int], None]) -> Contender:
        return place.contender(name, kind, lambda: _times(AT_ONCE, together, work))

    return [
        contender(f"runcommit, {AT_ONCE} in turn", Kind.REFERENCE, 1, job),
        contender(f"runcommit, {AT_ONCE} at once", Kind.OURS, AT_ONCE, job),
        contender(f"bare run, {AT_ONCE} in turn", Kind.OTHER, 1, bare),
        contender(f"bare run, {AT_ONCE} at once", Kind.OTHER, AT_ONCE, bare),
    ]


def instant(place: Place) -> list[Contender]:
    """W7: a job whose result is in the cache, against its run; the start of the program."""
    host, line, output = place.host, ONE_LINE.command, ("-o", str(place.layer))
    hit, usage = place.about(ONE_LINE.name), place.about("no job")
    told = place.folder / "report.json"

    def again() -> None:
        place.runcommit(line, *output, "--metadata", str(told), cache="always")

    def check() -> None:
        if json.loads(told.read_bytes())["cache"] != "hit":
            raise AssertionError(f"{host.name}: the result came from a run, not from the cache")
        _check_layer(ONE_LINE, place.layer)

    return [
        hit.contender("bare run, true", Kind.REFERENCE, lambda: place.bare("true")),
        hit.contender("runcommit -o, a hit", Kind.OURS, again, again, check),
        hit.contender("runcommit -o, a run", Kind.OTHER, lambda: place.runcommit(line, *output)),
        usage.contender(
            "python -c pass", Kind.REFERENCE, lambda: host.run(host.python, "-c", "pass")
        ),
        usage.contender("runcommit --help", Kind.OURS, lambda: host.runcommit("--help")),
    ]


def _times(count: int, together: int, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(together) as pool:
        list(pool.map(work, range(count)))


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload, the bases that it is measured on unless told otherwise, what it must reach."""

    title: str
    bases: tuple[str, ...]
    contenders: Callable[[Place], list[Contender]]
    goals: tuple[Goal, ...]
    growths: tuple[Growth, ...] = ()


WORKLOADS = {
    "W1": Workload(
        "a warm job",
        ("small", "200", "1200", "2400", "layers", "many"),
        warm_start,
        (
            Goal("a warm job : bare run", 2.0, ratio(Kind.REFERENCE)),
            Goal(
                "1.2 GB, classic : a warm job",
                20,
                speedup(Kind.CLASSIC),
                at_least=True,
                base="1200",
            ),
            Goal(f"a warm job, {SIZE.title}", 1.1, SIZE.ours),
            Goal(f"a warm job, {COUNT.title}", 1.1, COUNT.ours),
        ),
        (SIZE, LAYERS, COUNT),
    ),
    "W2": Workload(
        "100 MB of new data",
        ("small", "1200"),
        new_data,
        (
            Goal(
                "1.2 GB, classic : 100 MB of new data",
                5,
                speedup(Kind.CLASSIC),
                at_least=True,
                base="1200",
            ),
        ),
    ),
    "W3": Workload(
        "small new files",
        ("small",),
        new_files,
        tuple(
            Goal(
                f"{change.name}, less the run : the engine's commit and plain tar",
                1.5,
                above_reference(Kind.FLOOR),
                subject=change.name,
            )
            for change in (FILES, MANY_FILES)
        ),
    ),
    "W4": Workload(
        "a cold base",
        ("1200",),
        cold_base,
        (Goal("a job on a cold base : the engine's fastest import", 1.1, ratio(Kind.REFERENCE)),),
    ),
    "W5": Workload(
        "1 GB of new data",
        ("small",),
        much_data,
        (Goal("1 GB, less the run : read, sha256, write", 2.0, above_reference(Kind.FLOOR)),),
    ),
    "W6": Workload(
        f"{AT_ONCE} jobs at once",
        ("small",),
        at_once,
        (Goal(f"{AT_ONCE} in turn : at once", 1.5, speedup(Kind.REFERENCE), at_least=True),),
    ),
    "W7": Workload(
        "what runs nothing",
        ("small",),
        instant,
        (
            Goal("a result from the cache", 0.3, seconds(), "s", subject=ONE_LINE.name),
            Goal(
                "--help over bare Python", 0.15, difference(Kind.REFERENCE), "s", subject="no job"
            ),
        ),
    ),
}
