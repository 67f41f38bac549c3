"""Processes in a killed job's container that no engine knows of: one that was killed lost them.

They are known by their mounts: what an engine puts into a container for a job (names of hosts,
secrets, inputs) comes from the job's private folder.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path, PurePosixPath

from runcommit_core.records import record

_PROC = Path("/proc")
_OWN = "self"


@record
class Stray:
    """A process with something of the folder mounted elsewhere, in a namespace of its own."""

    pid: int
    folder: str
    command: str

    def end(self) -> None:
        """Kill it, if it is still what it was: its number may be another's by now."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if _has_mounted(_PROC / str(self.pid), self.folder):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)


def strays(folder: Path) -> list[Stray]:
    """Processes of this user that have something of a job's private folder mounted.

    Those whose parent is one of them end with it, and are left out.
    """
    ours = _namespace(_PROC / _OWN)
    found: dict[int, tuple[int, Stray]] = {}
    for place in _PROC.iterdir():
        if not place.name.isdigit():
            continue
        try:
            is_own = place.stat().st_uid == os.geteuid() and _namespace(place) != ours
            if is_own and _has_mounted(place, folder.name):
                words = (place / "cmdline").read_bytes().split(b"\0")[:3]
                command = b" ".join(words).decode(errors="replace").strip()
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(place.name)] = parent, Stray(int(place.name), folder.name, command)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return [stray for parent, stray in found.values() if parent not in found]


def _namespace(process: Path) -> str:
    return os.readlink(process / "ns" / "mnt")  # noqa: PTH115 - it is no path


def _has_mounted(process: Path, folder: str) -> bool:
    """Whether something below a folder of that name is mounted at a place of another name.

    A mount at its own place is what every copy of a namespace has.
    """
    try:
        lines = (process / "mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    for line in lines:
        root, point = line.decode(errors="surrogateescape").split(" ")[3:5]
        if folder in PurePosixPath(root).parts[:-1] and not point.endswith(root):
            return True
    return False
