"""The part of the contract about what an engine may lack: declared and refused, or it works.

Each test asks for something by its option.  Where the backend's step ``lacks`` (or a step that it
does not have) declares it as lacking, the job must be refused with that reason before anything
runs; everywhere else it must work.  Nothing is skipped.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
from typing import TYPE_CHECKING, Any

from runcommit_core.testing import bases
from runcommit_core.testing.bench import started, wait_for

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench, Ran

USAGE, COMMAND_FAILED = 2, 5
_HUNGRY = "x=x; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do x=$x$x$x$x; done"
"""Takes 64 MiB and more, but not all that the machine has where nothing limits it."""

_BUSY = (
    "read start _ < /proc/uptime || exit 9; now=$start;"
    ' while test "${now%.*}" -lt "$((${start%.*} + 2))"; do read now _ < /proc/uptime; done; times'
)
_CHANGING = "PYTEST_CURRENT_TEST"
_told: dict[tuple[Any, ...], dict[str, str]] = {}


def declared(bench: Bench) -> dict[str, str]:
    """What the backend declares as lacking on this bench, by capability; asked once."""
    surroundings = {name: value for name, value in bench.env.items() if name != _CHANGING}
    key = (bench.backend, bench.command, *sorted(surroundings.items()))
    if key not in _told:
        ran = bench.run("backends", "--backend", bench.backend, "--json")
        assert ran.returncode == 0, ran.stderr
        (row,) = json.loads(ran.stdout)
        assert row["usable"], f"describe says that the engine cannot be used: {row['problem']}"
        _told[key] = row["lacks"]
    return _told[key]


def refused(bench: Bench, ran: Ran, *needed: str) -> bool:
    """Whether one of the capabilities that the job needed is lacking, and so the job was refused.

    Fails the test where the one is without the other.
    """
    lacking = declared(bench)
    lack = next((name for name in needed if name in lacking), "")
    if not lack:
        assert ran.returncode != USAGE, (
            f"the job was refused, but {' and '.join(needed)} is not declared: return"
            f" Lack({needed[0]!r}, reason) from the step lacks, or make it work\n{ran.stderr}"
        )
        return False
    assert ran.returncode == USAGE, (
        f"{lack} is declared as lacking, but the job was not refused (exit code {ran.returncode}):"
        f" is it declared for every job that needs it, and only then?\n{ran.stderr}"
    )
    assert lacking[lack] in ran.stderr, (
        f"the job was refused, but not for the declared reason {lacking[lack]!r}\n{ran.stderr}"
    )
    return True


class Promises:
    """What works or is refused; :class:`BackendContract` inherits it."""

    run_flag = "--env FROM_A_FLAG=yes"
    """Words for ``--run-flag`` that set this variable in the run; override for another engine."""

    def test_memory_is_limited(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--memory", "16m", "-c", _HUNGRY)
        if refused(bench, ran, "memory"):
            return
        assert ran.returncode == COMMAND_FAILED, (
            "a command that takes more than job.run.memory bytes must be ended, and run raise"
            f" CommandError: exit code {ran.returncode}\n{ran.stderr}"
        )
        assert "out of memory" in ran.stderr, (
            "say so: process.command_failure(completed, reason=' (out of memory)')\n" + ran.stderr
        )

    def test_processors_are_limited(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--cpus", "0.2", "-c", _BUSY)
        if refused(bench, ran, "cpus"):
            return
        assert ran.returncode == 0, ran.stderr
        used = sum(float(item) for item in re.findall(r"0m([\d.]+)s", ran.stderr)[:2])
        assert used < 0.8, f"with job.run.cpus 0.2 a command had {used} s in 2 s: set the limit"

    def test_the_machines_network(self, bench: Bench, base: bases.Base) -> None:
        options = ("run", "-b", bench.backend, "--no-cache", base.ref, "--network", "host")
        ran = bench.run(*options, "-c", "ip -o link | wc -l")
        if ran.returncode == USAGE and refused(bench, ran, "network"):
            return
        assert ran.returncode == 0, ran.stderr
        seen, interfaces = ran.stderr.split()[0], len(socket.if_nameindex())
        assert seen == str(interfaces), (
            "with job.run.network 'host' a command must see the machine's"
            f" {interfaces} network interfaces, it saw {seen}"
        )

    def test_variables_come_from_files(self, bench: Bench, base: bases.Base) -> None:
        path = bench.folder / "env"
        path.write_text("ONE=from the file\nTWO=from the file\n")
        show = 'test "$ONE|$TWO" = "from the file|option" && test "$SOURCE_DATE_EPOCH" -gt 0'
        ran = bench.job(base.ref, "--env-file", path, "-e", "TWO=option", "-c", show)
        assert ran.returncode == 0, (
            f"the command must have all of job.run.env over the base's variables\n{ran.stderr}"
        )

    def test_flags_reach_the_engine(self, bench: Bench, base: bases.Base) -> None:
        job = (base.ref, "--run-flag", self.run_flag, "-c", 'test "$FROM_A_FLAG" = yes')
        ran = bench.job(*job)
        if not refused(bench, ran, "run-flag"):
            assert ran.returncode == 0, (
                f"give job.run.flags ({shlex.split(self.run_flag)}) to the engine's run, as words"
                f" of their own\n{ran.stderr}"
            )

    def test_a_platform_that_no_emulator_runs(self, bench: Bench) -> None:
        path = bench.folder / "foreign"
        base = bases.write_layout(path, [bases.busybox_layer()], architecture="s390x")
        ran = bench.job(base.ref, "-c", "echo it ran")
        assert ran.returncode == USAGE, (
            "load must call check_emulation(job.run.platform, job.folder), or lacks declare"
            f" 'platform': exit code {ran.returncode}\n{ran.stderr}"
        )
        assert "it ran\n" not in ran.stderr

    def test_a_failed_container_is_kept_on_demand(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--keep-on-failure", "-c", "exit 3")
        if refused(bench, ran, "keep-on-failure"):
            return
        assert ran.returncode == COMMAND_FAILED, ran.stderr
        assert "is kept" in ran.stderr, (
            "push the container's removal on job.containers, not on job.cleanup\n" + ran.stderr
        )
        pruned = bench.run("prune", "--kept")
        assert pruned.returncode == 0, pruned.stderr

    def test_a_run_is_explained(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--explain", "-c", "echo it ran")
        if not refused(bench, ran, "explain"):
            assert ran.returncode == 0, ran.stderr

    def test_prune_removes_what_a_killed_job_left(self, bench: Bench, base: bases.Base) -> None:
        if "prune" in declared(bench):
            return
        cache = {"RUNCOMMIT_CACHE_DIR": str(bench.folder / "killed")}
        before = bench.resources()
        job = ("run", *bench.choice, base.ref, "-c", "echo started; sleep 300")
        with started(bench, *job, env=cache) as (running, said):
            wait_for("started", said)
            left = bench.resources() - before
            os.kill(running.pid, signal.SIGKILL)
        assert left, "resources() does not list a container that runs: this contract would see none"
        pruned = bench.run("prune", env=cache)
        assert pruned.returncode == 0, pruned.stderr
        left = bench.resources() - before
        assert not left, f"leftovers did not find {sorted(left)}\n{pruned.stdout}{pruned.stderr}"
