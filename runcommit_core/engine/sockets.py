"""The sockets that a command left behind, which no engine's commit tells of.

A tar has no type for them, so engines leave them out, and with them that they hide a file of the
base.  It is run as a program where a rootless engine's files are, so it imports little.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def sockets_in(upper: Path, *, enter: Sequence[str] = ()) -> tuple[bytes, ...]:
    """Find the sockets below an upper directory, as paths from there.

    ``enter`` are the words before a command that bring it where root and ids are the container's
    own.

    Raises EngineError when these fail, OSError for a directory that cannot be read.
    """
    from runcommit_core.engine import process

    if not enter:
        return () if process.is_rehearsed() else tuple(_below(os.fsencode(upper)))
    from runcommit_core.engine.apart import isolated

    words = (*enter, *isolated(__name__), os.fspath(upper))
    said = json.loads(process.checked(process.attempt(*words)).output)
    return tuple(os.fsencode(path) for path in said)


def main(upper: str) -> int:
    """Print the paths as a JSON array."""
    print(json.dumps([os.fsdecode(path) for path in _below(os.fsencode(upper))]))  # noqa: T201
    return 0


def _below(top: bytes) -> Iterator[bytes]:
    pending = [b""]
    while pending:
        prefix = pending.pop()
        with os.scandir(os.path.join(top, prefix)) as found:  # noqa: PTH118 - bytes
            items = list(found)
        for item in items:
            path = prefix + item.name
            if item.is_dir(follow_symlinks=False):
                pending.append(path + b"/")
            elif not (item.is_file(follow_symlinks=False) or item.is_symlink()) and _is_one(item):
                yield path


def _is_one(item: os.DirEntry[bytes]) -> bool:
    import stat

    return stat.S_ISSOCK(item.stat(follow_symlinks=False).st_mode)
