"""The names by which a layer deletes: whiteouts and opaque markers.

https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
"""

from __future__ import annotations

import enum
from typing import Final

PREFIX: Final = b".wh."
OPAQUE_NAME: Final = b".wh..wh..opq"

_METADATA_PREFIX = b".wh..wh."


class Marker(enum.Enum):
    """What a name in a layer tar means."""

    NONE = enum.auto()
    WHITEOUT = enum.auto()
    OPAQUE = enum.auto()
    METADATA = enum.auto()


def split_marker(path: bytes) -> tuple[Marker, bytes]:
    """Tell what ``path`` marks: a deleted path, a directory emptied of lower content, or nothing.

    ``METADATA`` are other names of AUFS, which readers skip, with all below them.

    Raises ValueError: a whiteout without a name, of ``.`` or ``..``, or with something below it
    """
    components = path.split(b"/")
    if any(component.startswith(_METADATA_PREFIX) for component in components[:-1]):
        return Marker.METADATA, path
    parent, name = components[:-1], components[-1]
    if any(component.startswith(PREFIX) for component in parent):
        raise ValueError(f"a path below a whiteout: {path!r}")
    if not name.startswith(PREFIX):
        return Marker.NONE, path
    if name == OPAQUE_NAME:
        return Marker.OPAQUE, b"/".join(parent)
    if name.startswith(_METADATA_PREFIX):
        return Marker.METADATA, path
    target = name[len(PREFIX) :]
    if target in (b"", b".", b".."):
        raise ValueError(f"a whiteout of nothing: {path!r}")
    return Marker.WHITEOUT, b"/".join([*parent, target])


def whiteout_path(path: bytes) -> bytes:
    """Name the whiteout that deletes ``path``."""
    parent, slash, name = path.rpartition(b"/")
    return parent + slash + PREFIX + name
