"""A private folder in memory, for what must not reach a disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_IN_MEMORY = frozenset(("tmpfs", "ramfs"))


def folder_in_memory(folder: Path) -> Path:
    """A new folder, mode 0700, in XDG_RUNTIME_DIR or /dev/shm where one is memory.

    Else ``folder``, the job's own, whose name the new one bears as well.
    """
    for candidate in _candidates(os.environ):
        if is_in_memory(candidate):
            try:
                return Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=candidate))
            except OSError:
                continue
    return folder


def folders_in_memory(folder: Path, environment: Mapping[str, str]) -> list[Path]:
    """What :func:`folder_in_memory` made for the job with that folder, as far as it is there."""
    places = map(Path, _candidates(environment))
    return [path for place in places for path in sorted(place.glob(f"{folder.name}-*"))]


def _candidates(environment: Mapping[str, str]) -> list[str]:
    return [place for place in (environment.get("XDG_RUNTIME_DIR"), "/dev/shm") if place]  # noqa: S108


def is_in_memory(path: str) -> bool:
    """Whether a folder lies on a file system that has no disk, as far as the kernel tells."""
    try:
        real = os.path.realpath(path, strict=True)
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        below = point in ("/", real) or real.startswith(f"{point}/")
        if below and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind in _IN_MEMORY
