"""Several layers as one: what is left of them when each has been put over those below it.

The merged tree says which paths are there, and which layer has the content of each.  So every layer
is read once, in order, and nothing is unpacked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, TypeVar

from runcommit_core.errors import ArchiveError
from runcommit_core.tar.entry import NO_XATTRS
from runcommit_core.tar.header import Attributes
from runcommit_core.tar.reader import Kind, TarReader
from runcommit_core.tar.writer import LayerWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.index.node import Node
    from runcommit_core.tar.digests import DiffId

T = TypeVar("T")

_Origin = tuple[int, bytes]


def write_merged(
    tree: BaseTree, layers: Sequence[Callable[[], AbstractContextManager[BinaryIO]]], to: BinaryIO
) -> tuple[DiffId, int]:
    """Write all that ``tree`` has, whose ``layers`` open as uncompressed tars; diff_id and size.

    Equal layers give equal bytes.
    """
    writer = LayerWriter(to)
    files: dict[_Origin, list[bytes]] = {}
    for path, node in _walk(tree, b""):
        if node.kind is Kind.REGULAR:
            files.setdefault(_found(tree.origin(path), path), []).append(path)
        else:
            writer.add(path, _attributes(node))
    for place, opened in enumerate(layers):
        with opened() as stream:
            _write_files(tree, place, stream, files, writer)
    return writer.finish(), writer.size


def _write_files(
    tree: BaseTree,
    place: int,
    stream: BinaryIO,
    files: dict[_Origin, list[bytes]],
    writer: LayerWriter,
) -> None:
    """Write the files whose content is in one layer, each with its further names behind it."""
    reader = TarReader(stream, name=f"layer {place}")
    for entry in reader:
        paths = files.pop((place, entry.path), ()) if entry.kind is Kind.REGULAR else ()
        if not paths:
            continue
        first, *others = paths
        node = _found(tree.get(first), first)
        attributes = _attributes(node)
        writer.add(first, attributes, reader.chunks() if node.size else ())
        link = attributes._replace(kind=Kind.HARDLINK, link=first, size=0, xattrs=NO_XATTRS)
        for path in others:
            writer.add(path, link)


def _walk(tree: BaseTree, below: bytes) -> Iterator[tuple[bytes, Node]]:
    pending = [below]
    while pending:
        directory = pending.pop()
        prefix = directory + b"/" if directory else b""
        for name in sorted(tree.children(directory)):
            node = _found(tree.get(prefix + name), prefix + name)
            yield prefix + name, node
            if node.kind is Kind.DIRECTORY:
                pending.append(prefix + name)


def _found(value: T | None, path: bytes) -> T:
    if value is None:
        raise ArchiveError(f"the base lists {path!r}, but has nothing there")
    return value


def _attributes(node: Node) -> Attributes:
    return Attributes(
        node.kind,
        node.mode,
        node.uid,
        node.gid,
        node.mtime,
        node.link,
        node.size,
        node.major,
        node.minor,
        node.xattrs,
    )
