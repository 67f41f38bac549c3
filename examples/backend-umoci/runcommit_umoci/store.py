"""Where unpacked bases and running jobs are kept, and how to get at their files.

A rootless user's containers have files of many ids, which are that user's only inside a user
namespace: there these files are listed, mounted and removed.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "RUNCOMMIT_UMOCI_STORE"


def folder() -> Path:
    """The store: never on an overlay, for overlays do not stack."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/runcommit-umoci")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(data) / "runcommit-umoci"


def bases() -> Path:
    """Where the private copies of bases are unpacked."""
    return folder() / "bases"


def job_folder(name: str) -> Path:
    """Where the container of this name lives."""
    return folder() / "jobs" / name


def jobs() -> list[str]:
    """The names of all containers."""
    place = folder() / "jobs"
    return sorted(path.name for path in place.iterdir()) if place.is_dir() else []


def enter() -> tuple[str, ...]:
    """The words before a command that bring it where the container's ids are, and mounts its own.

    Whatever runs there ends with it.
    """
    as_root = () if os.geteuid() == 0 else ("--map-root-user", "--map-auto")
    return ("unshare", *as_root, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
