"""What backends bring besides their steps: priority, variables and cures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import (
    BackendContractError,
    EngineOptions,
    Place,
    hookimpl,
    process,
    run_commit,
)
from runcommit_core.engine.choosing import selecting
from runcommit_core.engine.cures import cure_for
from runcommit_core.plugins import backends
from runcommit_core.plugins.backends import Installed, pipeline
from runcommit_core.plugins.builtin import BUILT_IN
from runcommit_core.testing import bases
from tests import canned

if TYPE_CHECKING:
    from pathlib import Path


def brought(**attributes: Any) -> Any:
    backend = canned.backend()
    for name, value in attributes.items():
        setattr(backend, f"runcommit_{name}", value)
    return backend


def test_a_cure_of_a_backends_is_found_when_it_is_loaded():
    pipeline(brought(cures={r"the moon is (full|new)": "wait a week"}), "moon")
    assert (
        process.failure(["moon", "run"], 1, "Error: The Moon is FULL tonight").tip == "wait a week"
    )
    pipeline(brought(), "moon")
    assert cure_for("the moon is full") == ""


def test_what_is_on_the_way_counts_before_and_what_is_general_after():
    pipeline(brought(cures={"host key|no space left": "the backend's own"}), "moon")
    assert "known_hosts" in cure_for("Host key verification failed.")
    assert cure_for("write: no space left on device") == "the backend's own"


def test_variables_of_a_backend_are_those_that_it_names():
    environment = {"MOON_PHASE": "full", "OTHER_HOST": "x", "HOME": "/h", "SECRET": "s"}
    pipeline(brought(variables=("MOON_PHASE",)), "moon")
    assert selecting("moon", environment) == {"MOON_PHASE": "full", "HOME": "/h"}
    assert selecting("nobody", environment) == {"OTHER_HOST": "x", "HOME": "/h"}


@pytest.mark.parametrize(
    "attributes",
    [{"variables": "ONE"}, {"variables": (1,)}, {"cures": ["x"]}, {"cures": {"(": "x"}}],
)
def test_attributes_that_are_wrong_are_refused(attributes: dict[str, Any]):
    with pytest.raises(BackendContractError, match=f"runcommit_{next(iter(attributes))}"):
        pipeline(brought(**attributes), "moon")


class Point:
    def __init__(self, value: str) -> None:
        self.value = value


def test_auto_tries_lower_priorities_first(monkeypatch: pytest.MonkeyPatch):
    priorities = {"last": None, "early": -1, "late": 5}
    found = {
        name: brought(**({"priority": it} if it is not None else {}))
        for name, it in priorities.items()
    }
    monkeypatch.setattr(backends, "_imported", lambda name, _value: found[name])
    names = [*found, "docker"]
    items = [Installed(name, "d", "1", Point("module")) for name in names]  # type: ignore[arg-type]
    assert [item.name for item in sorted(items, key=backends._rank)] == [
        "early",
        "docker",
        "late",
        "last",
    ]


def test_a_broken_backend_is_tried_last(monkeypatch: pytest.MonkeyPatch):
    item = Installed("broken", "d", "1", Point("no_such_module_here"))  # type: ignore[arg-type]
    assert backends._rank(item) == (float("inf"), len(BUILT_IN))


def test_a_backend_that_was_left_open_is_placed_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """By its name alone: what auto stands for is another name."""
    placed = []

    @hookimpl
    def place(engine: EngineOptions) -> Place:
        placed.append(engine)
        return Place(engine=engine, address="unix:///moon")

    @hookimpl(specname="load")
    def load(job: Any) -> Any:
        assert job.place.address == "unix:///moon"
        return canned.load(job)

    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    backend = canned.backend(place=place, load=load)
    monkeypatch.setattr("runcommit_core.plugins.backends.find_backend", lambda _: backend)
    run_commit(
        bases.write_layout(tmp_path / "base", [bases.file_layer("a", b"a")]).path,
        "true",
        backend="docker",
        cache="always",
    )
    assert len(placed) == 1


def test_a_killed_jobs_variables_are_set_and_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from runcommit_core.housekeeping import ledger

    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path))
    pipeline(brought(variables=("MOON_PHASE", "MOON_SIDE")), "moon")
    monkeypatch.setenv("MOON_PHASE", "full")
    with ledger.LedgerEntry() as entry:
        entry.begin("0123456789ab", "moon", EngineOptions(), tmp_path, ())
        monkeypatch.setenv("MOON_PHASE", "new")
        monkeypatch.setenv("MOON_SIDE", "far")
        with ledger.known_jobs() as jobs, ledger.environment_of(jobs[0]):
            assert (os.environ["MOON_PHASE"], "MOON_SIDE" in os.environ) == ("full", False)
        assert (os.environ["MOON_PHASE"], os.environ["MOON_SIDE"]) == ("new", "far")
