"""Lines for logs: the command's output as it is, and what happens between."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from runcommit_core.cli.progress.output import LastOutput
from runcommit_core.cli.progress.reporter import Reporter
from runcommit_core.interface.console import to_stderr
from runcommit_core.interface.progress import (
    CacheLookup,
    CommandsStarted,
    CommandStarted,
    JobFinished,
    JobStarted,
    StepFailed,
    StepFinished,
    StepStarted,
)

if TYPE_CHECKING:
    from runcommit_core.interface.progress import Event

FAILURE_LINES = 20
"""How many lines of a failed command's output are shown where its output is not."""


class AsItIs(Reporter):
    """The command's output, and nothing else."""

    shows_steps = False

    def progress(self, event: Event) -> None:
        """Say nothing."""

    def console(self, chunk: bytes) -> None:
        to_stderr(chunk)


class Plain(Reporter):
    """The command's output, and a line for each step that begins or ends."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()
        self._in_line = False
        self._commands: tuple[str, ...] = ()

    def console(self, chunk: bytes) -> None:
        to_stderr(chunk)
        self._in_line = not chunk.endswith(b"\n")

    def progress(self, event: Event) -> None:
        match event:
            case JobStarted():
                self._say(f"{event.backend}, {event.base}")
            case StepStarted():
                self._say(f"{event.step} …")
            case CommandsStarted():
                self._commands = event.commands
                if len(event.commands) == 1:
                    self._say(f"  $ {_first_line(event.commands[0])}")
            case CommandStarted(number) if number <= len(self._commands):
                command = _first_line(self._commands[number - 1])
                self._say(f"  $ {command} ({number} of {len(self._commands)})")
            case StepFinished():
                self._say(f"{event.step} done in {event.seconds:.2f} s")
            case StepFailed():
                self._say(f"{event.step} failed after {event.seconds:.2f} s")
            case CacheLookup(hit=True):
                self._say("the cache has the result")
            case JobFinished():
                self._say(f"done in {time.monotonic() - self._started:.2f} s")

    def _say(self, line: str) -> None:
        before = "\n" if self._in_line else ""
        to_stderr(f"{before}runcommit: {line}\n".encode(errors="replace"))
        self._in_line = False


def _first_line(command: str) -> str:
    first, *more = command.splitlines() or [""]
    return f"{first}{' …' if more else ''}"


class Silent(Reporter):
    """Nothing; when the job fails, the last lines of what the command said."""

    shows_steps = False

    def __init__(self) -> None:
        super().__init__()
        self._output = LastOutput()

    def progress(self, event: Event) -> None:
        """Say nothing."""

    def console(self, chunk: bytes) -> None:
        self._output.feed(chunk)

    def close(self, error: BaseException | None) -> None:
        if error is not None:
            for line in self._output.lines(FAILURE_LINES):
                sys.stderr.write(line + "\n")
            sys.stderr.flush()
