"""Values of secrets: read when the job begins, written where only the job finds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.surroundings.caches import give

if TYPE_CHECKING:
    from runcommit_core.surroundings.specs import Wanted


def secret_value(wanted: Wanted) -> tuple[bytes, str]:
    """The value, and the variable that it came from, empty for a file.

    Raises UsageError, never with the value, when there is no such variable or file.
    """
    variable, source = wanted.variable, wanted.source
    if not variable and not source:
        # as docker: the variable of that name, else the file
        variable, source = (wanted.name, "") if wanted.name in os.environ else ("", wanted.name)
    if variable:
        if variable not in os.environ:
            raise UsageError(f"secret {wanted.name}: the variable {variable} is not set")
        return os.environb[os.fsencode(variable)], variable
    try:
        return Path(source).read_bytes(), ""
    except OSError as error:
        raise UsageError(
            f"secret {wanted.name}: cannot read {source}: {error.strerror}",
            tip="say src=FILE or env=VARIABLE",
        ) from error


def write_secret(wanted: Wanted, value: bytes, path: Path, *, for_root: bool) -> None:
    """Write a file that the run's user can read; its folder keeps everybody else out.

    Without a mode or an owner of its own a secret is root's alone where the run is root's, else
    readable for all in the container.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(value)
    give(path, wanted)
    own = for_root or wanted.uid is not None or wanted.gid is not None
    path.chmod((0o400 if own else 0o444) if wanted.mode is None else wanted.mode)
