"""Buildah that is ended before it can pass signals on: its container must not go on without it.

Its runtime process hears signals only once the container has started; one that comes before kills
it, and on a busy machine the command is at work by then.
"""

from __future__ import annotations

import secrets
import signal
import time
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing.bench import processes_with, started
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bases import Base
    from tests.hosts import Host

RUNTIME = """#!/bin/sh
runtime=$(command -v runc || command -v crun)
"$runtime" "$@" || exit
for word do test "$word" = start && is_start=yes; last=$word; done
test "$is_start" || exit 0
pid=$("$runtime" state "$last" | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')
while grep -qs '^State:[[:space:]]*[^Z[:space:]]' /proc/$pid/status; do sleep 0.02; done
"""
"""A runtime whose ``start`` returns when the container is at its end."""

WITH_RUNTIMES = pytest.mark.hosts("buildah", "buildah-rootless", "buildah-vfs")
COMMAND = "trap '' TERM INT HUP; echo started; while :; do sleep 0.1; done; :"


@pytest.fixture
def runtime(host: Host, shared_tmp: Path) -> Path:
    path = shared_tmp / "runtime"
    path.write_text(RUNTIME)
    path.chmod(0o755)
    return path


@WITH_RUNTIMES
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_container_that_has_just_started_ends_with_its_job(
    host: Host, shared_tmp: Path, runtime: Path, busybox_base: Base, number: signal.Signals
):
    bench = host_bench(host, shared_tmp)
    mark = secrets.token_hex(8)
    before = bench.resources()
    cache = {"RUNCOMMIT_CACHE_DIR": str(bench.folder / "cache")}
    words = (*bench.choice, "--run-flag", f"--runtime={runtime}", busybox_base.ref)
    layer = bench.folder / "layer.tar"
    command = ("-c", f"{COMMAND} {mark}", "-o", str(layer))
    with started(bench, "run", *words, *command, env=cache) as (running, said):
        while b"\nstarted\n" not in b"\n" + said.read_bytes():
            assert running.poll() is None, said.read_text()
            time.sleep(0.02)
        running.send_signal(number)
        running.wait(60)
    if number == signal.SIGKILL:
        assert processes_with(mark)
        assert bench.run("prune", env=cache).returncode == 0
    assert processes_with(mark) == []
    assert bench.resources() == before
