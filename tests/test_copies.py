"""A job that recalls what the engine calls its copy of the base does not look at it first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import bases
from tests.test_backends import bench_without_copies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runcommit_core.testing import Base, Bench
    from tests.hosts import Host

pytestmark = pytest.mark.hosts("docker", "podman", "podman-rootless", "buildah", "buildah-rootless")
LOOKS = {"docker": "docker image inspect", "podman": "podman image inspect"}


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Iterator[Bench]:
    with bench_without_copies(host, shared_tmp) as found:
        yield found


@pytest.fixture
def base(bench: Bench, shared_tmp: Path) -> Base:
    return bases.write_layout(
        bench.folder / "base",
        [bases.busybox_layer(), bases.file_layer("copy", shared_tmp.name.encode())],
    )


@pytest.fixture
def job(bench: Bench, base: Base) -> Callable[[], tuple[str, bool]]:
    """Run a job; its diff_id, and whether it looked at the copy of the base."""

    def run() -> tuple[str, bool]:
        ran = bench.job(base.ref, "-vv", "-c", "echo new > /new")
        looked = LOOKS.get(bench.backend, "buildah inspect --type image")
        return ran.diff_id, looked in ran.stderr

    return run


def copy_of(host: Host, before: set[str]) -> str:
    (new,) = copies(host) - before
    return new


def copies(host: Host) -> set[str]:
    name = "{{.Name}}" if host.program == "buildah" else "{{.Repository}}"
    names = host.run(host.program, "images", "--format", f"{name}:{{{{.Tag}}}}")
    return {name for name in names.stdout.split() if name.startswith("localhost/runcommit/base:")}


def test_only_looks_until_it_knows(host: Host, job: Callable[[], tuple[str, bool]]):
    before = copies(host)
    first, looked = job()
    assert looked
    assert job() == (first, True), "what was brought has not been looked at"
    assert job() == (first, False)
    host.run(host.program, "rmi", copy_of(host, before))
    assert job()[0] == first, "the copy is gone"
    assert job() == (first, True)
    assert job() == (first, False)


def test_an_engine_error_is_no_lost_copy(bench: Bench, base: Base, job: Callable[[], object]):
    for _ in range(2):
        job()
    done = bench.run("run", *bench.choice, base.ref, "--run-flag=--no-such-flag", "-c", ":")
    assert done.returncode == 4
    assert "no-such-flag" in done.stderr


def test_exit_code_125_of_the_command(bench: Bench, base: Base, job: Callable[[], object]):
    for _ in range(2):
        job()
    done = bench.job(base.ref, "-c", "exit 125")
    assert done.returncode == 5
    assert "exit code 125" in done.stderr


def test_a_base_without_layers_is_brought_as_well(bench: Bench):
    base = bases.write_layout(
        bench.folder / "none", [], {"Labels": {"of": bench.folder.parent.name}}
    )
    done = bench.run("run", *bench.choice, base.ref, "--", "/no/program")
    assert done.returncode == 5, done.stderr
    assert "exit code 127" in done.stderr
