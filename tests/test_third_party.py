"""Backends that others write: the example distribution, and the one that a template begins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import BackendContract, Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts import Host

EXAMPLE = Path(__file__).parent.parent / "examples/backend-umoci"
STORE = "RUNCOMMIT_UMOCI_STORE"


def install(distribution: Path, place: Path) -> None:
    """Install a copy of a distribution alone, as somebody else would beside runcommit."""
    copy = place / "source"
    shutil.copytree(distribution, copy)
    pip = (sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    alone = ("--no-deps", "--no-index", "--no-build-isolation")
    subprocess.run([*pip, *alone, "--target", place / "site", copy], check=True)


def call(
    *words: str | Path, site: Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of Python's with what is installed in ``site``."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        check=False, capture_output=True, text=True, cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), **env},
    )  # fmt: skip


@pytest.fixture(scope="module")
def umoci(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the example is installed, readable for every user."""
    place = Path("/var/tmp") / f"runcommit-umoci-{os.getpid()}"
    place.mkdir(mode=0o755)
    install(EXAMPLE, place)
    yield place
    shutil.rmtree(place)


@pytest.mark.lane("umoci")
@pytest.mark.usefixtures("machine")
def test_the_example_passes_the_contract_as_its_author_runs_it(umoci: Path) -> None:
    tests, env = umoci / "source/tests", {STORE: str(umoci / "store")}
    done = call("pytest", "-q", tests, site=umoci / "site", cwd=umoci, **env)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "skipped" not in done.stdout
    listed = call("runcommit_core", "backends", "--json", "-b", "umoci", site=umoci / "site")
    (row,) = json.loads(listed.stdout)
    assert (row["distribution"], row["usable"]) == ("runcommit-umoci", True)
    assert {"load", "engine-base", "run-flag"} <= set(row["lacks"])


@pytest.mark.lane("umoci")
@pytest.mark.hosts("podman-rootless")
class TestRootlessUmoci(BackendContract):
    """The same as a user who is not root, in that user's own store."""

    @pytest.fixture
    def bench(self, host: Host, shared_tmp: Path, umoci: Path) -> Iterator[Bench]:
        self.store = shared_tmp.with_name(f"{shared_tmp.name}-store")
        self.store.mkdir()
        self.store.chmod(0o777)
        yield Bench(
            backend="umoci",
            folder=shared_tmp,
            command=(*host.launcher, host.python, "-m", "runcommit_core"),
            env={**host.env, "PYTHONPATH": str(umoci / "site"), STORE: str(self.store)},
            resources=self.resources,
        )
        shutil.rmtree(self.store)

    def resources(self) -> set[str]:
        jobs = self.store / "jobs"
        return {path.name for path in jobs.iterdir()} if jobs.is_dir() else set()


@pytest.mark.usefixtures("machine")
def test_a_new_backend_says_what_is_to_be_written(tmp_path: Path) -> None:
    new = ("runcommit_core", "backends", "new", "sh")
    made = call(*new, tmp_path / "it", site=tmp_path)
    assert made.returncode == 0, made.stderr
    assert [Path(line).relative_to(tmp_path / "it").as_posix() for line in made.stdout.split()] == [
        "pyproject.toml", "README.md", "runcommit_sh/__init__.py", "tests/test_contract.py",
    ]  # fmt: skip
    again = call(*new, tmp_path / "it", site=tmp_path)
    assert again.returncode == 2
    assert "not empty" in again.stderr
    install(tmp_path / "it", tmp_path)
    site = tmp_path / "site"
    listed = call("runcommit_core", "backends", "-b", "sh", site=site)
    assert "runcommit-sh 0.1.0" in listed.stdout
    assert "no: " in listed.stdout
    job = ("runcommit_core", "run", "-b", "sh", "--no-cache", str(small_base(tmp_path)))
    ran = call(*job, "-c", "true", site=site)
    assert ran.returncode == 3, ran.stderr
    assert "the step load of backend 'sh' is not written yet" in ran.stderr
    assert "job.transport.deliver" in ran.stderr
    one = ("pytest", "-q", "tests", "-k", "exactly")
    tests = call(*one, site=site, cwd=tmp_path / "it")
    assert tests.returncode == 1
    assert "return the names of all containers and images that sh holds" in tests.stdout
    taken = call("runcommit_core", "backends", "new", "sh", tmp_path / "other", site=site)
    assert (taken.returncode, "already" in taken.stderr) == (2, True)
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("machine")
def test_the_contract_says_what_a_boasting_backend_has_to_change(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/boasting.py").write_text(
        "from runcommit_core.testing.scratch import *\n"
        "from runcommit_core.testing.scratch import describe, load, run, commit, save, root\n"
        "del lacks\n"
    )
    (tmp_path / "test_it.py").write_text(
        "from runcommit_core.testing import BackendContract\n\n\n"
        "class TestIt(BackendContract):\n    backend = 'own.boasting'\n    resources = set\n"
    )
    chosen = "memory or flags or every_form"
    done = call("pytest", "-q", "test_it.py", "-k", chosen, site=tmp_path, cwd=tmp_path)
    assert "2 failed, 1 passed" in done.stdout, done.stdout
    for words in (
        "change:  limit the memory to job.run.memory bytes",
        "change:  give job.run.flags to the engine's run as words of their own",
        "hook:    run",
    ):
        assert words in done.stdout


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "1st", "a--b"])
def test_names_that_no_backend_can_have(name: str, tmp_path: Path) -> None:
    made = call("runcommit_core", "backends", "new", name, tmp_path / "it", site=tmp_path)
    assert (made.returncode, "cannot be a backend's name" in made.stderr) == (2, True)
    assert not (tmp_path / "it").exists()


def small_base(folder: Path) -> Path:
    from runcommit_core.testing import bases

    return bases.write_layout(folder / "base", [bases.file_layer("a", b"a")]).path
