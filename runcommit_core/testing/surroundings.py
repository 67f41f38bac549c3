"""The part of the contract about what a run is given: variables, user, network, limits, flags."""

from __future__ import annotations

import re
import secrets
import shlex
import signal
import socket
from typing import TYPE_CHECKING

from runcommit_core.testing import bases
from runcommit_core.testing.bench import image_config, processes_with, started
from runcommit_core.testing.declared import refused
from runcommit_core.testing.duties import LACKS, Duty
from runcommit_core.testing.ends import COMMAND_FAILED, USAGE
from runcommit_core.testing.expectations import (
    expect,
    expect_content,
    expect_diff_id,
    expect_end,
    expect_ending,
    expect_equal,
    expect_line,
    expect_said,
    expect_success,
    expect_unsaid,
)
from runcommit_core.testing.interruption import WAITING

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench

_HUNGRY = "x=x; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do x=$x$x$x$x; done"
"""Takes 64 MiB and more, but not all that the machine has where nothing limits it."""

_BUSY = (
    "read start _ < /proc/uptime || exit 9;"
    ' burn() { now=$start; while test "${now%.*}" -lt "$((${start%.*} + 4))"; do'
    " read now _ < /proc/uptime; done; };"
    " for _ in 1 2 3 4 5 6 7 8; do burn & done; wait; times"
)
"""Several at once: on a machine that is busy otherwise one alone gets little without any limit."""

_SELF = Duty(
    "run",
    "give the command job.run.env over the base's variables, job.run.user (which is the base's own"
    " unless the job chose another) and job.run.workdir or, where it is empty, the base's",
)
_BASES_OWN = Duty(
    "load",
    "give the private copy the config job.transport.config; the result's own is made by the core"
    " from the base's, whatever the run was given",
)
_UNSEEN = Duty(
    "run",
    "let no value of job.run.env stand in a command line, which all users of the machine can read:"
    " give the client variable_words(job) in the environment client_environment(job), or what"
    " does the same",
)
_NETWORK = Duty("run", "give the engine job.run.network: none, host or a network of the engine's")
_MEMORY = Duty(
    "run",
    "limit the memory to job.run.memory bytes and, where the command was killed for it, raise"
    " process.command_failure(completed, reason=' (out of memory)'); or declare"
    " Lack('memory', reason)",
)
_CPUS = Duty("run", "limit the processors to job.run.cpus, or declare Lack('cpus', reason)")
_FLAGS = Duty(
    "run",
    "give job.run.flags to the engine's run as words of their own, or declare"
    " Lack('run-flag', reason)",
)
_EMULATION = Duty(
    "load",
    "call check_emulation(job.run.platform, job.folder) first, or declare Lack('platform', reason)",
    LACKS,
)


class SurroundingsContract:
    """What holds for a run, and for the run alone."""

    run_flag = "--env FROM_A_FLAG=yes"
    """Words for ``--run-flag`` that set this variable in the run; override for another engine."""

    def interfaces(self) -> set[str]:
        """The network interfaces of the engine's machine; override for another than this one."""
        return {name for _, name in socket.if_nameindex()}

    def test_env_user_and_workdir_hold_for_the_run_alone(self, bench: Bench) -> None:
        base = bases.busybox(
            bench.folder / "mine",
            {"Env": ["PATH=/bin", "KEPT=base value"], "User": "user", "WorkingDir": "/data"},
        )
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        show = 'echo "$KEPT|$GIVEN|$(id -u):$(id -g)|$(pwd)" > /tmp/out'
        ran = bench.job("-e", "GIVEN=a=b c", "-o", layer, "--image", image, base.ref, "-c", show)
        expect_diff_id(ran, duty=_SELF)
        expect_content(layer, "tmp/out", b"base value|a=b c|1000:1000|/data\n", _SELF)
        expect_equal("the config", image_config(image)["config"], base.config["config"], _BASES_OWN)
        ran = bench.job("-u", "root", "-w", "/tmp", "-o", layer, base.ref, "-c", show)
        expect_diff_id(ran, duty=_SELF)
        expect_content(layer, "tmp/out", b"base value||0:0|/tmp\n", _SELF)

    def test_variables_come_from_files(self, bench: Bench, base: bases.Base) -> None:
        path = bench.folder / "env"
        path.write_text("ONE=from the file\nTWO=from the file\n")
        show = 'test "$ONE|$TWO" = "from the file|option" && test "$SOURCE_DATE_EPOCH" -gt 0'
        ran = bench.job(base.ref, "--env-file", path, "-e", "TWO=option", "-c", show)
        expect_success(ran, _SELF)

    def test_no_value_of_a_variable_is_seen(self, bench: Bench, base: bases.Base) -> None:
        value, path = f"s3cret-{secrets.token_hex(8)}", bench.folder / "env"
        path.write_text(f"TOKEN={value}\nPATH=/bin:/{value}\nEMPTY=\n")
        lines = {"LINES_OF": f"{value}\nanother {value}\n"}
        given = ("-vv", "--env-file", str(path), "-e", "LINES_OF")
        job = ("run", *bench.choice, base.ref, *given, "-c", f"echo started; {WAITING}")
        with started(bench, *job, env=lines) as (running, said):
            expect_line(running, said, "started", _UNSEEN)
            shown = processes_with(value)
            running.send_signal(signal.SIGTERM)
            expect_ending(running, said, _UNSEEN)
        expect_equal("the processes with a value in their command line", shown, [], _UNSEEN)
        outputs = [bench.folder / name for name in ("metadata", "provenance")]
        names = (word for path in outputs for word in (f"--{path.name}", path))
        layer = bench.folder / "layer.tar"
        show = 'echo -n "$TOKEN|$PATH|${EMPTY-unset}|$LINES_OF" > /tmp/seen'
        ran = bench.job(base.ref, *given, *names, "-o", layer, "-c", show, env=lines)
        expect_diff_id(ran, duty=_SELF)
        seen = f"{value}|/bin:/{value}||{lines['LINES_OF']}".encode()
        expect_content(layer, "tmp/seen", seen, _SELF)
        texts = (said.read_text(), ran.stderr, *(path.read_text() for path in outputs))
        for text in texts:
            expect(value not in text, "no value to be told", _UNSEEN, seen="one is told")

    def test_no_network_means_none(self, bench: Bench, base: bases.Base) -> None:
        if not bench.isolated:
            ran = bench.job(base.ref, "--network", "none", "-c", "true")
            duty = Duty("lacks", "return Lack('network', reason) where none is wanted", LACKS)
            expect(refused(bench, ran, "network"), "a job without network to be refused", duty)
            return
        layer = bench.folder / "layer.tar"
        expect_diff_id(bench.job(base.ref, "-c", "ip route > /routes", "-o", layer))
        expect_content(layer, "routes", b"", _NETWORK)

    def test_the_machines_network(self, bench: Bench, base: bases.Base) -> None:
        options = ("run", "-b", bench.backend, "--no-cache", base.ref, "--network", "host")
        missed = self.interfaces()
        # others may add theirs at the same time, or remove them and add them again
        for _ in range(3):
            ran = bench.run(*options, "-c", "ip -o link")
            if ran.returncode == USAGE and refused(bench, ran, "network"):
                return
            expect_success(ran, _NETWORK)
            missed = {name for name in missed & self.interfaces() if f": {name}" not in ran.stderr}
        expect_equal("the interfaces of the machine that a command misses", missed, set(), _NETWORK)

    def test_memory_is_limited(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--memory", "16m", "-c", _HUNGRY)
        if refused(bench, ran, "memory"):
            return
        expect_end(ran, COMMAND_FAILED, _MEMORY)
        expect_said(ran, "out of memory", duty=_MEMORY)

    def test_processors_are_limited(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--cpus", "0.1", "-c", _BUSY)
        if refused(bench, ran, "cpus"):
            return
        expect_success(ran, _CPUS)
        used = sum(60 * int(m) + float(s) for m, s in re.findall(r"(\d+)m([\d.]+)s", ran.stderr))
        wanted = "at most 0.8 s of processor time in 4 s with --cpus 0.1"
        expect(used < 0.8, wanted, _CPUS, seen=f"the command had {used} s")

    def test_flags_reach_the_engine(self, bench: Bench, base: bases.Base) -> None:
        job = (base.ref, "--run-flag", self.run_flag, "-c", 'test "$FROM_A_FLAG" = yes')
        ran = bench.job(*job)
        if not refused(bench, ran, "run-flag"):
            words = f"{_FLAGS.change}; here they are {shlex.split(self.run_flag)}"
            expect_success(ran, Duty(_FLAGS.hook, words))

    def test_a_platform_that_no_emulator_runs(self, bench: Bench) -> None:
        path = bench.folder / "foreign"
        base = bases.write_layout(path, [bases.busybox_layer()], architecture="s390x")
        ran = expect_end(bench.job(base.ref, "-c", "echo it ran"), USAGE, _EMULATION)
        expect_unsaid(ran, "it ran\n", duty=_EMULATION)
