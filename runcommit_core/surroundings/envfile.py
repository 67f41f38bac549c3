"""Files of variables in docker's syntax: ``KEY=VALUE`` per line, taken as it stands.

Source: docker's documentation of ``docker run --env-file``.  No quotes, no escapes, no expansion.
"""

from __future__ import annotations

import os
from pathlib import Path

from runcommit_core.errors import UsageError

_BLANKS = " \t"


def read_env_file(path: str | os.PathLike[str]) -> dict[str, str]:
    """The variables of a file; a ``KEY`` alone is passed through where it is set here.

    Raises UsageError, naming file and line.
    """
    try:
        lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise UsageError(f"cannot read the env file {path}: {error.strerror}") from error
    variables: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        variables |= _variable(line.removesuffix(b"\r"), f"{os.fspath(path)}:{number}")
    return variables


def _variable(raw: bytes, where: str) -> dict[str, str]:
    try:
        line = raw.decode().lstrip(_BLANKS)
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: no UTF-8") from error
    if not line or line.startswith("#"):
        return {}
    key, separator, value = line.partition("=")
    if not key:
        raise UsageError(f"{where}: no variable name before '='")
    if any(character.isspace() for character in key):
        raise UsageError(
            f"{where}: the name of a variable holds white space",
            tip="write KEY=VALUE on one line, without export and without blanks around =",
        )
    if "\0" in value:
        raise UsageError(f"{where}: a NUL character, which no variable can hold")
    if separator:
        return {key: value}
    return {key: os.environ[key]} if key in os.environ else {}
