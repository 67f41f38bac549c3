"""Changes as a tar, for whoever brings them into the canonical form elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.tar.header import MARKER, attributes_of
from runcommit_core.tar.whiteout import OPAQUE_NAME, whiteout_path
from runcommit_core.tar.writer import LayerWriter
from runcommit_core.tar.xattrs import kept_xattrs

if TYPE_CHECKING:
    from runcommit_core.layer.changes import Changes
    from runcommit_core.tar.digests import DiffId


def write_changes(changes: Changes, output: BinaryIO) -> DiffId:
    """Write changes as a raw layer; hardlinks must come after their masters."""
    writer = LayerWriter(output)
    for path in sorted(changes.opaques):
        writer.add(path + b"/" + OPAQUE_NAME, MARKER)
    for path in sorted(changes.whiteouts):
        writer.add(whiteout_path(path), MARKER)
    for path, entry in changes.entries.items():
        attributes = attributes_of(entry, kept_xattrs(entry.xattrs, user=True))
        writer.add(path, attributes, changes.content(entry) if entry.size else ())
    return writer.finish()
