"""What a check found, and the checks that every engine has in common."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runcommit_core.records import record

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

Status = Literal["ok", "info", "warning", "problem"]

_FREE_AT_LEAST = 1 << 30


@record
class Finding:
    """What one check found, in words, and the cure, in one line, where something is wrong.

    ``check`` is a short name that stays the same: tools look for it.  A ``problem`` keeps jobs
    from running, a ``warning`` makes them slower or may stop some, an ``info`` is good to know.
    """

    status: Status
    check: str
    found: str
    cure: str = ""


def version_finding(name: str, version: str, minimum: Sequence[int]) -> Finding:
    """Compare an engine's version with the oldest one that is known to work."""
    oldest = ".".join(map(str, minimum))
    numbers = [int(number) for number in re.findall(r"\d+", version)[: len(minimum)]]
    if not numbers:
        return Finding("warning", "version", f"{name} tells no version")
    if numbers < list(minimum):
        return Finding(
            "problem", "version", f"{name} {version} is older than {oldest}",
            f"install {name} {oldest} or newer",
        )  # fmt: skip
    return Finding("ok", "version", f"{name} {version}")


def space_finding(check: str, folder: str | os.PathLike[str]) -> Finding:
    """Look at the free space of the file system that ``folder`` is on, or would be made on."""
    path = Path(folder)
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Finding("info", check, f"{folder}: {error.strerror}")
    found = f"{folder}: {free / (1 << 30):.1f} GiB free"
    if free < _FREE_AT_LEAST:
        return Finding("warning", check, found, "free some space, or move it to another disk")
    return Finding("ok", check, found)
