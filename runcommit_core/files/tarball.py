"""Selected files as a tar: owners, modes, times, links and attributes as the image has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.tar.entry import NO_XATTRS
from runcommit_core.tar.header import Attributes
from runcommit_core.tar.reader import Kind
from runcommit_core.tar.writer import LayerWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from runcommit_core.files.contents import Contents
    from runcommit_core.files.selection import Origin, Selected

_SYMLINK_MODE = 0o777


def write_tar(
    place: Path, selected: Iterable[Selected], names: Sequence[bytes], contents: Contents
) -> None:
    """Write what was selected; ``names`` has the first component for each asked path.

    The form of headers is that of layers, so equal trees give equal bytes.
    """
    masters: dict[Origin, bytes] = {}
    with place.open("wb") as output:
        writer = LayerWriter(output)
        for each in selected:
            name = b"/".join(filter(None, (names[each.root], each.below)))
            if not name:
                continue  # the root itself has no name
            attributes = _attributes(each)
            if attributes.kind is Kind.DIRECTORY or each.origin not in masters:
                masters[each.origin] = name
                content = contents.chunks(each.origin.sha256) if attributes.size else ()
                writer.add(name, attributes, content)
            else:
                writer.add(name, _hardlink(attributes, masters[each.origin]))
        writer.finish()


def _attributes(selected: Selected) -> Attributes:
    node = selected.node
    return Attributes(
        node.kind,
        _SYMLINK_MODE if node.kind is Kind.SYMLINK else node.mode,
        node.uid,
        node.gid,
        node.mtime,
        node.link if node.kind is Kind.SYMLINK else b"",
        node.size,
        node.major,
        node.minor,
        node.xattrs,
    )


def _hardlink(attributes: Attributes, master: bytes) -> Attributes:
    return attributes._replace(
        kind=Kind.HARDLINK, link=master, size=0, major=0, minor=0, xattrs=NO_XATTRS
    )
