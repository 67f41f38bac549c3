"""Engines on another machine, by tcp and by ssh: what docs/how-to/remote-engines.md promises."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import BackendContract, Bench, bases
from tests.terminals import terminal
from tests.test_backends import REMOVE, host_bench, run_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bases import Base
    from tests.hosts import Host

BY_SSH = pytest.mark.hosts("docker-ssh", "podman-ssh")
PLAIN = ("echo x > /x", "sha256:cf2162be7114d453a7ff75b12df9773cb11a7f9bfd5a0e2f6e4cc9e5b986b85c")
"""A command, and the layer of it that every engine gives."""

SLEEPING = "trap exit TERM; echo started; while :; do sleep 0.1; done"
SMALL = 1 << 20


@pytest.mark.hosts("docker-tcp", "podman-ssh")
class TestFar:
    """Tests of the contract that tell what the same engine here does not; it has what they need.

    All others pass there, too: inherit from ``BackendContract`` to see it.
    """

    @pytest.fixture
    def bench(self, host: Host, shared_tmp: Path) -> Bench:
        return host_bench(host, shared_tmp)

    @pytest.fixture(autouse=True)
    def _host(self, host: Host) -> None:
        self.host = host

    def interfaces(self) -> set[str]:
        return set(there(self.host, "ls", "/proc/sys/net/ipv4/neigh").split()) - {"default"}

    def run_image(self, bench: Bench, name: str) -> str:
        try:
            return run_on(self.host, name)
        finally:
            self.host.run(*REMOVE[self.host.program], name)

    base = BackendContract.base
    nothing_stays = BackendContract.nothing_stays

    test_the_layer = BackendContract.test_the_layer_holds_exactly_what_changed
    test_transports = BackendContract.test_both_transports_give_the_same_layer
    test_network = BackendContract.test_the_machines_network
    test_mounts = BackendContract.test_mounts_leave_no_trace
    test_verify = BackendContract.test_base_and_layer_are_what_the_container_saw
    test_memory = BackendContract.test_memory_is_limited
    test_every_form = BackendContract.test_one_run_gives_every_form_of_the_image
    test_killed = BackendContract.test_prune_removes_what_a_killed_job_left


def there(host: Host, *command: str) -> str:
    """What a command on the far machine says."""
    return host.run(*shlex.split(host.env["RUNCOMMIT_TEST_FAR"]), *command).stdout


def layer_of(host: Host, base: Base, *words: str, **options: object) -> str:
    """The diff_id of ``PLAIN`` there."""
    job = ("run", "--no-cache", "--network", "none", *words, base.ref, "-c", PLAIN[0])
    return host.runcommit(*job, **options).stdout.strip()  # type: ignore[arg-type]


# --- how an engine is chosen


@pytest.fixture
def far_context(host: Host, tmp_path: Path) -> dict[str, str]:
    """Variables of a client whose current context is the far daemon's."""
    variables = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": ""}
    address = f"host={host.env['DOCKER_HOST']}"
    host.run("docker", "context", "create", "far", "--docker", address, env=variables)
    host.run("docker", "context", "use", "far", env=variables)
    return variables


@pytest.mark.hosts("docker-ssh")
def test_the_current_context(host: Host, busybox_base: Base, far_context: dict[str, str]):
    plan = host.runcommit("run", "--explain", busybox_base.ref, "-c", "true", env=far_context)
    assert "docker --context far run" in plan.stdout
    assert "-R 127.0.0.1:0:127.0.0.1:PORT" in plan.stdout
    assert "upper" not in plan.stdout
    assert layer_of(host, busybox_base, env=far_context) == PLAIN[1]


@pytest.mark.hosts("docker-tcp")
def test_a_context_by_name(host: Host, busybox_base: Base, far_context: dict[str, str]):
    host.run("docker", "context", "use", "default", env=far_context)
    by_name = {**far_context, "DOCKER_CONTEXT": "far"}
    assert layer_of(host, busybox_base, env=by_name) == PLAIN[1]
    by_flag = ("--engine-flag=--context=far", "-v")
    assert layer_of(host, busybox_base, *by_flag, env=far_context) == PLAIN[1]
    unknown = host.runcommit(
        *("run", busybox_base.ref, "-c", "true"), check=False,
        env={**far_context, "DOCKER_CONTEXT": "other"},
    )  # fmt: skip
    assert unknown.returncode == 2
    assert 'context "other"' in unknown.stderr


@pytest.mark.hosts("podman-ssh")
def test_podmans_default_connection(host: Host, busybox_base: Base, tmp_path: Path):
    settings = tmp_path / "containers.conf"
    settings.touch()
    variables = {"CONTAINERS_CONF": str(settings)}
    address, key = host.env["CONTAINER_HOST"], host.env["CONTAINER_SSHKEY"]
    add = ("podman", "system", "connection", "add", "--identity", key, "far", address)
    host.run("env", "-u", "CONTAINER_HOST", *add, env=variables)
    remote = ("env", "-u", "CONTAINER_HOST", host.python, "-m", "runcommit_core", "run")
    job = ("--no-cache", "--network=none", busybox_base.ref, "-c", PLAIN[0])
    by_flag = "--engine-flag=--connection=far"
    assert host.run(*remote, by_flag, *job, env=variables).stdout.strip() == PLAIN[1]
    plan = host.run(*remote, "--engine-flag=--remote", "--explain", *job, env=variables).stdout
    assert "podman --remote --connection far run" in plan


@pytest.mark.hosts("docker-tcp")
def test_another_context_in_mid_job(
    host: Host, busybox_base: Base, far_context: dict[str, str], shared_tmp: Path
):
    cache = {**far_context, "RUNCOMMIT_CACHE_DIR": str(shared_tmp / "cache")}
    with sleeping(host, busybox_base, shared_tmp, cache) as popen:
        host.run("docker", "context", "use", "default", env=far_context)
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(30) == 128 + signal.SIGTERM
    assert host.leftovers() == set()
    host.run("docker", "context", "use", "far", env=far_context)
    with sleeping(host, busybox_base, shared_tmp, cache) as popen:
        host.run("docker", "context", "use", "default", env=far_context)
        popen.send_signal(signal.SIGKILL)
        popen.wait(10)
    assert len(host.leftovers()) == 1
    host.runcommit("prune", env=cache)
    assert host.leftovers() == set()


@contextlib.contextmanager
def sleeping(
    host: Host, base: Base, folder: Path, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A job whose command has begun and does not end."""
    said = folder / "said"
    job = ("run", "--no-cache", "--network=none", base.ref, "-c", SLEEPING)
    with said.open("wb") as file:
        popen = host.popen(
            host.python, "-m", "runcommit_core", *job,
            env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        wait(lambda: "started\n" in said.read_text(), said)
        yield popen
    finally:
        popen.kill()
        popen.wait()


def wait(ready: Callable[[], bool], said: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.05)


# --- what travels


@pytest.mark.hosts("docker-ssh", "podman-ssh")
def test_a_base_travels_once_and_a_layer_alone(host: Host, tmp_path: Path):
    """Bytes on the link, both ways: the second job's do not depend on the base's size."""
    tmp_path.chmod(0o755)
    size = 20 << 20
    layers = [bases.busybox_layer(), bases.file_layer("large", os.urandom(size))]
    base = bases.write_layout(tmp_path / "base", layers)
    sent = []
    for _ in range(2):
        before = carried(host)
        assert layer_of(host, base)
        sent.append(carried(host) - before)
    assert size < sent[0] < 2 * size
    assert sent[1] < SMALL


def carried(host: Host) -> int:
    """The bytes that the far machine's link has carried so far."""
    lines = there(host, "cat", "/proc/net/dev").splitlines()
    (link,) = [line.split(":")[1].split() for line in lines if line.lstrip().startswith("rcf")]
    return int(link[0]) + int(link[8])


@BY_SSH
def test_where_ssh_forwards_nothing_archives_go(host: Host, busybox_base: Base, tmp_path: Path):
    no_tunnel = 'case "$*" in *" -R "*) exit 9; esac; exec "$SSH" "$@"'
    path = another_ssh(host, tmp_path, no_tunnel)
    report = tmp_path / "report.json"
    assert layer_of(host, busybox_base, "--metadata", str(report), env=path) == PLAIN[1]
    assert json.loads(report.read_text())["transport"] == "archive"
    forced = ("run", "--no-cache", "--transport=registry", busybox_base.ref, "-c", "true")
    assert host.runcommit(*forced, check=False, env=path).returncode == 4


def another_ssh(host: Host, folder: Path, script: str) -> dict[str, str]:
    """Variables with which ``ssh`` is this script; the host's own is ``$SSH`` in it."""
    path, real = folder / "ssh", Path(host.env["PATH"].partition(":")[0]) / "ssh"
    path.write_text(f"#!/bin/sh\nSSH={real}\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:{host.env['PATH']}"}


@pytest.mark.hosts("docker-ssh")
def test_a_forwarded_socket_is_another_machines(host: Host, busybox_base: Base, shared_tmp: Path):
    path = shared_tmp / "forwarded"
    forward = ("ssh", "-N", "-L", f"{path}:/run/docker.sock")
    address = host.env["DOCKER_HOST"].removeprefix("ssh://")
    env = {"DOCKER_HOST": f"unix://{path}"}
    with host.popen(*forward, address, stdin=subprocess.DEVNULL) as tunnel:
        try:
            wait(path.exists, Path(os.devnull))
            assert layer_of(host, busybox_base, env=env) == PLAIN[1]
            job = ("run", busybox_base.ref, "--input", "/etc/hostname:/in", "-c", "true")
            refused = host.runcommit(*job, check=False, env=env)
            assert (refused.returncode, "another machine" in refused.stderr) == (2, True)
        finally:
            tunnel.terminate()


# --- what goes wrong


def failing(host: Host, base: Base, **env: str) -> str:
    """What a job says that cannot have its engine; it ends soon, as engine trouble."""
    job = ("run", "--no-cache", base.ref, "-c", "true")
    done = host.runcommit(*job, check=False, env=env, timeout=100)
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("runcommit: error: ") == 1
    return done.stderr


@pytest.mark.hosts("docker-ssh")
def test_docker_tells_why_ssh_fails(host: Host, busybox_base: Base):
    address = host.env["DOCKER_HOST"]
    for wrong, tip in (
        (address.replace("root@", "nobody@"), "ssh must get there without a password"),
        (f"{address}:1", "is that machine up"),
        ("ssh://root@nowhere.invalid", "no machine has that name"),
    ):
        assert tip in failing(host, busybox_base, DOCKER_HOST=wrong)


@pytest.mark.hosts("docker-ssh")
def test_a_key_that_nobody_knows_is_asked_of_nobody(host: Host, busybox_base: Base, tmp_path: Path):
    forgetful = 'exec "$SSH" -o UserKnownHostsFile=/dev/null -o ControlPath=none "$@"'
    job = (host.python, "-m", "runcommit_core", "run", busybox_base.ref, "-c", "true")
    with terminal(200) as screen:
        at_it = ("setsid", "--ctty", "--wait", *job)
        popen = screen.start(host.popen, *at_it, env=another_ssh(host, tmp_path, forgetful))
        assert screen.finish(popen) == 4
        assert "Host key verification failed" in screen.text()
        assert "known_hosts" in screen.text()


@pytest.mark.hosts("podman-ssh")
def test_podman_tells_why_ssh_fails(host: Host, busybox_base: Base):
    address = host.env["CONTAINER_HOST"]
    for wrong, tip in (
        (address.replace("root@", "nobody@"), "ssh must get there without a password"),
        (address.replace(":22/", ":1/"), "is that machine up"),
        (address.replace(":22/", "/"), "the port"),
        (address.replace("podman.sock", "no.sock"), "start the service"),
    ):
        assert tip in failing(host, busybox_base, CONTAINER_HOST=wrong)


@BY_SSH
def test_a_connection_that_is_cut(host: Host, busybox_base: Base, shared_tmp: Path):
    cache = {"RUNCOMMIT_CACHE_DIR": str(shared_tmp / "cache")}
    with sleeping(host, busybox_base, shared_tmp, cache) as popen:
        for pid in sessions(host):
            os.kill(pid, signal.SIGKILL)
        assert popen.wait(60) == 4
    said = (shared_tmp / "said").read_text()
    assert "the connection to the engine was cut" in said
    assert host.leftovers() == set()


def sessions(host: Host) -> list[int]:
    """The processes of the far sshd that hold connections."""
    machine = there(host, "readlink", "/proc/self/ns/mnt").strip()
    names = ("sshd", "sshd-session")
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                folder.name.isdigit()
                and (folder / "comm").read_text().strip() in names
                and str((folder / "ns/mnt").readlink()) == machine
                and b"listener" not in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
    return found


@pytest.mark.hosts("docker-ssh", "podman-ssh")
def test_the_doctor_knows_where_the_engine_is(host: Host):
    done = host.runcommit("doctor", "-b", host.backend, "--json", check=False)
    (found,) = json.loads(done.stdout)["backends"]
    assert found["usable"], found
    checks = {check["check"]: check for check in found["checks"]}
    assert "store space" not in checks
    assert checks["loopback registry"]["status"] == "ok"
    assert "ssh" in checks["daemon" if host.program == "docker" else "service"]["found"]


@pytest.mark.hosts("podman-rootless")
def test_a_service_of_another_user(host: Host, busybox_base: Base, shared_tmp: Path):
    """Root can read that user's store, where all ids are shifted."""
    path = shared_tmp / "socket"
    service = ("podman", "system", "service", "--time=0", f"unix://{path}")
    env = {**os.environ, "CONTAINER_HOST": f"unix://{path}"}
    job = ("run", "-b", "podman", "--no-cache", "--network=none", busybox_base.ref, "-c", PLAIN[0])
    with host.popen(*service, stdin=subprocess.DEVNULL) as popen:
        try:
            wait(path.exists, Path(os.devnull))
            command = [sys.executable, "-m", "runcommit_core", *job]
            done = subprocess.run(command, check=False, env=env, capture_output=True, text=True)
            assert (done.returncode, done.stdout.strip()) == (0, PLAIN[1]), done.stderr
        finally:
            popen.terminate()
