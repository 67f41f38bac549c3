"""Whether a layer is canonical, and says nothing needless or impossible of its base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.contents import open_layer_tar, read_contents
from runcommit_core.layer.result import ancestors
from runcommit_core.layer.sameness import is_like_the_base
from runcommit_core.layer.validate import validate_form
from runcommit_core.tar.reader import Kind
from runcommit_core.tar.whiteout import Marker, split_marker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.layer.contents import Contents, Item
    from runcommit_core.tar.digests import DiffId


def validate_layer(tree: BaseTree, reference: str, *, epoch: int) -> DiffId:
    """Check a layer, named as for ``open_layer_tar``, against its base; return its diff_id.

    A file that equals the base's is needless, unless its time is ``epoch``: it may have been later
    and was clamped to what the base happens to have.

    Raises ArchiveError: lists the first violation of the form and all against the base
    """
    violations = []
    try:
        with open_layer_tar(reference) as stream:
            validate_form(stream, name=reference)
    except ArchiveError as error:
        violations.append(str(error))
    contents = read_contents(reference)
    violations += _Against(tree, contents, epoch).violations()
    if violations:
        what = "violation" if len(violations) == 1 else "violations"
        raise ArchiveError(
            "\n".join([f"{reference}: {len(violations)} {what}:", *(f"  {v}" for v in violations)]),
            tip="layers in the canonical form come from `runcommit run` on this very base",
        )
    return contents.diff_id


class _Against:
    """A layer held against its base."""

    def __init__(self, tree: BaseTree, contents: Contents, epoch: int) -> None:
        self._tree = tree
        self._contents = contents
        self._epoch = epoch
        self._items: dict[bytes, Item] = {}
        self._holders: set[bytes] = set()
        self._linked: set[bytes] = set()

    def violations(self) -> Iterator[str]:
        for item in self._contents.items:
            path = item.entry.path
            if path in self._items:
                yield f"byte {item.offset}: {path!r}: is in the layer twice"
            self._items[path] = item
            self._holders.update(ancestors(path))
        self._linked = self._changed_groups()
        yield from self._missing_ancestors()
        for item in self._contents.items:
            if problem := self._problem(item):
                yield f"byte {item.offset}: {item.entry.path!r}: {problem}"

    def _missing_ancestors(self) -> Iterator[str]:
        for path in sorted(self._holders - self._items.keys()):
            yield f"{path!r}: something below it is in the layer, but not the directory itself"

    def _problem(self, item: Item) -> str:
        path = item.entry.path
        try:
            marker, target = split_marker(path)
        except ValueError as error:
            return str(error)
        if marker is Marker.NONE:
            return self._entry_problem(item) if path else "is the root, which no layer lists"
        if marker is Marker.WHITEOUT:
            return self._whiteout_problem(target)
        return "opaque markers and AUFS metadata are not canonical"

    def _whiteout_problem(self, target: bytes) -> str:
        if self._tree.get(target) is None:
            return f"deletes {target!r}, which the base does not have"
        if target in self._items:
            return f"deletes {target!r}, which is also in the layer"
        return ""

    def _entry_problem(self, item: Item) -> str:
        entry = item.entry
        node = self._tree.get(entry.path)
        if node is None:
            return ""
        if (
            entry.kind is Kind.DIRECTORY
            and node.kind is Kind.DIRECTORY
            and entry.mtime != node.mtime
        ):
            return f"its time is {entry.mtime}, but that of the base's directory is {node.mtime}"
        if entry.path in self._holders or _master(item) in self._linked:
            return ""
        if entry.kind is not Kind.DIRECTORY and entry.mtime == self._epoch:
            return ""
        is_needless = is_like_the_base(item, self._items, node)
        return "says nothing that the base does not" if is_needless else ""

    def _changed_groups(self) -> set[bytes]:
        """Find the masters of those hardlinks of which one name is changed: all are needed."""
        masters = {
            item.entry.link for item in self._contents.items if item.entry.kind is Kind.HARDLINK
        }
        return {
            _master(item)
            for item in self._contents.items
            if _master(item) in masters and self._is_new(item, self._items)
        }

    def _is_new(self, item: Item, items: Mapping[bytes, Item]) -> bool:
        node = self._tree.get(item.entry.path)
        return node is None or not is_like_the_base(item, items, node)


def _master(item: Item) -> bytes:
    return item.entry.link if item.entry.kind is Kind.HARDLINK else item.entry.path
