"""Signals that ask us to end: noted at once, obeyed where nothing is lost by it.

A handler that raises wherever the program happens to be cuts clean-up in half, and comes between
what was made and its note.  Ours notes the signal, and raises only in blocks that are marked as
:func:`waiting`: for a process, for bytes, or at work that nobody has to take back.  Within a block
that is :func:`undisturbed` nothing is raised, whatever block it stands in; in one that is
:func:`cleaning` up the first signal is obeyed afterwards.

A second signal ends what is waited for, clean-up included; what is not taken back then stays in
the ledger.  A third ends the process where it is.

Between its last look at what the handler has to do and a call of the kernel that blocks, Python is
deaf; so a thread wakes the main thread a few times after each signal.

All of that concerns the main thread, where Python runs handlers, and only after :func:`install`;
for the callers of the library everything here does nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask us to end."""

_SAME_SECONDS = 0.25
"""Within this time signals have one cause: ``timeout`` sends one to us and one to our group."""

_SAYING_SECONDS = 1.0
_NUDGE = signal.SIGURG
"""What ends a call that blocks, and means nothing to anybody."""
_NUDGE_SECONDS = (0.001, 0.02, 0.05, 0.2)


class InterruptedBySignalError(BaseException):
    """A signal asked the program to end; unwinding cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class CutShortError(InterruptedBySignalError):
    """A second signal: what is waited for is given up, and left to ``runcommit prune``."""


@record
class Told:
    """What whoever sent a signal is told: once that it is heard, once that we hurry."""

    heard: Callable[[int], object]
    hurried: Callable[[], object]


class _Heard:
    """What the handler has noted, and in what block the main thread is."""

    def __init__(self) -> None:
        self.told: Told | None = None
        self.said = threading.Event()
        self.said_again = threading.Event()
        self.number = 0
        self.at = 0.0
        self.raised = False
        self.at_once = False
        self.hurried = False
        self.waiting = False
        self.in_grace = False
        self.cleaning = False

    @property
    def is_ending(self) -> bool:
        """Whether what happens is clean-up, which the first signal does not concern any more."""
        return self.raised or self.cleaning


_heard = _Heard()
_cleaning: ContextVar[bool] = ContextVar("cleaning", default=False)


def install(told: Told) -> None:
    """Let the signals end us in order; those that our caller has us ignore mean nothing to us.

    They are not left ignored, which whatever we start would inherit, a container's command too.
    """
    _heard.told = told
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(_NUDGE, lambda *_: None)
    threading.Thread(target=_watch, args=(reading, told), daemon=True).start()
    for number in ENDING:
        ignored = signal.getsignal(number) is signal.SIG_IGN
        signal.signal(number, (lambda *_: None) if ignored else _arrived)


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Let a signal end this block, also one that came before: nothing made in it may get lost."""
    if not _concerns_us():
        yield
        return
    before = _heard.waiting
    _heard.waiting = True
    try:
        _look()
        yield
        _look()
    finally:
        _heard.waiting = before


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal into this block; one that came is obeyed after it, or where somebody waits."""
    if not _concerns_us():
        yield
        return
    before = _heard.waiting
    _heard.waiting = False
    try:
        yield
    finally:
        _heard.waiting = before
    if _heard.waiting:
        _look()


@contextlib.contextmanager
def cleaning() -> Iterator[None]:
    """A block that takes things back: the first signal comes after it, a second ends its waits."""
    token = _cleaning.set(True)
    before = _heard.cleaning
    _heard.cleaning = before or _concerns_us()
    try:
        with undisturbed():
            yield
    finally:
        _heard.cleaning = before
        _cleaning.reset(token)


def is_cleaning() -> bool:
    """Whether the thread is in a block that takes things back."""
    return _cleaning.get()


def pause(seconds: float) -> None:
    """Sleep, unless a signal comes."""
    with waiting():
        time.sleep(seconds)


def granted(seconds: float, over: Callable[[], bool]) -> bool:
    """Wait until something is ``over``, for so long at most; a further signal ends the wait.

    Whether it is over.  For what ends because of the first signal.
    """
    end = time.monotonic() + seconds
    ours = _concerns_us()
    _heard.in_grace = ours
    try:
        while not (done := over()) and time.monotonic() < end and not (ours and _hurries()):
            time.sleep(0.01)
    finally:
        _heard.in_grace = False
    return done


def is_cut_short() -> bool:
    """Whether a second signal came, so that not all may have been taken back."""
    return _heard.at_once


def all_said() -> None:
    """Wait until whoever sent a signal was told that it came, if that is possible."""
    if _heard.number:
        _heard.said.wait(_SAYING_SECONDS)
    if _hurries():
        _heard.said_again.wait(_SAYING_SECONDS)


def check() -> None:
    """Obey a signal that came while nobody waited."""
    with waiting():
        pass


def _hurries() -> bool:
    return _heard.hurried or _heard.at_once


def _concerns_us() -> bool:
    return _heard.told is not None and threading.current_thread() is threading.main_thread()


def _arrived(number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if _heard.number and now - _heard.at < _SAME_SECONDS:
        return
    _heard.at = now
    if not _heard.number:
        _heard.number = number
    elif _heard.in_grace and not _heard.hurried:
        _heard.hurried = True
    elif not _heard.at_once:
        _heard.at_once = True
        if not _heard.is_ending:  # nobody has waited since the first: better here than never
            _heard.waiting = True
    else:
        os._exit(128 + number)
    if _heard.waiting:
        _look()


def _look() -> None:
    """Raise what the signals so far demand here."""
    if _heard.number and not _heard.is_ending:
        _heard.raised = True
        _heard.waiting = False
        raise InterruptedBySignalError(_heard.number)
    if _heard.at_once and _heard.is_ending:
        _heard.waiting = False
        raise CutShortError(_heard.number)


def _watch(reading: int, told: Told) -> None:
    """Wake the main thread for each signal, and say what came of it; for a thread of its own.

    The main thread may hold the locks of whoever says it.
    """
    while arrived := os.read(reading, 1):
        if arrived[0] != _NUDGE:
            for seconds in _NUDGE_SECONDS:
                time.sleep(seconds)
                _say(told)
                signal.pthread_kill(threading.main_thread().ident or 0, _NUDGE)


def _say(told: Told) -> None:
    if _heard.number and not _heard.said.is_set():
        told.heard(_heard.number)
        _heard.said.set()
    if _hurries() and not _heard.said_again.is_set():
        told.hurried()
        _heard.said_again.set()
