"""Job files: what ``run_commit`` takes, as one JSON object, for build systems.

The keys are those keyword arguments of :func:`runcommit_core.run_commit` that JSON can say, read
from its signature, those of :data:`EXTRACT_KEYS` and those of :data:`OWN_KEYS`.
``docs/reference/job-file.md`` lists them.
"""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core.errors import UsageError
from runcommit_core.records import record
from runcommit_core.request.docker_flags import translated

if TYPE_CHECKING:
    from collections.abc import Callable

OWN_KEYS = {"diff_id": "str", "docker_run_flags": "Sequence[str]", "log": "str"}
"""What a job file says beyond the arguments of the function, with their types."""

EXTRACT_KEYS = {
    "paths": "str | Sequence[str]",
    "tar": "str | os.PathLike[str] | None",
    "to": "str | os.PathLike[str] | None",
    "places": "Sequence[str | os.PathLike[str]]",
}
"""What ``run_extract`` takes besides; ``paths`` makes the job an extraction."""

_ELSEWHERE = {"shell_on_failure"}
"""What needs a terminal."""

_SPLIT = ("engine_flags", "run_flags")
"""Lists whose items are split like a shell does, as on the command line."""

_STRINGS = re.compile(
    r"(Sequence|Iterable|Collection|list)\[(str|str \| (?:os\.PathLike\[str\]|object))\]"
)
_TABLE = re.compile(r"(Mapping|dict)\[str, str\]")
_LITERAL = re.compile(r"Literal\[(.*)\]")
_PLAIN: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "a string"),
    "os.PathLike[str]": (str, "a string"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
}


@record
class JobFile:
    """A job read from a file: arguments, and where log and diff_id go.

    ``extracts`` when they are for ``run_extract``.
    """

    arguments: dict[str, Any]
    extracts: bool
    log: Path | None
    diff_id: Path | None


def read_job(path: Path, function: Callable[..., object]) -> JobFile:
    """The job that the file describes, for ``function``.

    Raises UsageError, naming file and key, for what is no JSON object, an unknown key, a value of
    the wrong type and a missing ``base``.
    """
    found = _parsed(path)
    known = keys(function)
    for key, value in found.items():
        if key not in known:
            raise UsageError(
                f"{path}: unknown key {key!r}", tip=f"the keys are {', '.join(sorted(known))}"
            )
        _check(f"{path}: {key}", value, known[key])
    if "base" not in found:
        raise UsageError(f"{path}: the key 'base' is missing")
    if "paths" not in found and (astray := EXTRACT_KEYS.keys() & found):
        raise UsageError(f"{path}: the key {min(astray)!r} goes with 'paths', which is missing")
    log, diff_id = found.pop("log", None), found.pop("diff_id", None)
    for key in _SPLIT:
        if key in found:
            found[key] = _split(f"{path}: {key}", found[key])
    flags = _split(f"{path}: docker_run_flags", found.pop("docker_run_flags", ()))
    return JobFile(
        arguments=translated(flags, found) if flags else found,
        extracts="paths" in found,
        log=Path(log) if log else None,
        diff_id=Path(diff_id) if diff_id else None,
    )


def keys(function: Callable[..., object]) -> dict[str, str]:
    """The keys of a job file for ``function``, each with the type its signature gives."""
    signature = inspect.signature(function)
    stated = {name: str(each.annotation) for name, each in signature.parameters.items()}
    said = {name: kind for name, kind in stated.items() if _wanted(kind)}
    return {name: said[name] for name in said if name not in _ELSEWHERE} | EXTRACT_KEYS | OWN_KEYS


def _parsed(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes(), object_pairs_hook=_without_duplicates)
    except OSError as error:
        raise UsageError(f"cannot read the job file {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: expected a JSON object")
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _check(where: str, value: object, kind: str) -> None:
    wanted = _wanted(kind)
    if not any(_fits(value, part) for part in _parts(kind)):
        raise UsageError(f"{where}: expected {' or '.join(wanted)}, found {json.dumps(value)}")


def _fits(value: object, part: str) -> bool:
    if part == "None":
        return value is None
    if part in _PLAIN:
        types = _PLAIN[part][0]
        return isinstance(value, types) and (part == "bool" or not isinstance(value, bool))
    if _STRINGS.fullmatch(part):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if _TABLE.fullmatch(part):
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    literal = _LITERAL.fullmatch(part)
    return literal is not None and isinstance(value, str) and value in _choices(literal[1])


def _wanted(kind: str) -> list[str]:
    """What to call the values of a type; nothing when JSON cannot say any of them."""
    return list(dict.fromkeys(filter(None, map(_called, _parts(kind)))))


def _called(part: str) -> str:
    if part in _PLAIN:
        return _PLAIN[part][1]
    if _STRINGS.fullmatch(part):
        return "a list of strings"
    if _TABLE.fullmatch(part):
        return "an object of strings"
    literal = _LITERAL.fullmatch(part)
    return " or ".join(map(json.dumps, _choices(literal[1]))) if literal else ""


def _choices(text: str) -> list[str]:
    return [item.strip(" \"'") for item in text.split(",")]


def _parts(kind: str) -> list[str]:
    """The members of a union, those in brackets left alone."""
    return re.findall(r"(?:[^|\[\]\s]|\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\])+", kind)


def _split(where: str, items: list[str] | tuple[()]) -> list[str]:
    try:
        return [word for item in items for word in shlex.split(item)]
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
