"""What a run starts ends with the run, however that ends: SIGKILL is no exception.

Two processes stand above all others of a run.  The outer one is what the caller sees and may kill;
the inner one then gets a SIGTERM from the kernel.  Both are *subreapers* (prctl(2)): whoever loses
its parent becomes their child, so that they find by id whatever is still there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 30
"""Seconds that a command has to end in order."""

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def guard() -> None:
    """Return in a new process, whose code the calling one exits with.

    Only where they share a terminal do both get what is sent to the caller's group of processes.
    """
    outer = os.getpid()
    _prctl(_SET_CHILD_SUBREAPER, 1)
    inner = os.fork()
    if inner:
        code = attend(inner, signal.SIGTERM)
        end_descendants(set())
        sys.exit(code)
    if not os.isatty(0):
        os.setsid()
    _prctl(_SET_CHILD_SUBREAPER, 1)
    _prctl(_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != outer:
        sys.exit(128 + signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def attend(pid: int, end: signal.Signals, kept: set[int] | None = None) -> int:
    """Wait for a child, and for all that become children; return its code as a shell tells it.

    When this process is to end, the child gets the signal ``end``.  With ``kept``, all others but
    these children and theirs are killed where :data:`GRACE` seconds do not suffice.
    """

    def forward(number: int, _frame: FrameType | None) -> None:
        # A terminal sends its Ctrl-C to the child as well.
        if number != signal.SIGINT or not os.isatty(0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, end)
            if kept is not None:
                signal.alarm(GRACE)

    for number in ENDING:
        signal.signal(number, forward)
    signal.signal(signal.SIGALRM, lambda *_: _kill(_descendants(kept or set())))
    ended = 0
    while ended != pid:
        ended, status = os.wait()
    signal.alarm(0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def end_descendants(kept: set[int]) -> None:
    """Kill all that descends from this process, but for some children and theirs."""
    end = time.monotonic() + 10
    while (left := _descendants(kept)) and time.monotonic() < end:
        _kill(left)
        for pid in left & children():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def children() -> set[int]:
    """The ids of this process's children."""
    return {pid for pid, parent in _parents().items() if parent == os.getpid()}


def end_tree(pid: int) -> list[str]:
    """Kill a child with all that descends from it; return their command lines."""
    pids = {pid} | _descendants(set(), pid)
    told = [_command_line(each) for each in sorted(pids)]
    _kill(pids)
    return told


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        return f"  {pid} {words.decode(errors='replace')}"
    return f"  {pid}"


def _descendants(kept: set[int], above: int | None = None) -> set[int]:
    """What descends from this process, or from another one."""
    parents = _parents()
    found, new = set(), {above or os.getpid()}
    while new := {pid for pid, parent in parents.items() if parent in new} - kept:
        found |= new
    return found


def _parents() -> dict[int, int]:
    """The parent of each process of the machine."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    return found


def _kill(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
