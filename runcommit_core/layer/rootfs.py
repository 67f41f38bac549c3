"""The root of a finished container, compared with the base path by path.

For engines whose own comparison of two directories is not to be trusted (drivers such as vfs, and
fuse-overlayfs): it takes files of equal size and time for equal, and loses deletions.  Here every
file of equal attributes is read and hashed, so the cost is that of reading the whole root.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.difference import is_same
from runcommit_core.layer.disk import disk_entry, hardlink_to, read_chunks, read_xattrs
from runcommit_core.layer.losses import acl_warnings, has_acl, socket_warning
from runcommit_core.layer.markers import check_name
from runcommit_core.layer.result import Inode
from runcommit_core.layer.upper import can_read_uppers
from runcommit_core.layer.wording import printable
from runcommit_core.tar.reader import Kind, TarEntry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runcommit_core.index.basetree import BaseTree

_DEVICES = (Kind.CHARACTER, Kind.BLOCK)


class RootChanges:
    """What a container's root has, or has not, unlike the base; see ``Changes`` for the attributes.

    A group of hardlinks is an entry under each of its names if one of them is unlike the base.

    Raises ArchiveError: a file whose name says that it is a whiteout, or that is one on overlays
    """

    def __init__(self, root: Path, tree: BaseTree) -> None:
        self.name = f"the container's root {root}"
        self.entries: dict[bytes, TarEntry] = {}
        self.whiteouts: set[bytes] = set()
        self.opaques: set[bytes] = set()
        self.warnings: list[str] = []
        self._is_real_root = can_read_uppers()
        self._tree = tree
        self._root = os.fsencode(root)
        self._linked: dict[tuple[int, int], list[TarEntry]] = {}
        self._with_acls: list[bytes] = []
        self._walk()
        self.warnings += acl_warnings(self._with_acls)
        for names in self._linked.values():
            self._add_linked(names)

    def content(self, entry: TarEntry) -> Iterator[bytes]:
        """Read a regular file."""
        return read_chunks(self._root + b"/" + entry.path)

    def _walk(self) -> None:
        """Take all files, each directory before what it holds, however deep that goes."""
        waiting = [iter(self._children(b""))]
        while waiting:
            if (item := next(waiting[-1], None)) is None:
                waiting.pop()
                continue
            path = item.path.removeprefix(self._root + b"/")
            check_name(path)
            stat = item.stat(follow_symlinks=False)
            entry = disk_entry(path, item.path, stat, read_xattrs(item.path))
            if entry is None:
                self.warnings.append(socket_warning(path))
                self._remove(path)
                continue
            if has_acl(entry.xattrs):
                self._with_acls.append(path)
            self._add(entry, stat)
            if entry.kind is Kind.DIRECTORY:
                waiting.append(iter(self._children(path)))

    def _children(self, below: bytes) -> list[os.DirEntry[bytes]]:
        """What a directory holds; what the base's held besides is removed."""
        folder = self._root + b"/" + below if below else self._root
        with os.scandir(folder) as children:
            items = sorted(children, key=lambda item: item.name)
        prefix = below + b"/" if below else b""
        for name in {*self._tree.children(below)} - {item.name for item in items}:
            self._remove(prefix + name)
        return items

    def _remove(self, path: bytes) -> None:
        if self._tree.get(path) is not None and not self._could_not_be_made(path):
            self.whiteouts.add(path)

    def _could_not_be_made(self, path: bytes) -> bool:
        """Tell whether the engine left a device out of the base, as in a user namespace it must."""
        if self._is_real_root:
            return False
        node = self._tree.get(path)
        return node is not None and node.kind in _DEVICES

    def _add(self, entry: TarEntry, stat: os.stat_result) -> None:
        if entry.kind is Kind.CHARACTER and entry.major == entry.minor == 0:
            raise ArchiveError(
                f"{printable(entry.path)} is a character device 0:0, which stands for a deleted"
                " file on overlay file systems",
                tip="remove the device in the command",
            )
        if entry.kind is not Kind.DIRECTORY and stat.st_nlink > 1:
            self._linked.setdefault((stat.st_dev, stat.st_ino), []).append(entry)
        elif not self._is_same(entry):
            self.entries[entry.path] = entry

    def _add_linked(self, names: list[TarEntry]) -> None:
        if all(map(self._is_same, names)):
            return
        master, *others = names
        self.entries[master.path] = master
        for entry in others:
            self.entries[entry.path] = hardlink_to(master.path, entry)

    def _is_same(self, entry: TarEntry) -> bool:
        node = self._tree.get(entry.path)
        return node is not None and is_same(Inode(entry, self), node, int, user_xattrs=True)
