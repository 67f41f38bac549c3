"""One calm display on the terminal, which shrinks to a summary when the job ends."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from runcommit_core.cli.progress.board import ASCII, Board, Marks
from runcommit_core.cli.progress.plain import FAILURE_LINES
from runcommit_core.cli.progress.reporter import Reporter
from runcommit_core.interface.console import to_stderr
from runcommit_core.interface.progress import JobFinished, ShellOpened, StepFailed

if TYPE_CHECKING:
    from runcommit_core.cli.progress.region import Region
    from runcommit_core.interface.progress import Event

_FRAME_SECONDS = 0.1
_DEFAULT_SIZE = os.terminal_size((80, 24))


class Live(Reporter):
    """Paints a :class:`Board` ten times a second, from a thread of its own.

    That thread also imports what painting needs, while the engine is at work.  The display ends
    with the job, or with the first step that fails, so that whatever follows has the terminal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.handler = logging.StreamHandler(_Above(self))
        self._board = Board(Marks() if _knows_unicode() else ASCII)
        self._lock = threading.RLock()
        self._region: Region | None = None
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint, daemon=True)

    def progress(self, event: Event) -> None:
        with self._lock:
            self._board.apply(event)
        if self._over.is_set():
            return
        if self._painter.ident is None:
            self._painter.start()
        if isinstance(event, StepFailed | ShellOpened):
            self._end(failed=True)
        elif isinstance(event, JobFinished):
            self._end(failed=False)

    def console(self, chunk: bytes) -> None:
        if self._over.is_set():
            to_stderr(chunk)
            return
        with self._lock:
            self._board.output.feed(chunk)

    def close(self, error: BaseException | None) -> None:
        if not self._over.is_set() and self._painter.ident is not None:
            self._end(failed=error is not None)

    def above(self, text: str) -> None:
        """Write text that stays, above the display."""
        with self._lock:
            if self._region and not self._over.is_set():
                self._region.clear()
            _write(text)

    def _paint(self) -> None:
        from runcommit_core.cli.progress.region import Region

        region = Region(_write, _size)
        while not self._over.is_set():
            with self._lock:
                self._region = region
                if not self._over.is_set():
                    region.paint(self._board.lines(_size().lines - 1))
            self._over.wait(_FRAME_SECONDS)

    def _end(self, *, failed: bool) -> None:
        self._over.set()
        self._painter.join()
        with self._lock:
            if self._region is None:
                return
            self._region.paint(self._board.lines(_size().lines - 1))
            self._region.leave()
            if failed:
                for line in self._board.output.lines(FAILURE_LINES):
                    _write(f"   {line}\n")


class _Above:
    """A stream for log records, which appear above the display."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def write(self, text: str) -> None:
        self._live.above(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        to_stderr(text.encode(sys.stderr.encoding, errors="replace"))


def _size() -> os.terminal_size:
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        return _DEFAULT_SIZE
    return size if all(size) else _DEFAULT_SIZE


def _knows_unicode() -> bool:
    return sys.stderr.encoding.lower().replace("-", "").startswith("utf")
