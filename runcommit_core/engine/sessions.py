"""Processes that a program has put in sessions of their own, as engines do with containers.

A signal to the program's process group does not reach them, and a program that it hits at the wrong
moment (its container has been started, its handler not yet installed) leaves them running.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_PARENT, _SESSION = 1, 3
"""Places in ``/proc/PID/stat`` behind the program's name (``man 5 proc``)."""


def end_others(leader: int) -> list[int]:
    """Kill what the leader of a session has below it in other sessions; the ids of these processes.

    They are dead or dying then.  The leader and its group stand still meanwhile, so that none is
    added; how their containers ended they see afterwards, and tidy up as they do after any end.
    """
    with _standing_still(leader):
        others = [pid for pid, session in _below(leader) if session != leader]
        for pid in others:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    return others


@contextlib.contextmanager
def _standing_still(leader: int) -> Iterator[None]:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGCONT)


def _below(ancestor: int) -> list[tuple[int, int]]:
    """All descendants of a process with their sessions."""
    sessions, children = {}, dict[int, list[int]]()
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            sessions[int(folder.name)] = int(fields[_SESSION])
            children.setdefault(int(fields[_PARENT]), []).append(int(folder.name))
    descendants, new = list[int](), children.get(ancestor, [])
    while new:
        descendants += new
        new = [child for pid in new for child in children.get(pid, [])]
    return [(pid, sessions[pid]) for pid in descendants]
