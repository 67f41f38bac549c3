"""Whether an entry of a finished layer says anything that the base does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.tar.reader import Kind
from runcommit_core.tar.xattrs import kept_xattrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runcommit_core.index.node import Node
    from runcommit_core.layer.contents import Item


def is_like_the_base(item: Item, items: Mapping[bytes, Item], node: Node) -> bool:
    """Compare an entry with what the base has at its path; a directory's time does not count.

    ``items`` are those of the layer by path: a hardlink is what its target there is.  A ``user.*``
    attribute that only one of both has is a difference.
    """
    target = items.get(item.entry.link) if item.entry.kind is Kind.HARDLINK else item
    if target is None:
        return False
    entry = target.entry
    kind = entry.kind
    if (kind, entry.uid, entry.gid) != (node.kind, node.uid, node.gid):
        return False
    if entry.mode != node.mode and kind is not Kind.SYMLINK:
        return False
    if kept_xattrs(entry.xattrs, user=True) != kept_xattrs(node.xattrs, user=True):
        return False
    return kind is Kind.DIRECTORY or _is_same_file(target, node)


def _is_same_file(item: Item, node: Node) -> bool:
    entry = item.entry
    return (
        entry.mtime == node.mtime
        and entry.size == node.size
        and entry.link == node.link
        and (entry.major, entry.minor) == (node.major, node.minor)
        and item.sha256 == node.sha256.hex()
    )
