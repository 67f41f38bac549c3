"""What is mounted where, as /proc/self/mountinfo has it (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")


def mount_points() -> list[Path]:
    """All of this process's mount points, in the order in which they were mounted.

    Names are bytes: the kernel writes blanks, tabs, line feeds and backslashes in octal, and all
    else as it is.
    """
    return [_unescaped(line.split(b" ")[4]) for line in _MOUNTS.read_bytes().splitlines()]


def _unescaped(name: bytes) -> Path:
    return Path(os.fsdecode(_OCTAL.sub(lambda octal: bytes([int(octal[1], 8)]), name)))
