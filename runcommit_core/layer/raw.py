"""Changes as a tar, for whoever brings them into the canonical form elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.layer.header import Attributes
from runcommit_core.layer.whiteout import OPAQUE_NAME, whiteout_path
from runcommit_core.layer.write import LayerWriter
from runcommit_core.layer.xattrs import kept_xattrs
from runcommit_core.oci.tar import Kind
from runcommit_core.oci.tar_header import NO_XATTRS

if TYPE_CHECKING:
    from runcommit_core.layer.changes import Changes
    from runcommit_core.oci.model import DiffId

_MARKER = Attributes(Kind.REGULAR, 0, 0, 0, 0, b"", 0, 0, 0, NO_XATTRS)


def write_changes(changes: Changes, output: BinaryIO) -> DiffId:
    """Write changes as a raw layer; hardlinks must come after their masters."""
    writer = LayerWriter(output)
    for path in sorted(changes.opaques):
        writer.add(path + b"/" + OPAQUE_NAME, _MARKER)
    for path in sorted(changes.whiteouts):
        writer.add(whiteout_path(path), _MARKER)
    for path, entry in changes.entries.items():
        attributes = Attributes(
            entry.kind,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime,
            entry.link,
            entry.size,
            entry.major,
            entry.minor,
            kept_xattrs(entry.xattrs, user=True),
        )
        writer.add(path, attributes, changes.content(entry) if entry.size else ())
    return writer.finish()
