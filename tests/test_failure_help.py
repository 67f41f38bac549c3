"""``--keep-on-failure`` and ``--shell-on-failure``, and what a reader of an error is told."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.terminals import terminal
from tests.test_backends import host_bench
from tests.test_cli import CANNED, runcommit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bases import Base
    from tests.hosts import Host

ENGINES = (
    *("docker", "podman", "podman-rootless", "podman-api", "podman-api-rootless"),
    *("buildah", "buildah-rootless", "buildah-chroot"),
)
EACH_WAY = pytest.mark.hosts(*ENGINES)
ALSO_NATIVE = pytest.mark.hosts(*ENGINES, "native")
FAILING = ("-c", "echo made > /made", "-c", "echo said; exit 3")


@pytest.fixture
def surroundings(host: Host, shared_tmp: Path) -> dict[str, str]:
    cache = shared_tmp / "cache"
    host.run("mkdir", "--mode=700", cache)
    return {"RUNCOMMIT_CACHE_DIR": str(cache)}


def words(host: Host, base: Base, *arguments: str) -> tuple[str, ...]:
    network = ("--network", "none") if host.spec.isolation != "chroot" else ()
    return ("run", "-b", host.backend, *network, *arguments, base.ref, *FAILING)


def command_of(message: str) -> list[list[str]]:
    """The commands that a message tells the reader to type."""
    return [
        shlex.split(line)
        for line in re.findall(
            r"^  ((?:docker|podman|buildah|/\S+/python\S*) .*)", message, re.MULTILINE
        )
    ]


def enter_by_hand(host: Host, commands: list[list[str]]) -> None:
    """Type the commands, and in the shell that the last one opens look for the file made."""
    with terminal(120) as it:
        for command in commands:
            running = it.start(host.popen, *command)
            if command is commands[-1]:
                it.send("echo $((41+1)); cat /made; exit\n")
            assert it.finish(running) == 0, it.text()
        assert {"42", "made"} <= set(it.lines())


@ALSO_NATIVE
def test_a_kept_container_can_be_entered_as_the_message_says(
    host: Host, shared_tmp: Path, busybox_base: Base, surroundings: dict[str, str]
):
    bench = host_bench(host, shared_tmp)
    before = bench.resources()
    secret = ("-e", "TOKEN=s3cr3t")
    done = host.runcommit(
        *words(host, busybox_base, "--keep-on-failure", *secret), check=False, env=surroundings
    )
    assert done.returncode == 5, done.stderr
    assert "exit code 3" in done.stderr
    assert "command 2 of 2" in done.stderr
    assert "s3cr3t" not in done.stderr
    assert bench.resources() - before, "the container is gone"
    commands = command_of(done.stderr)
    assert commands, done.stderr
    enter_by_hand(host, commands)
    listed = host.runcommit("prune", env=surroundings).stdout
    assert re.fullmatch(r"(kept +\S+ +\S*runcommit\S+\n)+", listed)
    assert bench.resources() - before, "prune removed what was to be kept"
    rows = json.loads(host.runcommit("prune", "--kept", "--json", env=surroundings).stdout)
    assert all(row["removed"] and row["kept"] for row in rows)
    assert bench.resources() == before
    assert host.runcommit("prune", "--kept", env=surroundings).stdout == ""


@ALSO_NATIVE
def test_a_shell_in_the_failed_container(
    host: Host, shared_tmp: Path, busybox_base: Base, surroundings: dict[str, str]
):
    bench = host_bench(host, shared_tmp)
    before = bench.resources()
    (shared_tmp / "bound").mkdir()
    (shared_tmp / "bound" / "file").write_text("of the mount\n")
    options = (
        *("--shell-on-failure", "-e", "KEY=value", "-u", "user", "-w", "/data", "--progress=plain"),
        *("--mount", f"type=bind,source={shared_tmp / 'bound'},target=/bound,readonly"),
    )
    failing = ("-c", "echo made > /tmp/made; exit 3")
    network = ("--network", "none") if host.spec.isolation != "chroot" else ()
    job = ("run", "-b", host.backend, *network, *options, busybox_base.ref, *failing)
    with terminal(200, 60) as it:
        running = it.start(host.popen, host.python, "-m", "runcommit_core", *job, env=surroundings)
        it.wait_for("a shell in the failed container", "$ ")
        it.send("cat /tmp/made /bound/file; echo $KEY:$(id -u):$(pwd)\n")
        it.wait_for("made", "of the mount", "value:1000:/data")
        it.send("\x03echo still here\n")  # Ctrl-C is the shell's
        it.wait_for("\nstill here")
        it.send("exit 9\n")
        assert it.finish(running) == 5, it.text()
        assert "exit code 3" in it.text()
    host.observe(list(job), 5)
    assert bench.resources() == before
    assert host.runcommit("prune", "--kept", env=surroundings).stdout == ""


@pytest.mark.hosts("docker")
def test_later_steps_keep_the_container_too(
    host: Host, shared_tmp: Path, busybox_base: Base, surroundings: dict[str, str]
):
    """A whiteout's name is nothing that a layer can hold, which only a later step finds."""
    before = host_bench(host, shared_tmp).resources()
    done = host.runcommit(
        "run", "-b", host.backend, "--network", "none", "--keep-on-failure", busybox_base.ref,
        "-c", "echo > /.wh.name", check=False, env=surroundings,
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert "is kept" in done.stderr
    left = host_bench(host, shared_tmp).resources() - before
    host.runcommit("prune", "--kept", env=surroundings)
    assert left
    assert host_bench(host, shared_tmp).resources() == before


@EACH_WAY
def test_what_fails_before_there_is_a_container_keeps_nothing(
    host: Host, shared_tmp: Path, surroundings: dict[str, str]
):
    done = host.runcommit(
        "run", "-b", host.backend, "--keep-on-failure", "engine:localhost/no/such:image",
        "-c", "true", check=False, env=surroundings,
    )  # fmt: skip
    assert done.returncode == 4
    assert "is kept" not in done.stderr
    assert "localhost/no/such:image" in done.stderr
    assert host.runcommit("prune", "--kept", env=surroundings).stdout == ""


# --- without an engine


def test_a_shell_needs_a_terminal(tmp_path: Path):
    done = runcommit("run", "-b", "docker", "--shell-on-failure", tmp_path, "-c", "true")
    assert done.returncode == 2
    assert "needs a terminal" in done.errors
    assert "--keep-on-failure" in done.errors


def test_a_backend_that_does_not_know_how(tmp_path: Path):
    done = runcommit("run", "-b", CANNED, "--keep-on-failure", tmp_path, "-c", "true")
    assert done.returncode == 2
    assert "--keep-on-failure" in done.errors


@pytest.mark.hosts("podman")
def test_a_helper_that_the_engine_lacks_is_no_failure_of_the_command(
    host: Host, busybox_base: Base
):
    # without sbin podman's network has no iptables, and podman then ends with 127
    words = ("run", "--no-cache", busybox_base.ref, "-c", "true")
    done = host.runcommit(*words, check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 4, done.stderr
    assert "in step run: podman run failed" in done.stderr
