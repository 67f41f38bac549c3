"""The suite touches nothing of its caller's: all of it is planted outside, and seen untouched."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core import process
from tests import hermetic, images
from tests.test_prune import kill, waiting_job

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent
REPRESENTATIVE = (
    "tests/test_capabilities.py",
    "tests/test_cache_registry.py",
    "tests/test_cli.py",
    "tests/test_doctor.py",
    "tests/test_place.py",
    "tests/test_prune.py",
    "tests/test_regions.py",
)
"""Those that read the cache, ask every engine, look for credentials or prune."""

CONFIGURATION = {
    ".docker/config.json": '{"credsStore": "spy", "currentContext": "planted"}',
    ".config/containers/auth.json": '{"credHelpers": {"127.0.0.1": "spy"}}',
    ".config/containers/containers.conf": "[engine]\nno_such_runtime = planted\n",
    ".config/containers/registries.conf": "planted, and no TOML\n",
    ".config/containers/storage.conf": '[storage]\ndriver = "planted"\n',
    ".config/pip/pip.conf": "[global]\nindex-url = http://127.0.0.1:1/planted\n",
    ".gitconfig": "[core]\n\tplanted\n[include\n",
    ".ssh/config": "Planted yes\n",
    ".bazelrc": "planted --nonsense\n",
}
"""Files of a home that a program which reads them trips over, or tells a spy."""


@dataclass
class Caller:
    """Somebody with a home, a cache, engines that run: and what has come to their engines."""

    folder: Path
    calls: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def run(self) -> Path:
        """What is mounted at /run."""
        return self.folder / "run"

    def variables(self) -> dict[str, str]:
        """What the caller has in the environment."""
        config = self.home / ".config"
        sockets = f"unix://{self.run}"
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_CONFIG_HOME": str(config),
            "XDG_DATA_HOME": str(self.home / ".local/share"),
            "XDG_RUNTIME_DIR": str(self.run / "user/0"),
            "DOCKER_HOST": f"{sockets}/docker.sock",
            "DOCKER_CONFIG": str(self.home / ".docker"),
            "CONTAINER_HOST": f"{sockets}/podman/podman.sock",
            "CONTAINERS_CONF": str(config / "containers/containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(config / "containers/storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(config / "containers/registries.conf"),
            "BUILDAH_ISOLATION": "planted",
            "REGISTRY_AUTH_FILE": str(config / "containers/auth.json"),
            "RUNCOMMIT_BACKEND": "planted",
            "RUNCOMMIT_CACHE": "planted",
            "RUNCOMMIT_CACHE_DIR": str(self.home / ".cache/runcommit"),
            "RUNCOMMIT_CACHE_SIZE": "planted",
            "PIP_INDEX_URL": "http://127.0.0.1:1/planted",
            "PIP_REQUIRE_VIRTUALENV": "planted",
            "GIT_DIR": str(self.home / "planted"),
            "SOURCE_DATE_EPOCH": "planted",
            "HTTP_PROXY": "http://127.0.0.1:1",
            "http_proxy": "http://127.0.0.1:1",
            "LC_ALL": "planted",
            "TZ": "planted",
        }

    def state(self) -> dict[str, tuple[int, int, bytes]]:
        """Every file and folder: mode, time of its last change, content."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
        return found


@pytest.fixture
def caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    made = Caller(tmp_path / "caller")
    for name, text in CONFIGURATION.items():
        path = made.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    spy = made.folder / "bin/docker-credential-spy"
    spy.parent.mkdir()
    spy.write_text(f"#!/bin/sh\necho called >> {shlex.quote(str(made.folder))}/spied\nexit 1\n")
    spy.chmod(0o755)
    plant_record(made.home / ".cache/runcommit", tmp_path, monkeypatch)
    for name in ("containers", "docker"):
        (made.folder / "lib" / name).mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        for name in ("docker.sock", "podman/podman.sock", "user/0/podman/podman.sock"):
            stack.enter_context(listening(made, name))
        yield made


def plant_record(cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed job left whose backend is not installed any more."""
    base = f"oci:{images.write_directory(folder / 'base', images.oci_files(ONE))}"
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(cache))
    with waiting_job(base, folder) as (running, job_id):
        kill(running)
    monkeypatch.delenv("RUNCOMMIT_CACHE_DIR")
    record = cache / f"jobs/{job_id}.json"
    record.write_text(json.dumps(json.loads(record.read_bytes()) | {"backend": "gone"}))


ONE = images.image(images.layer({"old": b"old"}))


@contextlib.contextmanager
def listening(caller: Caller, name: str) -> Iterator[None]:
    """A socket of an engine, which notes each call and hangs up."""
    path = caller.run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        # the path may be longer than an address may be
        folder = os.open(path.parent, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        server.listen()
        thread = threading.Thread(target=note_calls, args=(server, name, caller.calls))
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def note_calls(server: socket.socket, name: str, calls: list[str]) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            calls.append(name)
            client.close()


def as_caller(caller: Caller, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python's as the caller would; default sockets and stores are theirs."""
    places = {"/run": caller.run, "/var/lib/containers": caller.folder / "lib/containers"}
    mounts = "; ".join(
        f"mkdir -p {place}; mount --no-mtab --bind {shlex.quote(str(own))} {place}"
        for place, own in places.items()
    )
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    apart = ("unshare", "--mount", "sh", "-ec", f'{mounts}; exec "$@"', "sh")
    return subprocess.run(
        [*apart, sys.executable, "-m", *words],
        check=False, capture_output=True, text=True, cwd=TOP,
        env=caller.variables() | coverage,
    )  # fmt: skip


@pytest.mark.usefixtures("machine")
def test_the_suite_leaves_its_caller_alone(caller: Caller) -> None:
    before = caller.state()
    quiet = ("-q", "-m", "not hosts", "-p", "no:cacheprovider")
    done = as_caller(caller, "pytest", *quiet, *REPRESENTATIVE)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert caller.calls == []
    assert caller.state() == before


@pytest.mark.usefixtures("machine")
def test_what_is_planted_would_be_found(caller: Caller) -> None:
    """The same traps, and a program that is to look at what is its caller's."""
    as_caller(caller, "runcommit_core", "backends", "-b", "docker")
    assert "docker.sock" in caller.calls
    assert "backend 'gone'" in as_caller(caller, "runcommit_core", "prune").stderr


def test_an_environment_holds_what_is_named_and_no_more(tmp_path: Path) -> None:
    caller = {"PATH": "/bin", "CI": "1", "RUNCOMMIT_BAZEL": "b", "RUNCOMMIT_CACHE": "always"}
    own = hermetic.environment(caller | {"XDG_DATA_HOME": "/x", "AWS_PROFILE": "y"}, tmp_path)
    assert own.keys() == {
        *("PATH", "CI", "RUNCOMMIT_BAZEL", "HOME", "LANG", "XDG_RUNTIME_DIR"),
        *("DOCKER_HOST", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF"),
    }
    assert process.output("sh", "-c", "echo $HOME", env=own).strip() == f"{tmp_path}/home"
