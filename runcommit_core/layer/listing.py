"""What a layer does, as a tree with sizes, the largest first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.sameness import is_like_the_base
from runcommit_core.layer.wording import printable, size_text
from runcommit_core.tar.reader import Kind
from runcommit_core.tar.whiteout import Marker, split_marker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.layer.contents import Contents, Item

MARKS = {"added": "+", "changed": "~", "removed": "-", "present": " ", "unchanged": " "}


@dataclass(frozen=True, slots=True)
class Listed:
    """One path: ``change`` is a key of :data:`MARKS`; ``item`` is that of its tar entry.

    Without a base what is there is ``present``.  ``unchanged`` are the directories of the base
    that are in the layer for what lies below them.
    """

    path: bytes
    change: str
    item: Item


@dataclass(slots=True)
class _Branch:
    listed: Listed | None = None
    size: int = 0
    children: dict[bytes, _Branch] = field(default_factory=dict)


def list_changes(contents: Contents, tree: BaseTree | None) -> list[Listed]:
    """Tell what each entry does, the largest first, then by path.

    Raises ArchiveError: a whiteout of nothing
    """
    items = {item.entry.path: item for item in contents.items}
    listings = []
    for item in contents.items:
        path = item.entry.path
        try:
            marker, target = split_marker(path)
        except ValueError as error:
            raise ArchiveError(f"{contents.name}: byte {item.offset}: {error}") from None
        if marker is Marker.NONE and path:
            listings.append(Listed(path, _change(item, items, tree), item))
        elif marker in (Marker.WHITEOUT, Marker.OPAQUE):
            listings.append(Listed(target, "removed", item))
    return sorted(listings, key=lambda listed: (-listed.item.entry.size, listed.path))


def tree_text(listed: Iterable[Listed]) -> Iterator[str]:
    """Draw the tree line by line; a directory's size is that of all below it."""
    root = _Branch()
    for each in listed:
        branch = root
        size = each.item.entry.size
        branch.size += size
        for name in _names(each):
            branch = branch.children.setdefault(name, _Branch())
            branch.size += size
        branch.listed = each
    yield from _draw(root, 0)


def _names(listed: Listed) -> list[bytes]:
    names = listed.path.split(b"/") if listed.path else []
    # what lay in an opaque directory is removed, the directory itself is not
    is_opaque = split_marker(listed.item.entry.path)[0] is Marker.OPAQUE
    return [*names, b"*"] if is_opaque else names


def _change(item: Item, items: dict[bytes, Item], tree: BaseTree | None) -> str:
    if tree is None:
        return "present"
    node = tree.get(item.entry.path)
    if node is None:
        return "added"
    return "unchanged" if is_like_the_base(item, items, node) else "changed"


def _draw(branch: _Branch, depth: int) -> Iterator[str]:
    for name, child in sorted(branch.children.items(), key=lambda pair: (-pair[1].size, pair[0])):
        listed = child.listed
        mark = MARKS[listed.change] if listed else " "
        shown = "" if listed and listed.change == "removed" else size_text(child.size)
        yield f"{mark} {shown:>8}  {'  ' * depth}{printable(name)}{_suffix(child)}"
        yield from _draw(child, depth + 1)


def _suffix(branch: _Branch) -> str:
    if branch.listed is None:
        return "/"
    entry = branch.listed.item.entry
    if entry.kind is Kind.DIRECTORY:
        return "/"
    arrows = {Kind.SYMLINK: " -> ", Kind.HARDLINK: " = "}
    return arrows[entry.kind] + printable(entry.link) if entry.kind in arrows else ""
