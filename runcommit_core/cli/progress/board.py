"""What the live display says: a line for the job, one for each step, the command's last words."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runcommit_core.cli.progress.output import LastOutput
from runcommit_core.interface.progress import (
    CacheLookup,
    CommandsStarted,
    CommandStarted,
    JobFinished,
    JobStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    Transferred,
)
from runcommit_core.layer.wording import size_text
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from runcommit_core.interface.progress import Direction, Event

WINDOW = 8
"""How many lines of the command's output are shown while it runs."""

_COMMAND_STEP = "run"
_LEAST_ROWS = 2
_MINUTE = 60

Line = list[tuple[str, str]]
"""Pieces of text, each with its style: ``bold``, ``dim``, ``green``, ``red`` or none."""


@record
class Marks:
    """The characters that a terminal may not have."""

    done: str = "✓"
    busy: str = "•"
    failed: str = "✗"
    bar: str = "│"
    dot: str = "·"


ASCII = Marks(done="+", busy="*", failed="x", bar="|", dot="-")


@dataclass(slots=True)
class _Transfers:
    """All that travels in one direction during a step."""

    since: float
    counts: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    latest: float = 0.0

    def text(self, direction: Direction) -> str:
        count = sum(count for count, _ in self.counts.values())
        totals = [total for _, total in self.counts.values()]
        whole = sum(total for total in totals if total)
        of = f" of {size_text(whole)}" if None not in totals and count < whole else ""
        took = self.latest - self.since
        rate = f" ({size_text(int(count / took))}/s)" if took > 1 else ""
        where = "written" if direction == "layer" else direction
        return f"{size_text(count)}{of} {where}{rate}"


@dataclass(slots=True)
class _Row:
    name: str
    started: float
    seconds: float | None = None
    failed: bool = False
    about: str = ""
    command: str = ""
    since: float = 0.0
    transfers: dict[Direction, _Transfers] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        return self.seconds is None


class Board:
    """The state of a job as its events tell it."""

    def __init__(self, marks: Marks, clock: Callable[[], float] = time.monotonic) -> None:
        self._marks = marks
        self._clock = clock
        self._started = clock()
        self._ended: float | None = None
        self._title: list[str] = []
        self._rows: list[_Row] = []
        self._commands: tuple[str, ...] = ()
        self.output = LastOutput()

    def apply(self, event: Event) -> None:
        now = self._clock()
        match event:
            case JobStarted():
                self._title = [event.backend, event.base]
            case CommandsStarted():
                self._commands = event.commands
            case CommandStarted():
                self._begin(event.number, now)
            case StepStarted():
                about = _about(self._commands) if event.step == _COMMAND_STEP else ""
                self._rows.append(_Row(event.step, now, about=about))
            case StepFinished() | StepFailed():
                if self._rows:
                    self._rows[-1].seconds = event.seconds
                    self._rows[-1].failed = isinstance(event, StepFailed)
            case Transferred():
                self._transferred(event, now)
            case CacheLookup(hit=True):
                self._rows.append(_Row("cache", now, seconds=0.0, about="has the result"))
            case JobFinished():
                self._ended = now

    def lines(self, height: int) -> list[Line]:
        """All of it in at most ``height`` lines, of any length."""
        rows = [self._row(row) for row in self._rows]
        window = _last(self._window(), height - 1 - min(len(rows), _LEAST_ROWS))
        room = height - 1 - len(window)
        if len(rows) > room:
            hidden = len(rows) - room + 1
            rows = [[(f"   {hidden} earlier steps", "dim")], *_last(rows, room - 1)]
        return [self._head(), *rows, *window][:height]

    def _transferred(self, event: Transferred, now: float) -> None:
        if not self._rows:
            return
        transfers = self._rows[-1].transfers.setdefault(event.direction, _Transfers(now))
        transfers.counts[event.name] = (event.count, event.total)
        transfers.latest = now

    def _begin(self, number: int, now: float) -> None:
        if self._rows and number <= len(self._commands):
            first = _about(self._commands[number - 1 : number])
            self._rows[-1].command = f"{number} of {len(self._commands)}: {first}"
            self._rows[-1].since = now

    def _head(self) -> Line:
        end = self._ended if self._ended is not None else self._clock()
        dot = f" {self._marks.dot} "
        return [(dot.join([*self._title, _elapsed(end - self._started)]), "bold")]

    def _row(self, row: _Row) -> Line:
        mark, style = (self._marks.done, "green")
        if row.failed:
            mark, style = (self._marks.failed, "red")
        elif row.busy:
            mark, style = (self._marks.busy, "")
        seconds = self._clock() - row.started if row.seconds is None else row.seconds
        words = [transfers.text(direction) for direction, transfers in row.transfers.items()]
        about = ", ".join(filter(None, [self._about(row), *words]))
        return [
            (f" {mark} ", style),
            (f"{row.name:<8}", ""),
            (f"{_elapsed(seconds):>8}", "" if row.busy else "dim"),
            (f"   {about}", "dim"),
        ]

    def _about(self, row: _Row) -> str:
        """What the step does: of several commands the one that runs, with its time, or failed."""
        if row.command and row.busy:
            return f"{row.command} ({_elapsed(self._clock() - row.since)})"
        return row.command if row.command and row.failed else row.about

    def _window(self) -> list[Line]:
        if not self._rows or self._rows[-1].name != _COMMAND_STEP or not self._rows[-1].busy:
            return []
        return [[(f"   {self._marks.bar} {line}", "dim")] for line in self.output.lines(WINDOW)]


def _last(lines: list[Line], count: int) -> list[Line]:
    return lines[-count:] if count > 0 else []


def _about(commands: tuple[str, ...]) -> str:
    if not commands:
        return ""
    first = (commands[0].strip().splitlines() or [""])[0]
    return first if len(commands) == 1 else f"{len(commands)} commands: {first} …"


def _elapsed(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), _MINUTE)
    return f"{minutes} m {rest:02} s"
