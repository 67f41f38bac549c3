"""Job files: what ``run_commit`` takes, as one JSON object, for build systems.

The keys are those of :class:`runcommit_core.request.keywords.JobFileKeys` that JSON can say.
``docs/reference/job-file.md`` lists them.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, get_type_hints

from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci.jsondoc import parse_record
from runcommit_core.records import record
from runcommit_core.request.docker_flags import translated
from runcommit_core.request.jsonvalues import called, fits
from runcommit_core.request.keywords import ExtractKeywords, JobFileKeys

_ELSEWHERE = {"shell_on_failure"}
"""What needs a terminal."""

_SPLIT = ("engine_flags", "run_flags")
"""Lists whose items are split like a shell does, as on the command line."""


@record
class JobFile:
    """A job read from a file: arguments, and where log and diff_id go.

    ``extracts`` when they are for ``run_extract``.
    """

    arguments: dict[str, Any]
    extracts: bool
    log: Path | None
    diff_id: Path | None


def read_job(path: Path) -> JobFile:
    """The job that the file describes.

    Raises UsageError, naming file and key, for what is no JSON object, an unknown key, a value of
    the wrong type and a missing ``base``.
    """
    document = _parsed(path)
    known = keys()
    for key, value in document.items():
        if key not in known:
            raise UsageError(
                f"{path}: unknown key {key!r}", tip=f"the keys are {', '.join(sorted(known))}"
            )
        _check(f"{path}: {key}", value, known[key])
    if "base" not in document:
        raise UsageError(f"{path}: the key 'base' is missing")
    if "paths" not in document and (astray := ExtractKeywords.__annotations__.keys() & document):
        raise UsageError(f"{path}: the key {min(astray)!r} goes with 'paths', which is missing")
    log, diff_id = document.pop("log", None), document.pop("diff_id", None)
    for key in _SPLIT:
        if key in document:
            document[key] = _split(f"{path}: {key}", document[key])
    flags = _split(f"{path}: docker_run_flags", document.pop("docker_run_flags", ()))
    return JobFile(
        arguments=translated(flags, document) if flags else document,
        extracts="paths" in document,
        log=Path(log) if log else None,
        diff_id=Path(diff_id) if diff_id else None,
    )


def keys() -> dict[str, Any]:
    """The keys of a job file, each with its type."""
    said = {name: kind for name, kind in get_type_hints(JobFileKeys).items() if called(kind)}
    return {name: kind for name, kind in said.items() if name not in _ELSEWHERE}


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return parse_record(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"cannot read the job file {path}: {error.strerror}") from error
    except ArchiveError as error:
        raise UsageError(str(error)) from error


def _check(where: str, value: object, kind: Any) -> None:
    if not fits(value, kind):
        wanted = " or ".join(called(kind))
        raise UsageError(f"{where}: expected {wanted}, found {json.dumps(value)}")


def _split(where: str, items: list[str] | tuple[()]) -> list[str]:
    try:
        return [word for item in items for word in shlex.split(item)]
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
