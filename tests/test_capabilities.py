"""What an engine lacks: declared, refused before anything runs, shown by ``runcommit backends``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import (
    BackendContractError,
    EngineOptions,
    Lack,
    RunOptions,
    UsageError,
    hookimpl,
    run_commit,
)
from runcommit_core.interface.hookspecs import REQUIRED_STEPS, Pipeline
from runcommit_core.plugins.backends import pipeline
from runcommit_core.plugins.capabilities import CAPABILITIES, lacking
from runcommit_podman.checks import lacking as podman_lacks
from tests import canned, images
from tests.test_cli import runcommit

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

SCRATCH = "runcommit_core.testing.scratch"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    one = images.image(images.layer({"old": b"old"}))
    return f"oci:{images.write_directory(tmp_path / 'base', images.oci_files(one))}"


def backend(answer: object, asked: list[Collection[str]]) -> Any:
    """A backend that notes what it is asked, and whether it loads."""

    @hookimpl
    def lacks(wanted: Collection[str]) -> object:
        asked.append(tuple(wanted))
        return answer

    @hookimpl
    def load(job: Any) -> Any:
        asked.append(("loaded",))
        return canned.load(job)

    return canned.backend(lacks=lacks, load=load)


@pytest.mark.parametrize(
    ("option", "capability"),
    [
        ({"memory": "1g"}, "memory"),
        ({"cpus": 1}, "cpus"),
        ({"network": "none"}, "network"),
        ({"mounts": ["type=tmpfs,dst=/x"]}, "tmpfs"),
        ({"inputs": ["/etc/passwd:/x"]}, "mount"),
        ({"run_flags": ["--x"]}, "run-flag"),
        ({"verify": True}, "verify"),
        ({"load": "x"}, "load"),
        ({"keep_on_failure": True}, "keep-on-failure"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_job_is_refused_for_the_declared_reason(
    base: str, option: dict[str, Any], capability: str
) -> None:
    asked: list[Collection[str]] = []
    lack = Lack(capability, "the engine has none", "take another")
    plain: dict[str, Any] = {"console": lambda _: None, "cache": "off"}
    own = backend([lack], asked)
    for step in ("root", "deliver", "enter"):
        setattr(own, step, hookimpl(lambda: None))
    with pytest.raises(UsageError, match="the engine has none") as caught:
        run_commit(base, "true", backend=own, **plain, **option)
    assert caught.value.tip == "take another"
    assert asked == [(capability,)]


def test_a_job_that_needs_nothing_asks_nothing(base: str) -> None:
    asked: list[Collection[str]] = []
    lacks_all = backend([Lack(name, "no") for name in CAPABILITIES], asked)
    run_commit(base, "true", backend=lacks_all, console=lambda _: None, cache="off")
    assert asked == [("loaded",)]


def test_a_step_that_is_not_implemented_is_lacking() -> None:
    found = lacking(pipeline(canned.backend(), "canned"), "canned", EngineOptions())
    optional = {name for name in dir(Pipeline) if not name.startswith("_")}
    optional -= {*REQUIRED_STEPS, "extract", "lacks", "check", "place"}
    assert len(found) == len(optional)
    for step in optional:
        assert any(f"it has no step {step!r}" in lack.reason for lack in found)
    assert all("'canned'" in lack.reason for lack in found)


@pytest.mark.parametrize(
    "answer", [["memory"], Lack("memory", ""), [Lack("memroy", "x")], {"memory": "x"}]
)
def test_an_answer_that_is_none_breaks_the_contract(base: str, answer: object) -> None:
    with pytest.raises(BackendContractError, match=r"list of runcommit_core.Lack.*run-flag"):
        run_commit(base, "true", backend=backend(answer, []), memory="1g", cache="off")


def test_backends_shows_what_is_lacking() -> None:
    (row,) = json.loads(runcommit("backends", "-b", SCRATCH, "--json").output)
    assert row["lacks"]["memory"] == "the scratch backend has no cgroups and cannot keep to limits"
    assert "it has no step 'resolve'" in row["lacks"]["engine-base"]
    assert "network" not in row["lacks"]
    assert f"{SCRATCH} lacks memory: " in runcommit("backends", "-b", SCRATCH).output
    unknown = runcommit("backends", "-b", "no-such").output
    assert "no: no backend is called 'no-such'" in unknown


@pytest.mark.parametrize("verb", [(), ("--explain",)], ids=["run", "explain"])
def test_mounts_are_refused_where_podman_is_elsewhere(base: str, verb: tuple[str, ...]) -> None:
    job = ("run", "-b", "podman", *verb, base, "--input", "/etc/passwd:/x", "-c", "true")
    ran = runcommit(*job, CONTAINER_HOST="ssh://nowhere.invalid/x")
    assert ran.returncode == 2, ran.errors
    assert "another machine (ssh://nowhere.invalid/x)" in ran.errors
    assert "a mount of type input" in ran.errors
    assert podman_lacks(EngineOptions(flags=("--url", "unix:/x")), RunOptions()) == []


def test_mounts_are_refused_where_dockers_daemon_is_elsewhere(base: str) -> None:
    job = ("run", "-b", "docker", base, "--input", "/etc/passwd:/x", "-c", "true")
    ran = runcommit(*job, DOCKER_HOST="tcp://192.0.2.1:1")
    assert ran.returncode == 2, ran.errors
    assert "another machine (tcp://192.0.2.1:1)" in ran.errors
