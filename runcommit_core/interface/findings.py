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

    from runcommit_core.interface.place import Place

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
    free_space = f"{folder}: {free / (1 << 30):.1f} GiB free"
    if free < _FREE_AT_LEAST:
        return Finding("warning", check, free_space, "free some space, or move it to another disk")
    return Finding("ok", check, free_space)


def overlay_finding(
    driver: str, *, native: bool, options: object, rootless: bool, then: str
) -> Finding:
    """What a store is worth to us that storage.conf describes: changes must be overlay's own.

    ``native`` is whether they are, ``options`` the store's; ``then`` is what to do after a change.
    """
    if native:
        return Finding("ok", "storage", f"{driver}, the kernel's own")
    with_what = " with fuse-overlayfs" if "mount_program" in str(options) else ""
    where = "~/.config/containers/storage.conf" if rootless else "/etc/containers/storage.conf"
    return Finding(
        "warning", "storage", f"{driver}{with_what}: no overlay of the kernel's own, so each job"
        " reads the container's whole root",
        f'driver = "overlay", no mount_program, in {where}; then {then}',
    )  # fmt: skip


def place_finding(check: str, place: Place) -> Finding:
    """Tell where an engine is, and what it means for a job that it is elsewhere."""
    if place.here:
        return Finding("info", check, place.address)
    way = "ssh takes the registry there" if place.ssh else "images go as archives"
    return Finding("info", check, f"{place.address}, another machine's: {way}; no mounts")
