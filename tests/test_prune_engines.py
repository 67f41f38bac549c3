"""Jobs killed with SIGKILL on real engines, and ``runcommit prune`` after them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import bases
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bases import Base
    from tests.hosts import Host

EACH_WAY = pytest.mark.hosts(
    "docker", "podman", "podman-rootless", "buildah", "buildah-rootless", "buildah-chroot"
)
PATIENT = "trap exit TERM; echo started; while :; do sleep 0.1; done"
SLEEP = "trap '' TERM INT; echo started; while test ! -e /done; do sleep 0.1; done; echo > /new"


@dataclass
class Job:
    """A job in the background of a host, with a cache folder that its test knows."""

    host: Host
    folder: Path
    popen: subprocess.Popen[Any]
    said: Path

    def wait_for(self, text: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text not in self.said.read_text():
            waits = self.popen.poll() is None and time.monotonic() < end
            assert waits, f"{text!r} did not come: {self.said.read_text()}"
            time.sleep(0.02)

    def kill(self) -> None:
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(10)


@pytest.fixture
def folder(host: Host, shared_tmp: Path) -> Iterator[Path]:
    """Where the host's user may write: outputs, cache, temporary folders."""
    folder = shared_tmp / host.name
    host.run("mkdir", "-p", *(folder / name for name in ("cache/jobs", "tmp", "out", "go")))
    host.run("chmod", "go-w", folder / "cache")
    yield folder
    host.runcommit("prune", check=False, env=surroundings(folder))


def surroundings(folder: Path) -> dict[str, str]:
    return {"RUNCOMMIT_CACHE_DIR": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}


@contextlib.contextmanager
def running(
    host: Host, folder: Path, base: Base, name: str, *commands: str, **options: Any
) -> Iterator[Job]:
    said = folder.parent / f"said-{host.name}-{name}"
    network = ("--network", "none") if host.spec.isolation != "chroot" else ()
    with said.open("wb") as file:
        popen = host.popen(
            host.python, "-m", "runcommit_core", "run", "-b", host.backend, *network, "-vv",
            *options.get("words", ()), base.ref,
            *(word for command in commands for word in ("-c", command)),
            "-o", folder / "out" / f"{name}.tar",
            env=surroundings(folder), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    job = Job(host, folder, popen, said)
    try:
        yield job
    finally:
        job.kill()


@contextlib.contextmanager
def secret(host: Host, folder: Path) -> Iterator[tuple[str, str]]:
    """The words that give a secret to a run."""
    host.run("sh", "-c", f"echo {folder} > {folder}/secret")
    yield "--secret", f"id=hidden,src={folder}/secret"


def secrets_of(host: Host, folder: Path) -> list[Path]:
    """Files in memory with the secret of that folder; others run their own jobs meanwhile."""
    places = (Path(host.env["XDG_RUNTIME_DIR"]), Path("/dev/shm"))
    found = []
    for path in (path for place in places for path in place.glob("runcommit-*/secret-*")):
        with contextlib.suppress(OSError):
            found += [path] if path.read_text() == f"{folder}\n" else []
    return found


def prune(host: Host, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    done = host.runcommit("prune", "--json", *arguments, env=surroundings(folder))
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def state(host: Host, folder: Path) -> tuple[set[str], list[str]]:
    """What there is in the engine, and in the folders: names alone."""
    files = [
        str(path.relative_to(folder))
        for part in ("tmp", "out", "cache/jobs")
        for path in sorted((folder / part).iterdir())
    ]
    return host_bench(host, folder).resources(), files


def processes_naming(text: str) -> list[str]:
    """Command lines of living processes; a finished one has none."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if text in line]


@EACH_WAY
def test_killed_in_the_command_beside_a_living_job(host: Host, folder: Path, busybox_base: Base):
    mark = f"mark{os.getpid()}{time.monotonic_ns()}"
    go = ("--mount", f"type=bind,source={folder / 'go'},target=/go,readonly")
    waiting = "echo started; until test -e /go/on; do sleep 0.1; done; echo alive > /new"
    with running(host, folder, busybox_base, "living", waiting, words=go) as living:
        living.wait_for("started\n")
        before = state(host, folder)
        with (
            secret(host, folder) as words,
            running(
                host, folder, busybox_base, "killed", f": {mark}; {SLEEP}", words=words
            ) as killed,
        ):
            killed.wait_for("started\n")
            killed.kill()
        with running(host, folder, busybox_base, "killed-too", f": {mark}; {SLEEP}") as second:
            second.wait_for("started\n")
            second.kill()
        assert secrets_of(host, folder)
        assert processes_naming(mark)
        left = state(host, folder)
        assert left != before
        rehearsed = prune(host, folder, "--dry-run")
        kinds = [row["kind"] for row in rehearsed]
        assert all(kinds.count(kind) >= 2 for kind in ("process", "container", "folder"))
        assert not any(row["removed"] for row in rehearsed)
        assert state(host, folder) == left, "a dry run changed something"
        assert processes_naming(mark)
        removed = prune(host, folder)
        assert [row["name"] for row in removed] == [row["name"] for row in rehearsed]
        assert all(row["removed"] for row in removed)
        assert state(host, folder) == before
        assert not secrets_of(host, folder)
        wait_until_gone(mark)
        host.run("touch", folder / "go" / "on")
        assert living.popen.wait(60) == 0, living.said.read_text()
    assert prune(host, folder) == []
    assert (folder / "out" / "living.tar").stat().st_size
    assert state(host, folder)[1] == ["out/living.tar"]


def wait_until_gone(text: str) -> None:
    end = time.monotonic() + 10
    while processes_naming(text):
        assert time.monotonic() < end, processes_naming(text)
        time.sleep(0.05)


@EACH_WAY
def test_killed_in_commit(host: Host, folder: Path, busybox_base: Base):
    killed_in("commit", host, folder, busybox_base)


@pytest.mark.hosts("docker", "podman", "buildah-rootless")
def test_killed_in_pull(host: Host, folder: Path):
    settings = {"Env": [f"UNIQUE={time.monotonic_ns()}"]}  # so that the engine has no copy of it
    killed_in("pull", host, folder, bases.busybox(folder.parent / "unique", settings))


@pytest.mark.parametrize("transport", ["registry", "archive"])
@EACH_WAY
def test_interrupted_in_commit(host: Host, folder: Path, busybox_base: Base, transport: str):
    before = state(host, folder)
    with stopped_in(
        "commit", signal.SIGTERM, host, folder, busybox_base, transport=transport
    ) as job:
        assert job.popen.wait(60) == 143, job.said.read_text()
    assert state(host, folder) == before


def killed_in(verb: str, host: Host, folder: Path, base: Base) -> None:
    before = state(host, folder)[0]
    with stopped_in(verb, signal.SIGKILL, host, folder, base) as job:
        assert job.popen.wait(10) == -signal.SIGKILL, job.said.read_text()
    assert prune(host, folder)
    assert prune(host, folder) == []
    assert state(host, folder) == (before, [])


@contextlib.contextmanager
def stopped_in(
    verb: str,
    number: signal.Signals,
    host: Host,
    folder: Path,
    base: Base,
    transport: str = "registry",
) -> Iterator[Job]:
    """Send a signal to a job as soon as it has logged the engine's command with that verb."""
    commands = ("dd if=/dev/urandom of=/x bs=1M count=64 2>&1",)
    words = ("--transport", transport)
    with running(host, folder, base, "stopped", *commands, words=words) as job:
        said = re.compile(rf"^runcommit: {host.backend} .*\b{verb} ", re.MULTILINE)
        end = time.monotonic() + 60
        while job.popen.poll() is None and not said.search(job.said.read_text()):
            assert time.monotonic() < end
            time.sleep(0.002)
        time.sleep(0.02)
        job.popen.send_signal(number)
        yield job


@pytest.mark.hosts("docker", "buildah-rootless")
def test_copies_of_bases(host: Host, folder: Path, busybox_base: Base):
    with running(host, folder, busybox_base, "first", PATIENT) as job:
        job.wait_for("started\n")
        copy = json.loads(next((folder / "cache/jobs").iterdir()).read_bytes())["base"]
        assert copy not in [row["name"] for row in prune(host, folder, "--bases")]
        job.popen.send_signal(signal.SIGTERM)
        assert job.popen.wait(30) == 143
    assert copy not in [row["name"] for row in prune(host, folder, "--bases", "--older-than=1d")]
    rows = {
        (row["backend"], row["name"]): row for row in prune(host, folder, "--bases", "--dry-run")
    }
    assert rows[host.backend, copy]["size"] > 0
    names = [row["name"] for row in prune(host, folder, "--bases")]
    assert copy in names
    assert copy not in [row["name"] for row in prune(host, folder, "--bases", "--dry-run")]


@pytest.mark.hosts("docker")
def test_an_engine_that_does_not_answer_keeps_the_record(
    host: Host, folder: Path, busybox_base: Base
):
    with running(host, folder, busybox_base, "killed", SLEEP) as job:
        job.wait_for("started\n")
    (path,) = (folder / "cache" / "jobs").iterdir()
    text = path.read_text()
    path.write_text(text.replace("docker.sock", "gone.sock"))
    done = host.runcommit("prune", check=False, env=surroundings(folder))
    assert done.returncode == 4
    assert path.stem in done.stderr
    assert "gone.sock" in done.stderr
    assert path.exists()
    path.write_text(text)
    prune(host, folder)
    assert not path.exists()


@contextlib.contextmanager
def killed_job(host: Host, folder: Path, base: Base) -> Iterator[str]:
    """The id of a job that was killed while its command ran."""
    with running(host, folder, base, "killed", SLEEP) as job:
        job.wait_for("started\n")
        (record,) = (folder / "cache" / "jobs").iterdir()
        yield record.stem


@pytest.mark.hosts("docker", "podman", "podman-rootless")
def test_what_bears_another_name_or_none_is_known_by_its_label(
    host: Host, folder: Path, busybox_base: Base
):
    before = state(host, folder)
    other = f"other-{time.monotonic_ns()}"
    with killed_job(host, folder, busybox_base) as job_id:
        name = f"runcommit-{job_id}"
        host.run(host.program, "rename", name, other)
    host.run(host.program, "commit", other)
    rows = prune(host, folder)
    assert ("container", other) in [(row["kind"], row["name"]) for row in rows]
    assert state(host, folder) == before


@pytest.mark.hosts("docker", "podman")
def test_names_that_lead_to_a_job_that_is_no_more(host: Host, folder: Path, busybox_base: Base):
    base = bases.busybox(folder.parent / "own", {"Env": [f"UNIQUE={time.monotonic_ns()}"]})
    with running(host, folder, base, "first", "true") as job:
        assert job.popen.wait(60) == 0, job.said.read_text()
    (marker,) = (folder / "cache" / "bases").iterdir()
    copy, stranded = (
        f"localhost/runcommit/base:{marker.name}",
        "127.0.0.1:1/runcommit/0123456789ab:base",
    )
    host.run(host.program, "tag", copy, stranded)
    assert stranded not in [row["name"] for row in prune(host, folder, "--bases", "--dry-run")]
    listed = [row["name"] for row in prune(host, folder, "--all", "--dry-run", "-b", host.backend)]
    assert {copy, stranded} <= set(listed)
    host.run(host.program, "rmi", stranded)
    if host.backend == "podman":  # docker takes the last name with the image
        host.run(host.program, "untag", copy, copy)
    assert copy in [row["name"] for row in prune(host, folder, "--bases")]
    assert copy not in [row["name"] for row in prune(host, folder, "--bases", "--dry-run")]


@pytest.mark.hosts("buildah")
def test_what_an_engine_lost_sight_of_is_ended(host: Host, folder: Path, busybox_base: Base):
    mark = f"mark{os.getpid()}{time.monotonic_ns()}"
    with running(host, folder, busybox_base, "killed", f": {mark}; {SLEEP}") as job:
        job.wait_for("started\n")
        (record,) = (folder / "cache" / "jobs").iterdir()
        job.kill()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if f"runcommit-{record.stem}".encode() in words and b"run" in words:
                os.killpg(int(path.parent.name), signal.SIGKILL)
    assert processes_naming(mark)
    assert {row["kind"] for row in prune(host, folder)} == {"process", "container", "folder"}
    wait_until_gone(mark)
    assert prune(host, folder) == []
