"""The hermetic tool, a remote cache and remote execution, on a real Bazel and a real service."""

from __future__ import annotations

import shutil
import signal
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing.bench import content
from tests import images, remote_service
from tests.test_bazel import LAYER, edited, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bazels import Built, Workspace
    from tests.hosts import Host

DEPENDENCIES = ("pluggy", "click", "rich", "isal", "backports", "markdown_it", "mdurl", "pygments")
HERMETIC = (
    "--extra_toolchains=@runcommit//bazel/toolchains:hermetic",
    "--@runcommit//bazel:dependencies=//dependencies",
)
REMOTE = (
    "--extra_toolchains=//remote:remote_toolchain",
    "--extra_execution_platforms=//remote:with_engine",
    # each test has a service of its own, which has not what was left in another one
    "--remote_download_outputs=all",
    # a service that starts beside other tests may be slow
    "--remote_timeout=180",
    "--remote_retries=10",
    "--@runcommit//bazel:dependencies=//dependencies",
)

pytestmark = [pytest.mark.needs("bazel", "remote-execution"), pytest.mark.lane("bazel")]


@pytest.fixture(scope="module")
def workspace(bazel_workspace: Workspace, host: Host) -> Workspace:
    """With the dependencies of the hermetic tool as a ``py_library``: copies, no registry."""
    folder = bazel_workspace.folder / "dependencies"
    if not folder.exists():
        installed = Path(sysconfig.get_path("purelib"))
        for name in DEPENDENCIES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(installed / name, folder / "site" / name, ignore=ignored)
        (folder / "BUILD.bazel").write_text(
            'load("@rules_python//python:defs.bzl", "py_library")\n'
            'py_library(name = "dependencies", srcs = glob(["site/**/*.py"]), imports = ["site"],\n'
            '    data = glob(["site/**"], exclude = ["site/**/*.py"]),\n'
            '    visibility = ["//visibility:public"])\n'
        )
    return bazel_workspace.on(host)


@pytest.fixture
def bare_path(workspace: Workspace, tmp_path: Path) -> str:
    """A PATH with a Python and the machine's programs, and no runcommit."""
    (tmp_path / "python3").symlink_to(Path(sys.executable).resolve())
    found = f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"
    assert not shutil.which("runcommit", path=found)
    return found


@pytest.fixture
def service(host: Host, shared_tmp: Path) -> Iterator[str]:
    with remote_service.execution(shared_tmp / "service", host.env) as address:
        yield address


def layer_of(workspace: Workspace, target: str, *words: str, **options: object) -> str:
    done = workspace.build(f"//remote:{target}", *words, **options)
    assert LAYER in done.ran, done.log
    return images.digest(workspace.output(f"remote/{target}.tar").read_bytes())


@pytest.mark.hosts("podman", "docker")
def test_the_tool_from_its_sources_gives_the_same_layer(workspace: Workspace, bare_path: str):
    installed = layer_of(workspace, "layer")
    built = layer_of(workspace, "layer", *HERMETIC, env={"PATH": bare_path})
    assert built == installed


@pytest.fixture
def engines(workspace: Workspace, host: Host, tmp_path: Path) -> Engines:
    return Engines(tmp_path, host.env["PATH"], workspace._env()["PATH"])


class Engines:
    """Two folders at the start of PATH, of which one has the engine at a time."""

    def __init__(self, folder: Path, machine: str, rest: str) -> None:
        self._program = shutil.which("podman", path=machine)
        self._folders = {name: folder / name for name in ("one", "two")}
        for place in self._folders.values():
            place.mkdir()
        self.env = {"PATH": ":".join([*map(str, self._folders.values()), rest])}

    def put(self, place: str, text: str = "") -> Path:
        """Put the engine, or a script with ``text``, into a folder."""
        program = self._folders[place] / "podman"
        program.write_text(f'#!/bin/sh\n{text or f"echo >>$0.used; exec {self._program}"} "$@"\n')
        program.chmod(0o755)
        return program


@pytest.mark.hosts("podman")
def test_a_remote_cache_serves_where_the_engine_is_broken(workspace: Workspace, engines: Engines):
    engines.put("one")
    with remote_service.cache() as address:
        words = ("//remote:layer", f"--remote_cache={address}")
        workspace.run("clean")
        assert LAYER in workspace.build(*words, env=engines.env).ran
        first = workspace.output("remote/layer.tar").read_bytes()
        workspace.run("clean")
        engines.put("one", "exit 125 #")
        done = workspace.build(*words, env=engines.env)
        assert done.ran == (), "the cache does not serve"
        assert "remote cache hit" in done.log
        assert workspace.output("remote/layer.tar").read_bytes() == first


@pytest.mark.hosts("podman")
def test_an_engine_that_moves_is_found_anew(workspace: Workspace, engines: Engines):
    """No path of an engine is kept from one build to the next, nor looked up before it is used."""
    program = engines.put("one")
    layer_of(workspace, "layer", env=engines.env)
    assert program.with_name("podman.used").exists()
    program.unlink()
    program = engines.put("two")
    with edited(workspace, "remote/BUILD.bazel", "echo far away", "echo far  away"):
        layer_of(workspace, "layer", env=engines.env)
    assert program.with_name("podman.used").exists()


# -- remote execution


def remotely(workspace: Workspace, service: str, path: str, target: str) -> Built:
    words = (f"//remote:{target}", *REMOTE, f"--remote_executor={service}")
    return workspace.build(*words, check=False, env={"PATH": path})


@pytest.mark.hosts("podman", "docker")
def test_a_remote_executor_gives_the_same_layer(workspace: Workspace, service: str, bare_path: str):
    here = layer_of(workspace, "layer")
    done = remotely(workspace, service, bare_path, "layer")
    assert done.returncode == 0, done.log
    assert (LAYER, "remote") in zip(done.ran, done.runners, strict=True)
    layer = workspace.output("remote/layer.tar")
    assert images.digest(layer.read_bytes()) == here
    assert content(layer, "srv/remote") == b"far away\n"

    failed = remotely(workspace, service, bare_path, "failing")
    assert failed.returncode == 1
    assert "(Exit 5)" in failed.log
    assert "said before\n" in failed.log
    assert "exit code 42" in failed.log


@pytest.mark.hosts("podman")
def test_cancelling_a_remote_action_leaves_no_container(
    workspace: Workspace, service: str, bare_path: str, host: Host, shared_tmp: Path
):
    before = host.leftovers()
    process = workspace.start(
        "build", f"--@runcommit//bazel:backend={host.backend}", "//remote:sleeping", *REMOTE,
        f"--remote_executor={service}", "--color=no", "--curses=no", env={"PATH": bare_path},
    )  # fmt: skip
    try:
        wait_until(lambda: bool(host.leftovers() - before), process)
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 8, log
    # Bazel leaves it to the service what becomes of an action that nobody waits for
    remote_service.cancel(shared_tmp / "service")
    wait_until(lambda: not host.leftovers() - before)
