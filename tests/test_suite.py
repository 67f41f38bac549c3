"""The suite itself: which tests a word chooses, what they need, who runs them beside whom."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import lanes, run_folder, suite
from tests.hosts import HostSpec, key, name_of, spec_of
from tests.run_folder import agree, once
from tests.selection import Needs, hosts_of_engines

TOP = Path(__file__).parent.parent


def collected(folder: Path, *words: str) -> tuple[Needs, str]:
    """What some tests need, and the names of all that are chosen."""
    path = folder / "needs.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", f"--needs={path}", *words],
        check=True, capture_output=True, text=True, cwd=TOP,
    )  # fmt: skip
    return Needs.load(path), done.stdout


def test_an_engine_means_its_near_hosts_and_a_host_itself():
    assert hosts_of_engines(["docker"]) == {"docker"}
    assert hosts_of_engines(["podman-api,docker-ssh"]) == {
        *("podman-api", "podman-api-rootless", "docker-ssh")
    }
    assert hosts_of_engines(["buildah", "podman-vfs"]) > {"buildah-rootless", "podman-vfs"}


def test_an_engine_that_nobody_knows_is_told():
    with pytest.raises(pytest.UsageError, match="'dokcer' is none of docker, podman, "):
        hosts_of_engines(["podman,dokcer"])


@pytest.mark.costly
def test_an_engine_needs_its_hosts_and_nothing_else(tmp_path: Path):
    """No Bazel, no other machine, no newer podman, though there are tests of those with podman."""
    files = ("tests/test_bazel.py", "tests/test_remote.py", "tests/test_results.py")
    needs, names = collected(tmp_path, "--engine=podman,podman-api", *files)
    assert not needs.whole
    assert needs.prefixes == []
    assert needs.hosts == ["podman", "podman-rootless", "podman-vfs"]
    assert set(needs.lanes) == {*needs.hosts}
    assert "test_bazel.py" not in names


@pytest.mark.costly
def test_a_lane_has_hosts_of_its_own(tmp_path: Path):
    """What one lane's tests leave in an engine for a moment, no other lane sees."""
    needs, _ = collected(tmp_path, "tests/test_bazel_remote.py", "tests/test_podman_api.py")
    assert needs.prefixes == ["bazel", "remote-execution"]
    assert set(needs.hosts) == {
        *("bazel:docker", "bazel:podman"),
        *("podman-api", "podman-api:podman-vfs"),
        *("podman-api-rootless", "podman-api:podman-api-rootless"),
    }


@pytest.mark.costly
def test_quick_leaves_out_what_python_alone_cannot_do(tmp_path: Path):
    files = [
        f"tests/test_{name}.py" for name in ("verify", "bazel_analysis", "release", "hosts", "tar")
    ]
    needs, names = collected(tmp_path, "--quick", *files)
    assert (needs.hosts, needs.prefixes) == ([], [])
    assert needs.tests > 50
    assert set(re.findall(r"test_\w+\.py", names)) == {"test_tar.py", "test_hosts.py"}


def test_names_and_keys():
    assert key("podman", "podman") == key("", "podman") == "podman"
    assert name_of(key("bazel", "podman")) == "podman"
    assert isinstance(spec_of("far:docker-ssh"), HostSpec)
    with pytest.raises(LookupError, match="no host is called 'dokcer'"):
        spec_of("dokcer")


@pytest.mark.parametrize(
    ("lanes", "words", "processes"),
    [
        (["a"], (), 0),  # tests in one row need no company
        (["a", "b"], (), 2),
        (["", "a"], (), 3),
        ([*"abcdefgh"], (), 4),
        (["a", "b"], ("--pdb",), 0),
    ],
)
def test_processes(
    monkeypatch: pytest.MonkeyPatch, lanes: list[str], words: tuple[str, ...], processes: int
):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    told = suite.side_by_side(suite.workers(Needs(9, lanes=lanes)), words)
    assert told == ((f"--numprocesses={processes}",) if processes else ())


def test_long_lanes_begin_first_and_what_runs_anywhere_fills_the_gaps(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(lanes, "lane_of", lambda item: item.rstrip("123"))
    items: Any = ["1", "few1", "many1", "2", "many2", "bazel1", "many3", "few2", "installs1"]
    assert lanes.arranged(items) == [
        *("installs1", "bazel1", "many1", "many2", "many3", "few1", "few2", "1", "2")
    ]


def nested(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run tests of a text by the suite's own ways."""
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  lane(name): a lane\n")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-n2", *words)
    return subprocess.run(
        [*command, "--rootdir", folder, "-c", folder / "pytest.ini", folder / "test_it.py"],
        check=False, capture_output=True, text=True, cwd=TOP,
    )  # fmt: skip


WHO = """\
import os, pathlib, pytest, time

def note(name):
    with (pathlib.Path(__file__).parent / name).open("a") as file:
        file.write(f"{os.getpid()}\\n")

@pytest.mark.lane("one")
@pytest.mark.parametrize("number", range(5))
def test_in_a_row(number):
    note("one")

@pytest.mark.lane("two")
@pytest.mark.parametrize("number", range(5))
def test_in_another(number):
    note("two")

@pytest.mark.parametrize("number", range(5))
def test_anywhere(number):
    note("free")
"""


@pytest.mark.costly
def test_a_lane_is_one_process_and_lanes_are_side_by_side(tmp_path: Path):
    done = nested(tmp_path, WHO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"15 passed in ", done.stdout.splitlines()[-1])
    one, two, free = ((tmp_path / name).read_text().splitlines() for name in ("one", "two", "free"))
    assert [len(one), len(two), len(free)] == [5, 5, 5]
    assert len(set(one)) == len(set(two)) == 1
    assert set(one) != set(two)


CHILD = """\
import os, pathlib, subprocess, sys

def test_of_a_child():
    subprocess.run([sys.executable, "-m", "runcommit_core", "--version"], check=True)

def test_of_a_child_that_was_killed_while_it_wrote():
    folder = pathlib.Path(os.environ["COVERAGE_PROCESS_START"]).with_name("coverage")
    (folder / "data.far.1.x").write_bytes(b"SQLite format 3")
    (folder / "data.far.2.x").touch()
"""


@pytest.mark.costly
def test_coverage_counts_children_and_a_missed_floor_fails_the_run(tmp_path: Path):
    done = nested(tmp_path, CHILD, "--coverage")
    lines = done.stdout.splitlines()
    assert re.match(r"2 passed in ", lines[-1]), done.stdout + done.stderr
    assert re.fullmatch(r"\d+\.\d\d % are covered; the floor is 9\d %", lines[-2])
    assert done.returncode == 1
    missed = {line.split()[0]: line.split()[5] for line in lines if re.search(r"\.py .*%", line)}
    assert missed["runcommit_core/testing/scratch.py"] == "0%"  # nobody imports it
    assert missed.get("runcommit_core/__main__.py") != "0%"  # a child alone does


def test_what_all_processes_share_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(run_folder.VARIABLE, str(tmp_path))
    calls: list[Path] = []
    assert once("it", lambda place: calls.append(place) or "made") == "made"
    assert once("it", lambda place: calls.append(place) or "again") == "made"
    assert calls == [tmp_path / "it"]


def test_who_disagrees_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(run_folder.VARIABLE, str(tmp_path))
    agree("layer", "sha256:a")
    agree("layer", "sha256:a")
    agree("another", "sha256:b")
    with pytest.raises(AssertionError, match=r"layer: sha256:b here, and elsewhere \['sha256:a'"):
        agree("layer", "sha256:b")
