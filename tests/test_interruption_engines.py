"""Ctrl-C on real engines: a command that ignores it, and what is left of its job."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.test_prune_engines import EACH_WAY, SLEEP, folder, running, state, wait_until_gone

if TYPE_CHECKING:
    from tests.bases import Base
    from tests.hosts import Host
    from tests.test_prune_engines import Job

__all__ = ["folder"]

PATIENCE = 60.0
"""Much longer than any of it takes, and much shorter than the grace that a second signal ends."""


def interrupted(job: Job) -> None:
    job.popen.send_signal(signal.SIGINT)
    job.wait_for("stopping (SIGINT)")


def mark() -> str:
    return f"mark{time.monotonic_ns()}"


@EACH_WAY
def test_a_command_that_ignores_ctrl_c_is_killed(host: Host, folder: Path, busybox_base: Base):
    before, named = state(host, folder), mark()
    words = ("--stop-timeout", "1s")
    with running(host, folder, busybox_base, "one", f": {named}; {SLEEP}", words=words) as job:
        job.wait_for("started\n")
        interrupted(job)
        assert job.popen.wait(PATIENCE) == 130, job.said.read_text()
        said = job.said.read_text()
    assert said.index("stopping (SIGINT)") < said.index("interrupted by SIGINT; cleaned up")
    wait_until_gone(named)
    assert state(host, folder) == before


@pytest.mark.hosts("docker", "podman", "podman-rootless")  # buildah ends at the first
def test_a_second_ctrl_c_kills_now(host: Host, folder: Path, busybox_base: Base):
    before, named = state(host, folder), mark()
    words = ("--stop-timeout", "1h")
    with running(host, folder, busybox_base, "two", f": {named}; {SLEEP}", words=words) as job:
        job.wait_for("started\n")
        interrupted(job)
        time.sleep(0.5)  # sooner it would be taken for the first
        assert job.popen.poll() is None
        job.popen.send_signal(signal.SIGINT)
        assert job.popen.wait(PATIENCE) == 130, job.said.read_text()
        assert "interrupted by SIGINT; cleaned up" in job.said.read_text()
    wait_until_gone(named)
    assert state(host, folder) == before


@pytest.mark.hosts("docker", "podman", "buildah")
def test_nohup_keeps_a_job_from_hanging_up(host: Host, folder: Path, busybox_base: Base):
    said = folder / "said"
    job = ("run", "-b", host.backend, "--network", "none", busybox_base.ref, "-c")
    out = ("-o", folder / "out/layer.tar")
    script = 'exec nohup "$@" > "$0" 2>&1'
    words = (host.python, "-m", "runcommit_core", *job, "echo started; sleep 2; echo > /x", *out)
    popen = host.popen("sh", "-c", script, said, *words, stdin=-3)
    end = time.monotonic() + PATIENCE
    while "started" not in (said.read_text() if said.exists() else ""):
        assert time.monotonic() < end
        time.sleep(0.02)
    popen.send_signal(signal.SIGHUP)
    assert popen.wait(PATIENCE) == 0, said.read_text()
    assert Path(out[1]).stat().st_size
