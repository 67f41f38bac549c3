"""``runcommit`` with one fault in it:  ``python failing.py FAULT POINT NTH WORD -- ARGUMENT…``.

The fault strikes the process itself, in its main thread, when it comes to the point for the NTH
time. ``WORD`` names the engine's verb where the point has one (``create``, ``fork``, ``wait``),
``-`` is any. Imports nothing of the tests: it runs with the interpreter of any host.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

POINTS = ("create", "fork", "wait", "undo", "note", "rename")
"""An engine's program is about to start, has started, runs; something is about to be taken back;
the ledger has an entry; outputs are about to appear."""

FAULTS = ("KILL", "TERM", "INT twice", "hang")
"""Signals that we get; or from there on no program of an engine goes on, and TERM comes."""

_AGAIN_SECONDS = 0.6
_WAIT_SECONDS = 0.05
_LIMIT_SECONDS = 4.0


class Failing:
    """Counts the points, and strikes once; ``python failing.py -`` counts alone, into a file."""

    def __init__(self, fault: str, point: str, number: int, word: str) -> None:
        self._fault, self._point, self._word = fault, point, word
        self._left = number
        self.hangs = False
        self.seen: dict[str, int] = {}

    def reached(self, point: str, argv: tuple[str, ...] = ()) -> bool:
        """Whether this is the moment."""
        if threading.current_thread() is not threading.main_thread():
            return False
        self.seen[point] = self.seen.get(point, 0) + 1
        if point != self._point or (argv and self._word != "-" and self._word not in argv):
            return False
        self._left -= 1
        return not self._left

    def strike(self) -> None:
        """Do it."""
        if self._fault == "hang":
            self.hangs = True
            _later(_AGAIN_SECONDS, signal.SIGTERM)
        elif self._fault == "INT twice":
            _later(_AGAIN_SECONDS, signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        else:
            os.kill(os.getpid(), getattr(signal, f"SIG{self._fault}"))


def _later(seconds: float, number: signal.Signals) -> None:
    def send() -> None:
        time.sleep(seconds)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


def _started_failingly(failing: Failing) -> None:
    real = subprocess.Popen.__init__

    def init(self: subprocess.Popen[Any], argv: Any, *args: Any, **keywords: Any) -> None:
        words = tuple(argv)
        if failing.reached("create", words):
            failing.strike()
        real(self, argv, *args, **keywords)
        if failing.hangs:
            os.kill(self.pid, signal.SIGSTOP)
        if failing.reached("fork", words):
            failing.strike()
            if failing.hangs:
                os.kill(self.pid, signal.SIGSTOP)
        if failing.reached("wait", words):
            threading.Thread(target=_struck, args=(failing, self.pid), daemon=True).start()

    subprocess.Popen.__init__ = init  # type: ignore[assignment,method-assign]


def _struck(failing: Failing, pid: int) -> None:
    time.sleep(_WAIT_SECONDS)
    failing.strike()
    if failing.hangs:
        os.kill(pid, signal.SIGSTOP)


def _failing_at(failing: Failing, point: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **keywords: Any) -> Any:
        if failing.reached(point):
            failing.strike()
        return call(*args, **keywords)

    return called


def _failing_after(failing: Failing, point: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **keywords: Any) -> Any:
        value = call(*args, **keywords)
        if failing.reached(point):
            failing.strike()
        return value

    return called


def main() -> None:
    fault, point, number, word, _, *arguments = sys.argv[1:]
    failing = Failing(fault, point, int(number), word)
    from runcommit_core.cli import main as runcommit
    from runcommit_core.disk.swaps import Swaps
    from runcommit_core.engine import process
    from runcommit_core.housekeeping.ledger import LedgerEntry

    _started_failingly(failing)
    if hasattr(process, "UNDO_SECONDS"):
        process.UNDO_SECONDS = _LIMIT_SECONDS
        process.BEGIN_SECONDS = _LIMIT_SECONDS
    process.taken_back = _failing_at(failing, "undo", process.taken_back)
    LedgerEntry.begin = _failing_after(failing, "note", LedgerEntry.begin)  # type: ignore[method-assign]
    Swaps.put = _failing_at(failing, "rename", Swaps.put)  # type: ignore[method-assign]
    sys.argv = ["runcommit", *arguments]
    try:
        runcommit()
    finally:
        if counts := os.environ.get("FAILING_COUNTS"):
            Path(counts).write_text(repr(failing.seen))


if __name__ == "__main__":
    main()
