"""What a command left behind of which no engine's commit tells: sockets, and what else gets lost.

A tar has no type for sockets, so engines leave them out, and with them that they hide a file of the
base.  It is run as a program where a rootless engine's files are, so it imports little.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@record
class Untold:
    """Paths of sockets, from the root, and lines about what else no layer says."""

    sockets: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()


def untold_in(upper: Path, *, enter: Sequence[str] = ()) -> Untold:
    """Look through an upper directory.

    ``enter`` are the words before a command that bring it where root and ids are the container's
    own.

    Raises EngineError when these fail, OSError for a directory that cannot be read.
    """
    from runcommit_core.engine import process

    if not enter:
        return Untold() if process.is_rehearsed() else _found(upper)
    from runcommit_core.engine.apart import isolated

    words = (*enter, *isolated(__name__), os.fspath(upper))
    said = json.loads(process.checked(process.attempt(*words)).output)
    return Untold(tuple(map(os.fsencode, said["sockets"])), tuple(said["warnings"]))


def main(upper: str) -> int:
    """Print what was found as JSON."""
    untold = _found(Path(upper))
    sockets = [os.fsdecode(path) for path in untold.sockets]
    print(json.dumps({"sockets": sockets, "warnings": untold.warnings}))  # noqa: T201
    return 0


def _found(upper: Path) -> Untold:
    from runcommit_core.layer.losses import acl_warnings, has_acl, root_warnings

    sockets, with_acls = [], []
    for path, item in _below(os.fsencode(upper)):
        if _is_socket(item):
            sockets.append(path)
        elif has_acl(_names_of_xattrs(item.path)):
            with_acls.append(path)
    warnings = [*root_warnings(upper), *acl_warnings(sorted(with_acls))]
    return Untold(tuple(sockets), tuple(warnings))


def _below(top: bytes) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    pending = [b""]
    while pending:
        prefix = pending.pop()
        with os.scandir(os.path.join(top, prefix)) as entries:  # noqa: PTH118 - bytes
            items = list(entries)
        for item in items:
            path = prefix + item.name
            if item.is_dir(follow_symlinks=False):
                pending.append(path + b"/")
            yield path, item


def _is_socket(item: os.DirEntry[bytes]) -> bool:
    import stat

    usual = (os.DirEntry.is_dir, os.DirEntry.is_file)
    if item.is_symlink() or any(is_it(item, follow_symlinks=False) for is_it in usual):
        return False
    return stat.S_ISSOCK(item.stat(follow_symlinks=False).st_mode)


def _names_of_xattrs(path: bytes) -> list[bytes]:
    try:
        return [os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False)]
    except OSError:
        return []  # a file system without extended attributes has none
