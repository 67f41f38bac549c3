"""From B and F to what a layer must say: changed paths (K), deleted paths (D), ancestors (A)."""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.result import Inode, ancestors
from runcommit_core.records import record
from runcommit_core.tar.order import entry_key
from runcommit_core.tar.reader import Kind, TarEntry
from runcommit_core.tar.xattrs import kept_xattrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.index.node import Node
    from runcommit_core.layer.result import Result

_LATEST = (2**63 - 1) // 10**9
_DIRECTORY, _REGULAR, _SYMLINK = Kind.DIRECTORY, Kind.REGULAR, Kind.SYMLINK


@record
class Difference:
    """``changed`` is in canonical order, with B's node where there is one.

    ``ancestors`` are directories that are listed only because something below them is.
    """

    changed: list[tuple[bytes, Inode, Node | None]]
    deleted: list[tuple[bytes, Node]]
    ancestors: list[tuple[bytes, Inode | None, Node | None]] = field(default_factory=list)


def difference(
    result: Result,
    *,
    user_xattrs: bool,
    stays: Callable[[bytes], bool],
    written_time: Callable[[int], int],
) -> Difference:
    """Compare F with B; ``stays`` tells the paths of B that must not be deleted.

    ``written_time`` is the time that a layer would give to a file of some observed time: one that
    would be written just as the base has it is no change.

    Raises ArchiveError: a path below a non-directory
    """
    changed = _changed(result, written_time, user_xattrs=user_xattrs)
    deleted = _Deleted(result, stays).collect()
    listed = {path for path, _, _ in changed}
    above = _ancestors_of([*listed, *(path for path, _ in deleted)], listed)
    return Difference(changed, deleted, [_ancestor(result, path) for path in above])


def _changed(
    result: Result, written_time: Callable[[int], int], *, user_xattrs: bool
) -> list[tuple[bytes, Inode, Node | None]]:
    get = result.tree.get
    same: list[tuple[bytes, Inode, Node | None]] = []
    changed: list[tuple[bytes, Inode, Node | None]] = []
    linked: set[Inode] = set()
    for path in sorted(result.present, key=entry_key):
        inode = result.present[path]
        node = get(path)
        if node is not None and is_same(inode, node, written_time, user_xattrs=user_xattrs):
            if inode.linked:
                same.append((path, inode, node))
            continue
        changed.append((path, inode, node))
        if inode.linked:
            linked.add(inode)
    # A group of hardlinks goes into the layer as a whole if one of its names does.
    joined = [item for item in same if item[1] in linked]
    return sorted(changed + joined, key=lambda item: entry_key(item[0])) if joined else changed


def is_same(
    inode: Inode, node: Node, written_time: Callable[[int], int], *, user_xattrs: bool
) -> bool:
    """Tell whether F's inode says nothing new about a path of B; reads content only if it must.

    The time of a directory and the membership in a group of hardlinks do not count.
    """
    entry = inode.entry
    kind = entry.kind
    if kind is not node.kind or entry.uid != node.uid or entry.gid != node.gid:
        return False
    if entry.mode != node.mode and kind is not _SYMLINK:
        return False
    if kind is not _DIRECTORY and not _is_same_file(entry, node, written_time):
        return False
    if (entry.xattrs or node.xattrs) and kept_xattrs(entry.xattrs, user=user_xattrs) != kept_xattrs(
        node.xattrs, user=user_xattrs
    ):
        return False
    return kind is not _REGULAR or _content_sha256(inode) == node.sha256


def is_same_time(observed: int, base: int) -> bool:
    """Compare times in seconds; engines unpack those before 1970 and after 2262 as 1970.

    https://github.com/moby/go-archive, ``boundTime``; containers/storage has the same code.
    """
    return observed == base or (observed == 0 and not 0 <= base <= _LATEST)


def _is_same_file(entry: TarEntry, node: Node, written_time: Callable[[int], int]) -> bool:
    return (
        (is_same_time(entry.mtime, node.mtime) or written_time(entry.mtime) == node.mtime)
        and entry.size == node.size
        and entry.link == node.link
        and entry.major == node.major
        and entry.minor == node.minor
    )


def _content_sha256(inode: Inode) -> bytes:
    content = hashlib.sha256()
    for chunk in inode.changes.content(inode.entry):
        content.update(chunk)
    return content.digest()


class _Deleted:
    """Finds the topmost paths of B that are gone though their parent is a directory in F."""

    def __init__(self, result: Result, stays: Callable[[bytes], bool]) -> None:
        self._result = result
        self._tree: BaseTree = result.tree
        self._stays = stays
        self._found: dict[bytes, Node] = {}

    def collect(self) -> list[tuple[bytes, Node]]:
        result = self._result
        for path in result.removed:
            if self._is_top(path):
                self._compare(path)
        for path in result.emptied:
            if path not in result.removed and self._is_top(path):
                self._compare_children(path)
        return sorted(self._found.items())

    def _is_top(self, path: bytes) -> bool:
        """Tell whether no deletion or replacement further up speaks for this path, too."""
        if not path:
            return True
        if self._result.is_below_hidden(path):
            return False
        present = self._result.present
        above = (present[up] for up in ancestors(path) if up in present)
        return all(inode.entry.kind is _DIRECTORY for inode in above)

    def _compare(self, path: bytes) -> None:
        """Compare a path whose whole base is hidden, and all below it, with F."""
        pending = [path]
        while pending:
            path = pending.pop()
            node = self._tree.get(path)
            if node is None or self._stays(path):
                continue
            inode = self._result.present.get(path)
            if inode is None:
                self._found[path] = node
            elif inode.entry.kind is _DIRECTORY and node.kind is _DIRECTORY:
                pending += self._children(path)

    def _compare_children(self, path: bytes) -> None:
        inode = self._result.present.get(path)
        if inode is None or inode.entry.kind is _DIRECTORY:
            for child in self._children(path):
                self._compare(child)

    def _children(self, path: bytes) -> list[bytes]:
        prefix = path + b"/" if path else b""
        return [prefix + name for name in self._tree.children(path)]


def _ancestors_of(paths: Iterable[bytes], listed: set[bytes]) -> list[bytes]:
    above: set[bytes] = set()
    for path in paths:
        for up in ancestors(path):
            if up in above:
                break
            above.add(up)
    return list(above - listed)


def _ancestor(result: Result, path: bytes) -> tuple[bytes, Inode | None, Node | None]:
    inode = result.present.get(path)
    node = result.tree.get(path)
    kind = inode.entry.kind if inode is not None else node and node.kind
    if kind is not _DIRECTORY:
        raise ArchiveError(f"something lies in {path!r}, which is no directory in the result")
    return path, inode, node
