"""The result tree F, as far as it differs from the base B: raw layers laid over B."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.index.node import IMPLIED_DIRECTORY
from runcommit_core.tar.reader import Kind, TarEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.index.node import Node
    from runcommit_core.layer.changes import Changes

_DIRECTORY, _HARDLINK = Kind.DIRECTORY, Kind.HARDLINK


class Inode:
    """A file of F under one or, if ``linked``, several names; ``changes`` has its content."""

    __slots__ = ("changes", "entry", "linked")

    def __init__(self, entry: TarEntry, changes: Changes) -> None:
        self.entry = entry
        self.changes = changes
        self.linked = False


class Result:
    """F by its difference from B.

    ``present`` holds the paths of F that a raw layer mentions.  What B has at or below a path in
    ``removed``, or below a path in ``emptied``, is not in F unless it is present.  All else of B
    is in F unless its parent is present as something other than a directory.
    """

    def __init__(self, tree: BaseTree) -> None:
        self.tree = tree
        self.present: dict[bytes, Inode] = {}
        self.removed: set[bytes] = set()
        self.emptied: set[bytes] = set()
        self._holders: set[bytes] = {b""}  # every directory that has, or had, a present path

    def apply(self, changes: Changes, epoch: int) -> None:
        """Lay the next raw layer over F; ``epoch`` is the time of directories it implies.

        Raises ArchiveError: a path below a non-directory, a hardlink without a target
        """
        if self.present:
            self._hide(changes)
        self.removed |= changes.whiteouts
        self.emptied |= changes.opaques
        present = self.present
        links = []
        for path, entry in changes.entries.items():
            if entry.kind is _HARDLINK:
                links.append(entry)
            elif entry.kind is _DIRECTORY:
                present[path] = Inode(self._as_listed(entry), changes)
            else:
                present[path] = Inode(entry, changes)
        for entry in links:
            inode = self._target(entry, changes)
            inode.linked = True
            present[entry.path] = inode
        self._imply_directories(changes, epoch)

    def is_hidden(self, path: bytes) -> bool:
        """Tell whether what B has at the path is hidden by a deletion."""
        if path in self.removed:
            return True
        return bool(self.removed or self.emptied) and self.is_below_hidden(path)

    def is_below_hidden(self, path: bytes) -> bool:
        """Tell whether what B has below the path's parent is hidden by a deletion."""
        if b"" in self.emptied:
            return True
        return any(above in self.removed or above in self.emptied for above in ancestors(path))

    def has_below(self, path: bytes) -> bool:
        """Tell whether a present path lies below ``path``."""
        if path not in self._holders:
            return False
        prefix = path + b"/"
        return any(other.startswith(prefix) for other in self.present)

    def drop(self, path: bytes) -> bool:
        """Take a path and all below it out of F's changes; tell whether it was there."""
        inode = self.present.pop(path, None)
        if path in self._holders:
            prefix = path + b"/"
            for other in [other for other in self.present if other.startswith(prefix)]:
                del self.present[other]
        return inode is not None

    def _hide(self, changes: Changes) -> None:
        """Take out of F what the next layer deletes or replaces."""
        present = self.present
        gone = set(changes.whiteouts)
        for path, entry in changes.entries.items():
            before = present.get(path)
            if before is None:
                if entry.kind is not _DIRECTORY:
                    gone.add(path)
            elif before.entry.kind is not _DIRECTORY or entry.kind is not _DIRECTORY:
                gone.add(path)
                self.removed.add(path)
        emptied = gone | changes.opaques
        everything = b"" in changes.opaques
        for path in list(present):
            if everything or path in gone or any(up in emptied for up in ancestors(path)):
                del present[path]

    def _target(self, entry: TarEntry, changes: Changes) -> Inode:
        seen = {entry.path}
        link = entry.link
        while (target := changes.entries.get(link)) and target.kind is _HARDLINK:
            if link in seen:
                raise ArchiveError(f"{changes.name}: {entry.path!r} is a hardlink to itself")
            seen.add(link)
            link = target.link
        inode = self.present.get(link)
        if inode is None or inode.entry.kind is _DIRECTORY:
            raise ArchiveError(
                f"{changes.name}: {entry.path!r} is a hardlink to {entry.link!r},"
                " which is no file of this layer",
                tip="no engine writes such a layer; if one did, please report it",
            )
        return inode

    def _as_listed(self, entry: TarEntry) -> TarEntry:
        """Give a directory that B's upper layers imply what the lower layer says of it.

        Overlay engines show such a directory as root's with the mode 0755, all others as the lower
        layer has it; what the command made of it is told apart from that attribute by attribute.
        """
        node = self.tree.get(entry.path)
        return entry if node is None else as_listed(entry, node)

    def _imply_directories(self, changes: Changes, epoch: int) -> None:
        present = self.present
        checked = {b""}
        for parent in {path.rpartition(b"/")[0] for path in changes.entries}:
            path = parent
            while path not in checked:
                checked.add(path)
                inode = present.get(path)
                if inode is not None:
                    if inode.entry.kind is not _DIRECTORY:
                        raise _below_a_file(changes, parent, path)
                else:
                    self._imply_directory(path, changes, epoch)
                path = path.rpartition(b"/")[0]
        self._holders |= checked

    def _imply_directory(self, path: bytes, changes: Changes, epoch: int) -> None:
        node = None if self.is_hidden(path) else self.tree.get(path)
        if node is None:
            self.present[path] = Inode(_implied(path, epoch), changes)
        elif node.kind is not _DIRECTORY:
            raise _below_a_file(changes, path, path)


def as_listed(entry: TarEntry, node: Node) -> TarEntry:
    """Take from the base's node whatever an implied directory has only for being implied."""
    if not node.implied or entry.kind is not _DIRECTORY:
        return entry
    plain = IMPLIED_DIRECTORY
    return entry._replace(
        mode=node.mode if entry.mode == plain.mode else entry.mode,
        uid=node.uid if entry.uid == plain.uid else entry.uid,
        gid=node.gid if entry.gid == plain.gid else entry.gid,
        xattrs=entry.xattrs or node.xattrs,
    )


def ancestors(path: bytes) -> Iterator[bytes]:
    """Yield the directories above a path, nearest first, without the root."""
    while path := path.rpartition(b"/")[0]:
        yield path


def _implied(path: bytes, epoch: int) -> TarEntry:
    plain = IMPLIED_DIRECTORY
    return TarEntry(
        path, plain.kind, plain.mode, 0, 0, epoch, b"", 0, 0, 0, plain.xattrs, data_offset=0
    )


def _below_a_file(changes: Changes, path: bytes, above: bytes) -> ArchiveError:
    return ArchiveError(
        f"{changes.name}: something lies in {path!r}, but {above!r} is no directory"
    )
