"""A copy of the base that somebody takes away is brought back by whoever needs it."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import EngineError, Image, images
from tests import load
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hosts import Host

EACH = pytest.mark.hosts("docker", "podman", "podman-rootless", "podman-api", "buildah")
COPY = "localhost/runcommit/base:0a"
OWN = "localhost/runcommit/job:0123-base"


class Engine:
    """An engine as a set of names, with a neighbour who takes the copies of bases away."""

    def __init__(self, *, archives: bool = False) -> None:
        self.names: set[str] = set()
        self.archives = archives
        self.brought = 0

    def images(self) -> Any:
        return images.Images(
            look=lambda name: ("id", ()) if name in self.names else None,
            pull=lambda _, name: self.names.add(name),
            load=lambda _: self.names.add(COPY),
            tag=self.tag,
            untag=self.names.discard,
            remove=self.names.discard,
            push=refuse,
            save=refuse,
            fetch=refuse,
        )

    def tag(self, old: str, new: str) -> None:
        if old not in self.names:
            raise EngineError("tag failed", output=f"{old}: image not known")
        self.names.add(new)

    def deliver(self, *, pull: Callable[[Any], None], load: Callable[[Any], None]) -> None:
        self.brought += 1
        if self.archives:
            load(iter(()))
        else:
            pull(SimpleNamespace(reference=lambda tag: f"127.0.0.1:5/runcommit/0123:{tag}"))

    def container_of(self, image: Image) -> str:
        if image.name not in self.names:
            raise EngineError("create failed", output=f"Error: {image.name}: image not known")
        return image.name


def refuse(*_: object) -> Any:
    raise AssertionError("nobody asked for that")


@pytest.fixture
def cleanup() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def job_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cleanup: contextlib.ExitStack
) -> Callable[[Engine], Any]:
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))

    def make(engine: Engine) -> Any:
        return SimpleNamespace(
            id="0123",
            backend="canned",
            engine=SimpleNamespace(path=None, flags=()),
            place=None,
            cleanup=cleanup,
            transport=SimpleNamespace(name=COPY, diff_ids=(), deliver=engine.deliver),
        )

    return make


@pytest.mark.parametrize("archives", [False, True])
@pytest.mark.parametrize("known_as", ["an id of old", COPY])
def test_a_lost_copy_is_brought_under_a_name_of_the_jobs_own(
    job_on: Callable[[Engine], Any], cleanup: contextlib.ExitStack, archives: bool, known_as: str
):
    engine = Engine(archives=archives)
    job = job_on(engine)
    made = images.on_base(job, engine.images(), Image(known_as), engine.container_of)
    assert made == OWN
    engine.names.discard(COPY)  # the neighbour again, who finds another name on the image
    cleanup.close()
    assert engine.names == {COPY}, "the next job finds it, and nothing of this one's stays"


def test_a_copy_that_another_job_brought_back_meanwhile_serves(job_on: Callable[[Engine], Any]):
    engine = Engine()
    engine.names.add(COPY)
    said = [EngineError("create failed", output=f"No such image: {COPY}")]

    def make(image: Image) -> str:
        if said:
            raise said.pop()
        return engine.container_of(image)

    assert images.on_base(job_on(engine), engine.images(), Image(COPY), make) == OWN


def test_it_is_brought_as_often_as_it_is_lost(job_on: Callable[[Engine], Any]):
    engine, losses = Engine(), 5

    def make(image: Image) -> str:
        if engine.brought < losses:
            engine.names.clear()
        return engine.container_of(image)

    assert images.on_base(job_on(engine), engine.images(), Image(COPY), make) == OWN
    assert engine.brought == losses


def test_a_thief_who_never_rests_does_not_keep_the_job_for_ever(job_on: Callable[[Engine], Any]):
    engine = Engine()

    def make(image: Image) -> str:
        engine.names.clear()
        return engine.container_of(image)

    with pytest.raises(EngineError, match="create failed"):
        images.on_base(job_on(engine), engine.images(), Image(COPY), make)
    assert 1 < engine.brought < 20


def test_what_the_engine_lacks_besides_the_base_is_its_own_failure(
    job_on: Callable[[Engine], Any],
):
    engine = Engine()
    engine.names.add(COPY)

    def make(image: Image) -> str:
        raise EngineError("create failed", output="Error: network none: network not known")

    with pytest.raises(EngineError):
        images.on_base(job_on(engine), engine.images(), Image(COPY), make)
    assert engine.brought == 0


@EACH
def test_jobs_beside_each_other_whose_base_is_taken_away_all_the_time(host: Host, shared_tmp: Path):
    folder = shared_tmp / "here"
    host.run("mkdir", folder)
    before = host_bench(host, folder).resources()
    ran = load.load(host, folder, 6, [load.remover(host), load.pruner(host)])
    assert load.told(ran) == {"0": 6}
    host.runcommit("prune", "--bases")
    assert host_bench(host, folder).resources() == before
