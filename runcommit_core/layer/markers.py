"""Telling the whiteouts that engines write from files that a command has named like them.

In a raw layer both are entries called ``.wh.NAME``.  An engine's whiteout is an empty regular
file of root's with the mode 0 (containers/storage, containerd, every comparing differ) or 0600
(docker), and deletes something; its opaque marker is empty, too, and bears the mode and the owner
of the directory that it stands in.  A command's file that looks exactly so cannot be told apart:
root's, empty, of mode 0600 or 0, named after something that the base has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.wording import printable
from runcommit_core.tar.reader import Kind
from runcommit_core.tar.whiteout import PREFIX, Marker, split_marker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.layer.changes import TarChanges
    from runcommit_core.tar.reader import TarEntry

_WHITEOUT_MODES = (0, 0o600)
_STUMBLED = re.compile(r"/(\.wh\.[^/:]+):? .*no such file or directory")
_BELOW_DOCKERS_INIT = frozenset(
    (
        *(b".dockerenv", b"etc/mtab", b"etc/hosts", b"etc/hostname", b"etc/resolv.conf"),
        *(b"dev/console", b"dev/pts", b"dev/shm", b"dev", b"proc", b"sys", b"etc"),
    )
)
"""What docker puts below every container, so that a command can delete it from no base."""


def check_name(path: bytes) -> None:
    """Refuse a file of a command's by its name; for directories on disk, not for tars."""
    if path.rpartition(b"/")[2].startswith(PREFIX):
        raise _named_like_a_whiteout(path)


def check_markers(layers: Sequence[TarChanges], tree: BaseTree) -> None:
    """Refuse raw layers with whiteouts that no engine has written.

    Raises ArchiveError: the first of them, by its path
    """
    known: set[bytes] = set()
    for changes in layers:
        for entry in changes.markers:
            if not _is_engines(entry, changes, tree, known):
                raise _named_like_a_whiteout(entry.path)
        known.update(changes.entries)


def marker_in(words: str) -> ArchiveError | None:
    """Find the whiteout over which an engine has stumbled in what it said of its failure.

    Docker and podman commit a file ``.wh.NAME`` with content, but cannot read it back.
    """
    stumbled = _STUMBLED.search(words)
    return _named_like_a_whiteout(stumbled[1].encode()) if stumbled else None


def _is_engines(entry: TarEntry, changes: TarChanges, tree: BaseTree, known: set[bytes]) -> bool:
    if entry.kind is not Kind.REGULAR or entry.size or entry.xattrs:
        return False
    marker, target = split_marker(entry.path)
    if marker is Marker.OPAQUE:
        return _is_like_its_directory(entry, changes.entries.get(target))
    if marker is Marker.METADATA or entry.mode not in _WHITEOUT_MODES or entry.uid or entry.gid:
        return False
    return target in known or target in _BELOW_DOCKERS_INIT or tree.get(target) is not None


def _is_like_its_directory(entry: TarEntry, directory: TarEntry | None) -> bool:
    if directory is None or entry.mode == 0:
        return entry.mode in _WHITEOUT_MODES
    return (entry.mode, entry.uid, entry.gid) == (directory.mode, directory.uid, directory.gid)


def _named_like_a_whiteout(path: bytes) -> ArchiveError:
    return ArchiveError(
        f"the command made {printable(path)}; in a layer that name means a deletion",
        tip="remove or rename it in the command",
    )
