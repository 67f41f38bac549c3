"""The canonical layer, version 1: one byte string for one change, from whichever engine.

The layer is computed from the merged base, the merged result and the source date epoch alone;
``docs/reference/canonical-layer.md`` specifies it to the byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.difference import Difference, difference, is_same_time
from runcommit_core.layer.losses import user_xattr_warnings
from runcommit_core.layer.result import Inode, Result
from runcommit_core.layer.scrub import drop_excluded, scrub, with_ancestors
from runcommit_core.records import record
from runcommit_core.tar.entry import NO_XATTRS
from runcommit_core.tar.header import MARKER, Attributes
from runcommit_core.tar.order import entry_key, whiteout_key
from runcommit_core.tar.reader import Kind
from runcommit_core.tar.whiteout import whiteout_path
from runcommit_core.tar.writer import LayerWriter
from runcommit_core.tar.xattrs import is_user_xattr, kept_xattrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.index.node import Node
    from runcommit_core.layer.changes import Changes
    from runcommit_core.tar.digests import DiffId

_DIRECTORY, _SYMLINK = Kind.DIRECTORY, Kind.SYMLINK


@record
class Policy:
    """What a user decides about a layer.

    ``epoch`` counts seconds.  ``mount_points`` are the targets of the run's own mounts, as
    normalised paths.  A path for which ``exclude`` is true, and all below it, counts as unchanged;
    a deleted directory takes what is excluded inside it along.
    """

    epoch: int
    mtime: Literal["clamp", "set"] = "clamp"
    keep_user_xattrs: bool = False
    mount_points: tuple[bytes, ...] = ()
    exclude: Callable[[bytes], bool] | None = None
    always_layer: bool = False

    def written_time(self, observed: int) -> int:
        """Bound a time that the base does not have."""
        return self.epoch if self.mtime == "set" else min(observed, self.epoch)


class Change(NamedTuple):
    """One thing that the layer says; ``size`` is that of the content in the layer."""

    action: Literal["added", "changed", "removed"]
    path: bytes
    size: int


@record
class LayerReport:
    """What was written.  ``diff_id`` is None, and nothing was written, where nothing changed.

    ``entries`` counts the members of the tar, ancestors included, which ``changes`` leaves out.
    """

    diff_id: DiffId | None
    size: int
    entries: int
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    def count(self, action: Literal["added", "changed", "removed"]) -> int:
        """Count the changes of one kind."""
        return sum(change.action == action for change in self.changes)


def canonicalise(
    tree: BaseTree, raw_layers: Sequence[Changes], policy: Policy, output: BinaryIO
) -> LayerReport:
    """Write the canonical layer of the raw layers, applied in order to the base ``tree``.

    Raises ArchiveError: the raw layers contradict themselves or the base
    Raises IndexDamagedError: a base layer must be indexed anew
    """
    result = Result(tree)
    for changes in raw_layers:
        result.apply(changes, policy.epoch)
    stays = _scrub(result, policy)
    delta = difference(
        result,
        user_xattrs=policy.keep_user_xattrs,
        stays=stays,
        written_time=policy.written_time,
    )
    warnings = [warning for changes in raw_layers for warning in changes.warnings]
    if not policy.keep_user_xattrs:
        warnings += user_xattr_warnings(_with_new_user_xattrs(result))
    if not delta.changed and not delta.deleted and not policy.always_layer:
        return LayerReport(None, 0, 0, (), tuple(warnings))
    writer = LayerWriter(output)
    _write(delta, policy, writer)
    diff_id = writer.finish()
    return LayerReport(
        diff_id, writer.size, writer.entries, tuple(_changes(delta)), tuple(warnings)
    )


def _scrub(result: Result, policy: Policy) -> Callable[[bytes], bool]:
    """Take out what is not the user's change; tell which paths of the base stay regardless."""
    stay = scrub(result, policy.mount_points)
    if policy.exclude is None:
        return stay.__contains__
    is_excluded = with_ancestors(policy.exclude)
    drop_excluded(result, is_excluded)
    return lambda path: path in stay or is_excluded(path)


_Item = tuple[bytes, bytes, Inode | None, "Node | None"]


def _write(changes: Difference, policy: Policy, writer: LayerWriter) -> None:
    """Write everything in canonical order; sort keys are unique, so paths are, too."""
    masters: dict[Inode, tuple[bytes, Attributes]] = {}
    previous = b""
    for key, path, inode, node in sorted(_items(changes), key=lambda item: item[0]):
        if key == previous:
            raise ArchiveError(f"{path!r} would be in the layer twice")
        previous = key
        if inode is None:
            writer.add(path, MARKER if node is None else _of_base(node, policy))
        elif inode in masters:
            writer.add(path, _hardlink(*masters[inode]))
        else:
            attributes = _attributes(inode, node, policy)
            if inode.linked:
                masters[inode] = (path, attributes)
            writer.add(
                path, attributes, inode.changes.content(inode.entry) if attributes.size else ()
            )


def _items(changes: Difference) -> Iterable[_Item]:
    for path, _ in changes.deleted:
        yield whiteout_key(path), whiteout_path(path), None, None
    for path, inode, node in changes.changed:
        yield entry_key(path), path, inode, node
    for path, ancestor, node in changes.ancestors:
        yield entry_key(path), path, ancestor, node


def _attributes(inode: Inode, node: Node | None, policy: Policy) -> Attributes:
    entry = inode.entry
    kind = entry.kind
    both_directories = kind is _DIRECTORY and node is not None and node.kind is _DIRECTORY
    if node is not None and (both_directories or is_same_time(entry.mtime, node.mtime)):
        mtime = node.mtime
    else:
        mtime = policy.written_time(entry.mtime)
    return Attributes(
        kind,
        0o777 if kind is _SYMLINK else entry.mode,
        entry.uid,
        entry.gid,
        mtime,
        entry.link,
        entry.size,
        entry.major,
        entry.minor,
        kept_xattrs(entry.xattrs, user=policy.keep_user_xattrs) if entry.xattrs else NO_XATTRS,
    )


def _hardlink(master: bytes, attributes: Attributes) -> Attributes:
    return attributes._replace(
        kind=Kind.HARDLINK, link=master, size=0, major=0, minor=0, xattrs=NO_XATTRS
    )


def _of_base(node: Node, policy: Policy) -> Attributes:
    """Repeat a directory of the base, which is in the layer for what lies below it."""
    xattrs: Mapping[bytes, bytes] = kept_xattrs(node.xattrs, user=policy.keep_user_xattrs)
    return Attributes(_DIRECTORY, node.mode, node.uid, node.gid, node.mtime, b"", 0, 0, 0, xattrs)


def _changes(changes: Difference) -> Iterable[Change]:
    masters = set()
    for path, inode, node in changes.changed:
        size = 0 if inode in masters else inode.entry.size
        if inode.linked:
            masters.add(inode)
        yield Change("changed" if node is not None else "added", path, size)
    for path, _ in changes.deleted:
        yield Change("removed", path, 0)


def _with_new_user_xattrs(result: Result) -> list[bytes]:
    """The paths whose ``user.*`` attributes are not as in the base, whatever else of them is."""
    return sorted(
        path
        for path, inode in result.present.items()
        if inode.entry.xattrs and _user_xattrs(inode.entry.xattrs) - _known_xattrs(result, path)
    )


def _user_xattrs(xattrs: Mapping[bytes, bytes]) -> set[tuple[bytes, bytes]]:
    return {(name, value) for name, value in xattrs.items() if is_user_xattr(name)}


def _known_xattrs(result: Result, path: bytes) -> set[tuple[bytes, bytes]]:
    node = result.tree.get(path)
    return _user_xattrs(node.xattrs) if node else set()
