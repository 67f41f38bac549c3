"""Signals: what they end, what they do not touch, and what is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core.testing.bench import processes_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 60.0

PRELUDE = """
import logging, os, pathlib, signal, subprocess, sys, time
from runcommit_core.engine import interruption, process
from runcommit_core.engine.cleanup import CleanUp
from runcommit_core.engine.interruption import cleaning, undisturbed, waiting
logging.basicConfig(level=logging.WARNING, format="%(message)s")
say = lambda *words: print(*words, flush=True)
here = pathlib.Path.cwd()
me = lambda number: os.kill(os.getpid(), number)
TERM, INT = signal.SIGTERM, signal.SIGINT
interruption.install(interruption.Told(lambda number: say("heard"), lambda: say("hurried")))
def main():
    try:
        with waiting():
            program()
    except interruption.InterruptedBySignalError as error:
        interruption.all_said()
        say("interrupted", error.number, process.owed())
    else:
        say("done", process.owed())
"""


class Child:
    """A program of our own that signals are sent to."""

    def __init__(self, folder: Path, program: str, **options: Any) -> None:
        self.said = folder / "said"
        body = "".join(f"    {line}\n" for line in program.strip().splitlines())
        with self.said.open("wb") as file:
            self.popen = subprocess.Popen(
                [sys.executable, "-c", f"{PRELUDE}\ndef program():\n{body}\nmain()"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options,
            )  # fmt: skip

    @property
    def lines(self) -> list[str]:
        return self.said.read_text().splitlines()

    def wait_for(self, line: str) -> None:
        end = time.monotonic() + SECONDS
        while line not in self.lines:
            assert self.popen.poll() is None, self.lines
            assert time.monotonic() < end, self.lines
            time.sleep(0.01)

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self.popen.send_signal(number)

    def end(self) -> list[str]:
        self.popen.wait(SECONDS)
        return self.lines


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    children: list[Child] = []

    def starting(program: str, **options: Any) -> Child:
        children.append(Child(tmp_path, program, **options))
        return children[-1]

    yield starting
    for child in children:
        child.popen.kill()
        child.popen.wait()


# --- where a signal is obeyed


@pytest.mark.parametrize(
    "wait",
    [
        "time.sleep(300)",
        "process.output('/bin/sleep', '300')",
        "process.attached('/bin/sleep', '300', console=say)",
        "with process.streaming('/bin/sleep', '300') as stream: stream.read()",
        "[0 for _ in iter(int, 1)]",
    ],
)
def test_a_wait_ends_by_a_signal(start: Any, wait: str):
    child = start(f"say('begun')\n{wait}")
    child.wait_for("begun")
    child.send(signal.SIGTERM)
    assert child.end() == ["begun", "heard", "interrupted 15 0"]


def test_a_signal_before_the_wait_is_not_lost(start: Any):
    child = start("with undisturbed():\n    me(TERM)\n    say('still here')\ntime.sleep(300)")
    lines = child.end()
    assert lines.index("still here") < lines.index("interrupted 15 0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_clean_up_is_never_cut_in_half(start: Any, number: signal.Signals):
    child = start(
        f"""
with CleanUp() as stack:
    stack.callback(process.undo, '/bin/sh', '-c', 'sleep 0.5; echo first > first')
    stack.callback(process.undo, '/bin/sh', '-c', 'sleep 0.5; echo second > second')
    stack.callback(me, {int(number)})
say('cleaned')
"""
    )
    assert child.end()[-1] == f"interrupted {int(number)} 0"
    folder = child.said.parent
    assert (folder / "first").exists()
    assert (folder / "second").exists()


def test_what_was_forked_is_always_known(start: Any, tmp_path: Path):
    mark = f"mark{os.getpid()}{time.monotonic_ns()}"
    child = start(
        f"""
real = subprocess.Popen.__init__
def init(self, *args, **words):
    real(self, *args, **words)
    me(TERM)
subprocess.Popen.__init__ = init
process.output('/bin/sh', '-c', 'sleep 300; : {mark}')
"""
    )
    assert child.end()[-1] == "interrupted 15 0"
    assert not processes_with(mark)


def test_signals_of_one_cause_are_one(start: Any):
    """``timeout`` sends its signal to the process and to its group."""
    child = start(
        """
with CleanUp() as stack:
    stack.callback(process.undo, '/bin/sh', '-c', 'sleep 1; echo > undone')
    stack.callback(me, TERM)
    stack.callback(me, INT)
"""
    )
    assert child.end()[-1] == "interrupted 2 0"
    assert (child.said.parent / "undone").exists()


# --- the second, the third


HANGING = """
with CleanUp() as stack:
    stack.callback(process.undo, '/bin/sh', '-c', 'echo > never')
    stack.callback(process.undo, '/bin/sh', '-c', 'echo > hanging; exec sleep 300')
    say('begun')
    time.sleep(300)
"""


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_second_signal_ends_clean_up_and_what_stays_is_owed(start: Any):
    child = start(HANGING)
    child.wait_for("begun")
    child.send(signal.SIGINT)
    folder = child.said.parent
    wait_for_file(folder / "hanging")
    time.sleep(0.3)  # a person's second; earlier it is taken for the first
    child.send(signal.SIGINT)
    lines = child.end()
    assert lines[-1] == "interrupted 2 2"
    assert lines.index("heard") < lines.index("hurried")
    assert sum(line.startswith("not cleaned up: ") for line in lines) == 2
    assert not (folder / "never").exists()


def test_a_third_signal_ends_the_process_where_it_is(start: Any):
    child = start(
        """
with cleaning():
    me(INT)
    time.sleep(0.4)
    me(INT)
    time.sleep(0.4)
    say('twice')
    me(TERM)
    say('never')
"""
    )
    lines = child.end()
    assert "twice" in lines
    assert "never" not in lines
    assert child.popen.returncode == 143


def test_a_second_signal_ends_the_grace_and_no_more(start: Any):
    child = start(
        """
process.GRACE_SECONDS = 300.0
with CleanUp() as stack:
    stack.callback(process.undo, '/bin/sh', '-c', 'echo > undone')
    program = 'trap "echo > told" TERM; echo > begun; while :; do sleep 0.1; done'
    process.output('/bin/sh', '-c', program)
"""
    )
    folder = child.said.parent
    wait_for_file(folder / "begun")
    child.send(signal.SIGINT)
    wait_for_file(folder / "told")
    time.sleep(0.3)
    child.send(signal.SIGINT)
    assert child.end()[-1] == "interrupted 2 0"
    assert (folder / "undone").exists()


# --- bounds


def test_what_hangs_is_left_after_its_time_and_not_waited_for_again(start: Any):
    child = start(
        """
process.UNDO_SECONDS = 0.5
with CleanUp() as stack:
    stack.callback(process.undo, '/bin/sh', '-c', 'echo > undone')
    stack.callback(process.undo, '/bin/sh', '-c', 'trap "" TERM; kill -STOP $$')
    stack.callback(process.undo, '/bin/sh', '-c', 'exec >&- ; sleep 300')
"""
    )
    lines = child.end()
    assert lines[-1] == "done 2"
    assert sum("sh did not end within 0.5 s" in line for line in lines) == 2
    assert (child.said.parent / "undone").exists()


def test_the_end_of_a_timeout_is_bounded(start: Any):
    child = start(
        """
process.UNDO_SECONDS = 0.5
from runcommit_core.errors import CommandTimeoutError
try:
    process.attached('/bin/sleep', '300', console=say, timeout=0.1, end=('/bin/sleep', '301'))
except CommandTimeoutError as error:
    say(error)
"""
    )
    assert child.end()[-2:] == ["the command did not end within 0.1 s", "done 0"]


def test_a_run_is_told_to_end_only_when_its_container_is_there(start: Any):
    child = start(
        """
program = 'trap "echo > early; exit" TERM; echo > begun; sleep 1; trap "echo > late; exit" TERM;'
program += ' echo x > id; while :; do sleep 0.1; done'
process.attached('/bin/sh', '-c', program, console=say, begun=here / 'id')
"""
    )
    folder = child.said.parent
    wait_for_file(folder / "begun")
    child.send(signal.SIGTERM)
    assert child.end()[-1] == "interrupted 15 0"
    assert (folder / "late").exists()
    assert not (folder / "early").exists()


def test_a_container_that_may_still_come_is_owed(start: Any):
    child = start(
        """
process.BEGIN_SECONDS = 0.2
program, console = 'echo go; sleep 300', lambda _: say('go')
process.attached('/bin/sh', '-c', program, console=console, begun=here / 'id')
"""
    )
    child.wait_for("go")
    child.send(signal.SIGTERM)
    assert child.end()[-1] == "interrupted 15 1"


# --- what is inherited


def test_what_is_ignored_stays_ignored(start: Any):
    child = start(
        "say('begun')\ntime.sleep(300)",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    child.wait_for("begun")
    child.send(signal.SIGHUP)
    child.send(signal.SIGTERM)
    assert child.end() == ["begun", "heard", "interrupted 15 0"]


def test_the_children_of_clean_up_take_their_signals(start: Any):
    child = start(
        """
with CleanUp() as stack:
    script = 'grep -E "Sig(Ign|Blk)" /proc/self/status > signals'
    stack.callback(process.undo, '/bin/sh', '-c', script)
    me(TERM)
    process.output('/bin/true')
"""
    )
    assert child.end()[-1] == "interrupted 15 0"
    masks = [line.split() for line in (child.said.parent / "signals").read_text().splitlines()]
    ending = sum(1 << number - 1 for number in (signal.SIGINT, signal.SIGTERM))
    assert all(not int(mask, 16) & ending for _, mask in masks)


# --- the command line


STRIKE = """
import importlib.abc, os, signal, sys
class Striking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Striking())
from runcommit_core.cli import main
sys.argv = ["runcommit", {arguments}]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "name", ["runcommit_core.cli.entry", "click", "runcommit_core.cli.commands", "logging"]
)
def test_a_signal_while_we_start_leaves_no_traceback(name: str, number: signal.Signals):
    program = STRIKE.format(name=name, number=int(number), arguments="'--help'")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode in (-number, 128 + number)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["--help", "image id /no/such", "run", "stamp"])
def test_closed_streams_leave_no_traceback(closed: str, arguments: str):
    script = f"exec {closed}; exec {sys.executable} -m runcommit_core {arguments}"
    opened = subprocess.run(
        ["/bin/sh", "-c", script.replace(f"exec {closed}; ", "")], capture_output=True, check=False
    )
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == opened.returncode
