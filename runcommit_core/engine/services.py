"""An engine that is a service: started for a job, and asked to run commands by requests."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from runcommit_core.engine import process
from runcommit_core.engine.interruption import (
    InterruptedBySignalError,
    granted,
    pause,
    undisturbed,
)
from runcommit_core.errors import CommandTimeoutError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runcommit_core.interface.job import Job

T = TypeVar("T")

_shared: WeakKeyDictionary[contextlib.ExitStack, object] = WeakKeyDictionary()
_LONGEST_SOCKET = 100
"""Of a socket's path; the kernel takes 107 bytes."""


class Tail:
    """Takes what a command says to the user's console, and keeps the end of it as text."""

    def __init__(self, console: Callable[[bytes], None]) -> None:
        self._console = console
        self._end = bytearray()

    def __call__(self, chunk: bytes) -> None:
        self._console(chunk)
        self._end += chunk
        del self._end[: -process.TAIL_BYTES]

    def __str__(self) -> str:
        return self._end.decode(errors="replace")


@contextlib.contextmanager
def killed_after(seconds: float | None, kill: Callable[[], object], tail: Tail) -> Iterator[None]:
    """Kill what runs in the block when its time is over; CommandTimeoutError then.

    ``kill`` is called beside the block, which must end by it; its EngineError counts for nothing.
    """
    over = threading.Event()

    def end() -> None:
        over.set()
        with contextlib.suppress(EngineError):
            kill()

    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if over.is_set():
        raise CommandTimeoutError(f"the command did not end within {seconds:g} s", output=str(tail))


@contextlib.contextmanager
def asked_to_end(
    seconds: float, ask: Callable[[], object], is_over: Callable[[], bool]
) -> Iterator[None]:
    """Where we are interrupted in this block, ask what runs to end, and give it so many seconds.

    An EngineError of either call counts for nothing.
    """
    try:
        yield
    except InterruptedBySignalError:
        with contextlib.suppress(EngineError):
            ask()
            granted(seconds, is_over)
        raise


def curl_words(
    url: str, method: str, path: str, params: Mapping[str, Any], data: object, *, host: str
) -> tuple[str, ...]:
    """The call of curl that would make a request: to be shown, and to be rehearsed.

    ``url`` is of a host, or of a socket (``unix://``), where ``host`` stands for one; ``data`` is
    a text, or a stream (anything else but None).
    """
    scheme, _, place = url.partition("://")
    near = scheme.endswith("unix")
    where = ("--unix-socket", place) if near else ()
    query = f"?{urlencode(params, doseq=True)}" if params else ""
    stream: tuple[str, ...] = ("--upload-file", "-") if data is not None else ()
    body = ("--json", data) if isinstance(data, str) else stream
    verb = () if method == "get" else ("-X", method.upper())
    return ("curl", *where, *verb, *body, f"http://{host if near else place}{path}{query}")


def shared(job: Job, make: Callable[[], T]) -> T:
    """What is made once for all jobs that are cleaned up together, and goes with them."""
    stack = job.cleanup
    if stack not in _shared:
        with undisturbed():
            _shared[stack] = make()
            stack.callback(_shared.pop, stack, None)
    return cast("T", _shared[stack])


@contextlib.contextmanager
def socket_path(folder: Path, name: str) -> Iterator[Path]:
    """A path that the kernel takes for a socket; its name is the given one."""
    path = folder / f"{name}.sock"
    if len(str(path)) <= _LONGEST_SOCKET:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="runcommit-", dir="/tmp") as short:
        yield Path(short) / path.name


@contextlib.contextmanager
def serving(*argv: str, path: Path, log: Path, patience: float) -> Iterator[None]:
    """Run a command beside the block, which begins when something listens at ``path``.

    ``log`` is the file for what it says.  In a rehearsal it is only told.  Raises EngineError when
    it ends before, or takes longer than ``patience`` seconds.
    """
    if process.is_rehearsed():
        process.attempt(*argv)
        yield
        return
    with process.started(*argv, log=log) as running:
        _await(path, running, argv, log, patience)
        yield


def _await(
    path: Path, running: process.Running, argv: Sequence[str], log: Path, patience: float
) -> None:
    end = time.monotonic() + patience
    while not _listens(path):
        if (code := running.poll()) is not None:
            raise process.failure(argv, code, log.read_text(errors="replace")[-2000:])
        if time.monotonic() > end:
            raise EngineError(f"nothing listens at {path} after {patience:g} s", argv=argv)
        pause(0.005)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
