"""A private folder in memory, for what must not reach a disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_IN_MEMORY = frozenset(("tmpfs", "ramfs"))


def folder_in_memory(otherwise: Path) -> Path:
    """A new folder, mode 0700, in XDG_RUNTIME_DIR or /dev/shm where one is memory.

    Else ``otherwise``, which is private already.
    """
    for candidate in (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):  # noqa: S108
        if candidate and is_in_memory(candidate):
            try:
                return Path(tempfile.mkdtemp(prefix="runcommit-", dir=candidate))
            except OSError:
                continue
    return otherwise


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
