"""What a job tells about its progress while it runs: a stream of typed events.

``run_commit(progress=…)`` takes a callable, which is given each event as it happens, now and then
from another thread than the caller's, one event at a time.  It must not raise and should not block.
What the command says is no event: it goes to ``console``.  Times in seconds, sizes in bytes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Literal, Self, cast

from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runcommit_core.interface.values import Result

Direction = Literal["from registry", "to registry", "to engine", "from engine", "layer"]
"""Where bytes travel: an image between us and its registry or the engine, the layer to its file."""

_INTERVAL = 0.1
"""Seconds between two events of one transfer."""


@record
class JobStarted:
    """The job's options make sense and its backend is chosen."""

    backend: str
    base: str


@record
class StepStarted:
    """A step begins: ``load``, ``run``, ``commit``, ``save``, ``extract`` or what wraps them."""

    step: str


@record
class CommandsStarted:
    """The ``run`` step is about to execute these commands, one after the other."""

    commands: tuple[str, ...]


@record
class CommandStarted:
    """Of several commands in one shell the one with this ``number`` begins; the first is 1."""

    number: int


@record
class StepFinished:
    """The step did what it should."""

    step: str
    seconds: float


@record
class StepFailed:
    """The step raised, which ends the job; nothing but clean-up follows."""

    step: str
    seconds: float


@record
class Transferred:
    """``count`` bytes of the blob or archive ``name`` have travelled, of ``total`` if known."""

    direction: Direction
    name: str
    count: int
    total: int | None


@record
class CacheLookup:
    """The cache of results was asked for this job's ``key``; with a ``hit`` no step runs."""

    key: str
    hit: bool


@record
class ShellOpened:
    """The user has the terminal, for a shell in the container of the job that failed."""


@record
class JobFinished:
    """The outputs are in their places."""

    result: Result


Event = (
    JobStarted
    | StepStarted
    | CommandsStarted
    | CommandStarted
    | StepFinished
    | StepFailed
    | Transferred
    | CacheLookup
    | ShellOpened
    | JobFinished
)
Progress = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """The default: nobody wants to know."""


class Meter:
    """Counts the bytes of one transfer and tells of them, at most ten times a second.

    A context manager, whose end tells the last count.
    """

    def __init__(
        self, progress: Progress, direction: Direction, name: str, total: int | None = None
    ) -> None:
        self._progress = progress
        self._direction: Direction = direction
        self._name = name
        self._total = total
        self._count = 0
        self._due = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tell()

    def add(self, count: int) -> None:
        self._count += count
        if (now := time.monotonic()) >= self._due:
            self._due = now + _INTERVAL
            self._tell()

    def _tell(self) -> None:
        self._progress(Transferred(self._direction, self._name, self._count, self._total))


def metered(chunks: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """The same chunks, counted."""
    with meter:
        for chunk in chunks:
            meter.add(len(chunk))
            yield chunk


class Metered:
    """A stream whose bytes are counted as they are read or written; all else is its own."""

    def __init__(self, stream: BinaryIO, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._meter.add(len(data))
        return data

    def write(self, data: bytes, /) -> int:
        self._meter.add(len(data))
        return self._stream.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextlib.contextmanager
def metered_stream(
    stream: BinaryIO, progress: Progress, direction: Direction, name: str
) -> Iterator[BinaryIO]:
    """The stream, counted while the block lasts; the very same one where nobody wants to know."""
    if progress is ignore:
        yield stream
        return
    with Meter(progress, direction, name) as meter:
        yield cast("BinaryIO", Metered(stream, meter))


def one_at_a_time(progress: Progress) -> Progress:
    """The same, never called by two threads at once."""
    if progress is ignore:
        return ignore
    lock = threading.Lock()

    def locked(event: Event) -> None:
        with lock:
            progress(event)

    return locked
