"""Events for tools: one JSON object a line, as docs/reference/progress.schema.json has them."""

from __future__ import annotations

import codecs
import dataclasses
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from runcommit_core.cli.progress.reporter import Reporter
from runcommit_core.engine.interruption import InterruptedBySignalError
from runcommit_core.errors import CommandError, RuncommitError
from runcommit_core.interface.console import to_stderr
from runcommit_core.interface.progress import (
    CacheLookup,
    CommandsStarted,
    CommandStarted,
    JobFinished,
    JobStarted,
    ShellOpened,
    StepFailed,
    StepFinished,
    StepStarted,
    Transferred,
)

if TYPE_CHECKING:
    from runcommit_core.interface.progress import Event

SCHEMA_VERSION = 1

_NAMES = {
    JobStarted: "job_started",
    StepStarted: "step_started",
    CommandsStarted: "commands_started",
    CommandStarted: "command_started",
    StepFinished: "step_finished",
    StepFailed: "step_failed",
    Transferred: "transfer",
    CacheLookup: "cache_lookup",
    ShellOpened: "shell_opened",
    JobFinished: "job_finished",
}


class JsonLines(Reporter):
    """Writes each event as a line; the command's output as text, in the pieces that came."""

    def __init__(self) -> None:
        super().__init__()
        self.handler = _Records(self)
        self._started = time.monotonic()
        self._lock = threading.Lock()
        # a character may come in two pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def progress(self, event: Event) -> None:
        self.write(**_fields(event))

    def console(self, chunk: bytes) -> None:
        if text := self._decoder.decode(chunk):
            self.write(event="output", text=text)

    def close(self, error: BaseException | None) -> None:
        if text := self._decoder.decode(b"", final=True):
            self.write(event="output", text=text)
        if error is not None and self.tells(error):
            self.write(event="job_failed", **_failure(error))

    def tells(self, error: BaseException) -> bool:
        return isinstance(
            error, RuncommitError | click.ClickException | InterruptedBySignalError | OSError
        )

    def write(self, *, event: str, **fields: Any) -> None:
        seconds = round(time.monotonic() - self._started, 3)
        line = json.dumps({"event": event, "time": seconds, **fields}) + "\n"
        with self._lock:
            to_stderr(line.encode())


class _Records(logging.Handler):
    """Log records as events."""

    def __init__(self, lines: JsonLines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.write(event="log", level=record.levelname.lower(), message=record.getMessage())


def _fields(event: Event) -> dict[str, Any]:
    match event:
        case JobFinished():
            layers = event.result.layers
            fields: dict[str, Any] = {
                "layers": [{"diff_id": layer.diff_id, "size": layer.size} for layer in layers]
            }
        case Transferred():
            fields = {
                "direction": event.direction,
                "name": event.name,
                "bytes": event.count,
                "total": event.total,
            }
        case StepFinished() | StepFailed():
            fields = {"step": event.step, "seconds": round(event.seconds, 4)}
        case _:
            fields = dataclasses.asdict(event)
    if isinstance(event, JobStarted):
        fields["schema_version"] = SCHEMA_VERSION
    return {"event": _NAMES[type(event)], **fields}


def _failure(error: BaseException) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": type(error).__name__, "message": str(error), "exit_code": 1}
    match error:
        case RuncommitError():
            fields |= {"exit_code": error.exit_code, "tip": error.tip}
        case click.ClickException():
            fields |= {"exit_code": error.exit_code, "message": error.format_message()}
        case InterruptedBySignalError():
            fields |= {"exit_code": 128 + error.number, "message": "interrupted"}
    if isinstance(error, CommandError):
        fields["command_exit_code"] = error.command_exit_code
    return fields
