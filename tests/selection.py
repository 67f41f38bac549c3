"""Which tests run, in which order of theirs, and what they need of the machine.

A *lane* is a row of tests that run one after the other, in one process.  A test on a host is in the
host's lane, which a mark can change; others have none and run anywhere.  Each lane has hosts of its
own, so that what it looks at (the containers of an engine, say) stands still while others run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.hosts import SPECS, key, name_of
from tests.prefixes import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MARKS = {
    "hosts(*names, **properties)": "the hosts to run on, by name or by property; default: all",
    "needs(*names)": "what is to be there besides: further hosts, or prefixes",
    "lane(name)": "run after each other with the tests of the same lane, on hosts of its own",
    "costly": "takes seconds of its own, so that it is no part of --quick",
}
PATIENCE = {"bazel": 600, "installs": 900, "pages": 400, "umoci": 400}
"""Seconds after which a test hangs, by lane, where it is not what pyproject.toml says."""
PART = pytest.StashKey[bool]()
_HOSTS = {spec.name: spec for spec in SPECS}


@dataclass(frozen=True, slots=True)
class Needs:
    """What tests need: ``hosts`` as :func:`tests.hosts.key` calls them, prefixes by their name."""

    tests: int
    whole: bool = False
    """Whether these are all tests that there are."""
    lanes: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Needs:
        return cls(**json.loads(path.read_bytes()))


def lane_of(item: pytest.Item) -> str:
    """The lane of a test; empty where it can run anywhere."""
    if mark := item.get_closest_marker("lane"):
        return str(mark.args[0])
    return _HOSTS[name].lane if (name := host_of(item)) else ""


def host_of(item: pytest.Item) -> str:
    """The name of the host that a test runs on; empty where there is none."""
    spec = getattr(item, "callspec", None)
    return name_of(spec.params.get("host", "")) if spec else ""


def be_patient(items: Iterable[pytest.Item]) -> None:
    """Let tests of some lanes take their time."""
    for item in items:
        if seconds := PATIENCE.get(lane_of(item)):
            item.add_marker(pytest.mark.timeout(seconds))


def is_whole(config: pytest.Config) -> bool:
    """Whether nobody has chosen among the tests."""
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    ignored = config.getoption("ignore") or config.getoption("ignore_glob")
    return not (named or ignored or config.stash.get(PART, False))


def needs_of(items: Iterable[pytest.Item], *, whole: bool = False) -> Needs:
    """Everything that some tests need."""
    tests, lanes, hosts, prefixes = 0, set(), set(), set()
    for item in items:
        tests += 1
        lane = lane_of(item)
        lanes.add(lane)
        names = _named(item)
        prefixes |= names & PREFIXES.keys()
        hosts |= {key(lane, name) for name in names & _HOSTS.keys()}
    order = {name: place for place, name in enumerate(_HOSTS)}
    ordered = sorted(hosts, key=lambda called: (order[name_of(called)], called))
    return Needs(tests, whole, sorted(lanes), ordered, sorted(prefixes))


def _named(item: pytest.Item) -> set[str]:
    named = {name for mark in item.iter_markers("needs") for name in mark.args}
    unknown = named - PREFIXES.keys() - _HOSTS.keys()
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: nobody can provide {sorted(unknown)}")
    return named | ({host_of(item)} - {""})


# -- what is left out


def is_quick(item: pytest.Item) -> bool:
    """Whether Python and its packages are enough for a test, and it costs next to nothing."""
    return not (
        any(item.get_closest_marker(name) for name in ("hosts", "needs", "costly"))
        or "machine" in getattr(item, "fixturenames", ())
    )


def hosts_of_engines(words: Sequence[str]) -> set[str]:
    """The hosts that ``--engine`` words mean: an engine's near ones, or one by its own name.

    Raises:
        pytest.UsageError: a word is no engine and no host.

    """
    chosen = set()
    for name in (name for word in words for name in word.split(",")):
        meant = {spec.name for spec in SPECS if spec.backend == name and not spec.far}
        meant |= {name} & _HOSTS.keys()
        if not meant:
            known = ", ".join(dict.fromkeys([spec.backend for spec in SPECS] + list(_HOSTS)))
            raise pytest.UsageError(f"--engine: {name!r} is none of {known}")
        chosen |= meant
    return chosen


def runs_on(item: pytest.Item, hosts: set[str]) -> bool:
    """Whether a test runs on one of some hosts and needs no more than those."""
    return host_of(item) in hosts and _named(item) <= hosts


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what ``--quick`` and ``--engine`` ask for; lane after lane, those without one first."""
    chosen = items[:]
    if config.getoption("--quick"):
        chosen = [item for item in chosen if is_quick(item)]
    if words := config.getoption("--engine"):
        hosts = hosts_of_engines(words)
        chosen = [item for item in chosen if runs_on(item, hosts)]
    if len(chosen) < len(items):
        kept = set(chosen)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = sorted(chosen, key=lane_of)
