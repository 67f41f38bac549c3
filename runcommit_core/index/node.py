"""A path of the base: its attributes, and their packed form in the index."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from runcommit_core.tar.entry import NO_XATTRS
from runcommit_core.tar.reader import Kind, TarEntry
from runcommit_core.tar.xattrs import kept_xattrs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Node(NamedTuple):
    """What the merged base has at a path.

    ``sha256`` is the raw digest of a regular file's content, else empty.  ``xattrs`` are those
    that any policy keeps.  ``group`` is the path of the entry that this one is a hardlink to,
    empty for all others; the attributes of a hardlink are already those of that entry.  An
    ``implied`` directory has its attributes from a layer above which another, that does not list
    it, has something below it: overlay engines show it as root's with the mode 0755.
    """

    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    link: bytes
    size: int
    major: int
    minor: int
    sha256: bytes
    xattrs: Mapping[bytes, bytes]
    group: bytes
    implied: bool = False


IMPLIED_DIRECTORY: Final = Node(Kind.DIRECTORY, 0o755, 0, 0, 0, b"", 0, 0, 0, b"", NO_XATTRS, b"")
"""A directory that no layer lists, though something lies below it; also the root."""

_PACKED = struct.Struct(">BHqqqqqqBHHI")
_PAIR = struct.Struct(">HI")
_KIND_OF_CODE = {ord(kind.value): kind for kind in Kind}
_CODE_OF_KIND = {kind: code for code, kind in _KIND_OF_CODE.items()}


def pack_entry(entry: TarEntry, sha256: bytes) -> bytes:
    """Pack a tar entry as a node; a hardlink still bears the path of its target as ``link``."""
    xattrs = b""
    if entry.xattrs:
        xattrs = _pack_xattrs(kept_xattrs(entry.xattrs, user=True))
    link = entry.link
    return (
        _PACKED.pack(
            _CODE_OF_KIND[entry.kind],
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime,
            entry.size,
            entry.major,
            entry.minor,
            len(sha256),
            len(link),
            0,
            len(xattrs),
        )
        + sha256
        + link
        + xattrs
    )


def with_group(packed: bytes, group: bytes) -> bytes:
    """Pack a hardlink to the node ``packed``, which has the path ``group``.

    A hardlink to a hardlink keeps the group of the first.
    """
    *head, group_size, xattrs_size = _PACKED.unpack_from(packed)
    if group_size:
        return packed
    end = len(packed) - xattrs_size
    body = packed[_PACKED.size : end] + group + packed[end:]
    return _PACKED.pack(*head, len(group), xattrs_size) + body


def with_attributes(packed: bytes, mode: int, uid: int, gid: int, mtime: int) -> bytes:
    """Give a packed node what the header of a later hardlink to it says.

    A symlink keeps its mode and its time, as engines set neither.
    """
    code, old_mode, _, _, old_mtime, *rest = _PACKED.unpack_from(packed)
    if _KIND_OF_CODE[code] is Kind.SYMLINK:
        mode, mtime = old_mode, old_mtime
    head = _PACKED.pack(code, mode, uid, gid, mtime, *rest)
    return head + packed[_PACKED.size :]


def group_of(packed: bytes) -> bytes:
    """The group of a packed node, without the rest of it."""
    *_, sha256_size, link_size, group_size, _ = _PACKED.unpack_from(packed)
    at = _PACKED.size + sha256_size + link_size
    return packed[at : at + group_size]


def unpack(packed: bytes) -> Node:
    """Read what :func:`pack_entry` and :func:`with_group` wrote."""
    (code, mode, uid, gid, mtime, size, major, minor, sha256_size, *sizes) = _PACKED.unpack_from(
        packed
    )
    link_size, group_size, _ = sizes
    link_at = _PACKED.size + sha256_size
    group_at = link_at + link_size
    xattrs_at = group_at + group_size
    return Node(
        _KIND_OF_CODE[code],
        mode,
        uid,
        gid,
        mtime,
        packed[link_at:group_at],
        size,
        major,
        minor,
        packed[_PACKED.size : link_at],
        _unpack_xattrs(packed, xattrs_at) if xattrs_at < len(packed) else NO_XATTRS,
        packed[group_at:xattrs_at],
    )


def is_directory(packed: bytes) -> bool:
    """Tell whether a packed node is a directory."""
    return packed[0] == _CODE_OF_KIND[Kind.DIRECTORY]


def _pack_xattrs(xattrs: Mapping[bytes, bytes]) -> bytes:
    pairs = (_PAIR.pack(len(name), len(value)) + name + value for name, value in xattrs.items())
    return b"".join(pairs)


def _unpack_xattrs(packed: bytes, position: int) -> dict[bytes, bytes]:
    xattrs = {}
    while position < len(packed):
        name_size, value_size = _PAIR.unpack_from(packed, position)
        value_at = position + _PAIR.size + name_size
        position = value_at + value_size
        xattrs[packed[value_at - name_size : value_at]] = packed[value_at:position]
    return xattrs
