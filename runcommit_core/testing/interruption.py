"""The part of the contract about jobs that do not come to their end: nothing of them may stay."""

from __future__ import annotations

import json
import os
import secrets
import signal
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import bases
from runcommit_core.testing.bench import Ran, processes_with, started
from runcommit_core.testing.declared import declared, is_installed
from runcommit_core.testing.directing import directed
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.ends import TIMED_OUT
from runcommit_core.testing.expectations import (
    expect,
    expect_end,
    expect_ending,
    expect_equal,
    expect_line,
    expect_no_file,
    expect_nothing_left,
    expect_said,
    expect_success,
)

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench

_TIMEOUT = Duty(
    "run",
    "hand timeout=job.run.timeout to process.attached, and as end=… the command that kills the"
    " container where killing the engine's program does not",
)
_LIVE = Duty(
    "run", "hand on what the command says at once: process.attached(…, console=job.console)"
)
_SIGNAL = Duty(
    "run",
    "start the engine through runcommit_core.process and catch no BaseException: a signal is one,"
    " and has to reach the core",
)
_ENDED = Duty(
    "run",
    "before the container is made, push on job.containers what kills and removes it: a command may"
    " ignore the signal that the engine's program had",
)
_FOLDER = Duty("run", "keep files of the job in job.folder, which the core removes")
_LEFTOVERS = Duty(
    "leftovers",
    "find everything by the ids of jobs (runcommit_core.made_by(name, ids)), and let its removal"
    " end what still runs (end_orphans); a name of the job's is job.name, or holds job.id",
)
_COPIES = Duty(
    "base_copies",
    "list the private copies of bases by the names that load gave them (job.transport.name), each"
    " with what removes it; or leave the step out",
)
_RESOURCES = Duty(
    "resources() of the test",
    "list every container there, running ones too: without it this contract sees nothing",
    "2. Tell the contract what your engine holds",
)


_AT = {signal.SIGINT: "exit 1", signal.SIGTERM: ""}
"""What the command does at a signal: it ends, or it ignores it."""

_WITH_NULL = "test -e /dev/null || { mkdir -p /dev; : > /dev/null; }"
_WAIT = "sleep 300 & wait"
"""A shell that waits hears signals at once.  What it waits for wants a /dev/null."""

WAITING = f"{_WITH_NULL}; {_WAIT}"


class InterruptionContract:
    """How a job ends before its time."""

    def test_a_timeout_ends_the_run(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        mark = secrets.token_hex(8)
        command = f"trap '' TERM; echo started; sleep 10; echo {mark}"
        ran = bench.job(base.ref, "--timeout", "2s", "-c", command, "-o", layer)
        expect_end(ran, TIMED_OUT, _TIMEOUT)
        expect_said(ran, "started\n", duty=_LIVE)
        expect_said(ran, "within 2 s", duty=_TIMEOUT)
        expect_no_file(layer, duty=_TIMEOUT)
        expect_equal("what still runs of the command", processes_with(mark), [], _TIMEOUT)

    @pytest.mark.parametrize("number", _AT)
    def test_a_signal_cleans_up(
        self, bench: Bench, base: bases.Base, number: signal.Signals
    ) -> None:
        layer = bench.folder / "layer.tar"
        mark = secrets.token_hex(8)
        command = f"{_WITH_NULL}; trap '{_AT[number]}' TERM INT; echo started; {_WAIT}; echo {mark}"
        folders = set(bench.folder.iterdir())
        job = ("run", *bench.choice, base.ref, "-c", command, "-o", str(layer))
        with started(bench, *job) as (running, said):
            expect_line(running, said, "started", _LIVE)
            running.send_signal(number)
            code = expect_ending(running, said, _SIGNAL)
        ran = Ran(code, "", said.read_text(), job)
        expect_end(ran, 128 + number, _SIGNAL)
        expect_equal("what still runs of the command", processes_with(mark), [], _ENDED)
        files = set(bench.folder.iterdir()) - folders - {said}
        expect_equal("what stays in the user's folder", files, set(), _FOLDER)

    @pytest.mark.parametrize(
        ("step", "number"),
        [("load", signal.SIGINT), ("commit", signal.SIGTERM)],
    )
    def test_a_signal_between_steps_cleans_up(
        self, bench: Bench, base: bases.Base, step: str, number: signal.Signals
    ) -> None:
        job = (base.ref, "-c", "echo > /x", "-o", bench.folder / "layer.tar")
        before = bench.resources()
        ran = directed(bench, *job, after=step, signal=number)
        duty = Duty(
            step, f"when {step} returns, all that it made must be on job.containers or job.cleanup"
        )
        expect_end(ran, 128 + number, duty)
        expect_nothing_left(bench.resources() - before, duty)

    def test_prune_removes_what_a_killed_job_left(self, bench: Bench, base: bases.Base) -> None:
        if "prune" in declared(bench):
            return
        cache = {"RUNCOMMIT_CACHE_DIR": str(bench.folder / "killed")}
        before = bench.resources()
        job = ("run", *bench.choice, base.ref, "-c", "echo started; sleep 300")
        with started(bench, *job, env=cache) as (running, said):
            expect_line(running, said, "started", _LIVE)
            left = bench.resources() - before
            os.kill(running.pid, signal.SIGKILL)
        expect(left, "a container that runs to be in resources()", _RESOURCES)
        expect_success(bench.run("prune", env=cache), _LEFTOVERS)
        expect_nothing_left(bench.resources() - before, _LEFTOVERS)

    def test_prune_removes_copies_of_bases(self, bench: Bench) -> None:
        if "prune-bases" in declared(bench) or not is_installed(bench):
            return
        cache = {"RUNCOMMIT_CACHE_DIR": str(bench.folder / "cache")}
        unique = bases.file_layer("unique", os.urandom(16))
        base = bases.write_layout(bench.folder / "base", [bases.busybox_layer(), unique])
        expect_success(bench.job(base.ref, "-c", "true", env=cache), _COPIES)
        for number in (1, 0):
            ran = expect_success(bench.run("prune", "--bases", "--json", env=cache), _COPIES)
            expect_equal(
                "how many copies prune finds", len(json.loads(ran.stdout)), number, _COPIES
            )
