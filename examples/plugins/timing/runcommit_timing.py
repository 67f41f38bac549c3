"""How long each step of a job took, as an OpenTelemetry trace in OTLP/JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import CommandError, RuncommitError, hookimpl

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from runcommit_core import Container, Image, Job, Layers, SavedImage

VARIABLE = "RUNCOMMIT_TRACE"

runcommit_observer = True
"""No step's value is changed, and a result from the cache may do without the steps."""

log = logging.getLogger("runcommit.timing")

_INTERNAL, _OK, _ERROR = 1, 1, 2


@dataclass
class _Trace:
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    root: str = field(default_factory=lambda: secrets.token_hex(8))
    started: int = field(default_factory=time.time_ns)
    backend: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)


_traces: dict[str, _Trace] = {}
"""By the id of a job; jobs may run side by side."""


@hookimpl(wrapper=True, tryfirst=True)
def resolve(job: Job) -> Generator[None, Image, Image]:
    """Time it."""
    with _step(job, "resolve"):
        return (yield)


@hookimpl(wrapper=True, tryfirst=True)
def load(job: Job) -> Generator[None, Image, Image]:
    """Time it."""
    with _step(job, "load"):
        return (yield)


@hookimpl(wrapper=True, tryfirst=True)
def run(job: Job) -> Generator[None, Container, Container]:
    """Time it."""
    with _step(job, "run"):
        return (yield)


@hookimpl(wrapper=True, tryfirst=True)
def commit(job: Job) -> Generator[None, Image, Image]:
    """Time it."""
    with _step(job, "commit"):
        return (yield)


@hookimpl(wrapper=True, tryfirst=True)
def save(job: Job) -> Generator[None, SavedImage, SavedImage]:
    """Time it."""
    with _step(job, "save"):
        return (yield)


@hookimpl(wrapper=True, tryfirst=True)
def extract(job: Job) -> Generator[None, Layers, Layers]:
    """Time it."""
    with _step(job, "extract"):
        return (yield)


@hookimpl(wrapper=True, tryfirst=True)
def check(job: Job) -> Generator[None, list[object], list[object]]:
    """Time it."""
    with _step(job, "check"):
        return (yield)


@contextlib.contextmanager
def _step(job: Job, name: str) -> Iterator[None]:
    if VARIABLE not in os.environ:
        yield
        return
    trace = _trace_of(job)
    trace.backend = job.backend
    started = time.time_ns()
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        facts: dict[str, str | int] = {"runcommit.step": name, "runcommit.backend": job.backend}
        if name == "run" and (error is None or isinstance(error, CommandError)):
            facts["process.exit.code"] = error.command_exit_code if error else 0
        span = _span(trace, name, started, error, facts)
        trace.spans.append({**span, "spanId": secrets.token_hex(8), "parentSpanId": trace.root})


def _trace_of(job: Job) -> _Trace:
    # with --split each command is a job of its own, called like the whole one and a number
    key = job.id.partition("-")[0]
    if key not in _traces:
        _traces[key] = _Trace()
        job.cleanup.push(lambda _type, error, _traceback: _finish(job, _traces.pop(key), error))
    return _traces[key]


def _finish(job: Job, trace: _Trace, error: BaseException | None) -> None:
    facts: dict[str, str | int] = {
        "runcommit.job": job.id,
        "runcommit.base": job.base.config_digest,
        "runcommit.backend": trace.backend,
        "runcommit.exit_code": _exit_code(error),
    }
    root = {**_span(trace, "job", trace.started, error, facts), "spanId": trace.root}
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": "runcommit"})},
                "scopeSpans": [
                    {"scope": {"name": "runcommit-timing"}, "spans": [root, *trace.spans]}
                ],
            }
        ]
    }
    place = Path(os.environ[VARIABLE])
    try:
        with place.open("a", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")
    except OSError as problem:  # who only observes does not fail the job
        log.warning("cannot write the trace: %s", problem)


def _span(
    trace: _Trace,
    name: str,
    started: int,
    error: BaseException | None,
    facts: dict[str, str | int],
) -> dict[str, Any]:
    return {
        "traceId": trace.id,
        "name": f"runcommit {name}",
        "kind": _INTERNAL,
        "startTimeUnixNano": str(started),
        "endTimeUnixNano": str(time.time_ns()),
        "attributes": _attributes(facts),
        "status": {"code": _ERROR, "message": str(error)} if error else {"code": _OK},
    }


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    return error.exit_code if isinstance(error, RuncommitError) else 1


def _attributes(facts: dict[str, str | int]) -> list[dict[str, Any]]:
    return [
        # OTLP/JSON writes 64-bit numbers as text
        {"key": key, "value": {"intValue": str(value)}}
        if isinstance(value, int)
        else {"key": key, "value": {"stringValue": value}}
        for key, value in facts.items()
    ]
