"""The header bytes of the canonical form: ustar, with a PAX header only where ustar ends."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import adler32

from runcommit_core.errors import ArchiveError
from runcommit_core.tar.entry import NO_XATTRS
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runcommit_core.tar.reader import TarEntry

END: Final = bytes(1024)
"""The two zero blocks that end a layer."""

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s167x")
_MAGIC = b"ustar\00000"
_BLANK_SUM = b" " * 8
_NAME_SIZE = 100
_MAX_ID = 0o7777777
_MAX_LONG = 0o77777777777
_PRINTABLE = bytes(range(0x20, 0x7F))
_STAND_IN = bytes(byte if byte in _PRINTABLE else ord("?") for byte in range(256))
_FLAGS = {kind: kind.value.encode() for kind in Kind}
_REGULAR, _DIRECTORY = Kind.REGULAR, Kind.DIRECTORY


class Attributes(NamedTuple):
    """All that the canonical form records of a path but the path itself."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    link: bytes
    size: int
    major: int
    minor: int
    xattrs: Mapping[bytes, bytes]


MARKER: Final = Attributes(_REGULAR, 0, 0, 0, 0, b"", 0, 0, 0, NO_XATTRS)
"""What a whiteout has."""


def attributes_of(entry: TarEntry, xattrs: Mapping[bytes, bytes]) -> Attributes:
    """An entry as it is, but for the extended attributes."""
    return Attributes(
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime,
        entry.link,
        entry.size,
        entry.major,
        entry.minor,
        xattrs,
    )


def header(path: bytes, attributes: Attributes) -> bytes:
    """Build the header blocks of an entry, among them the ``x`` header if it needs one.

    Raises ArchiveError: a device number that no header can hold
    """
    kind, mode, uid, gid, mtime, link, size, major, minor, xattrs = attributes
    name = path + b"/" if kind is _DIRECTORY else path
    records = b""
    if (
        len(name) > _NAME_SIZE
        or name.translate(None, _PRINTABLE)
        or xattrs
        or not 0 <= mtime <= _MAX_LONG
        or uid > _MAX_ID
        or gid > _MAX_ID
        or size > _MAX_LONG
        or (link and _needs_record(link))
    ):
        records = _records(name, attributes)
        name, link = _stand_in(name), _stand_in(link)
        uid, gid = (number if number <= _MAX_ID else 0 for number in (uid, gid))
        size = size if size <= _MAX_LONG else 0
        mtime = mtime if 0 <= mtime <= _MAX_LONG else 0
    if major > _MAX_ID or minor > _MAX_ID:
        raise ArchiveError(f"{path!r}: no tar header can hold the device {major}:{minor}")
    block = _HEADER.pack(
        name,
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % gid,
        b"%011o\0" % size,
        b"%011o\0" % mtime,
        _BLANK_SUM,
        _FLAGS[kind],
        link,
        _MAGIC,
        b"%07o\0" % major,
        b"%07o\0" % minor,
    )
    return records + _with_sum(block)


def _needs_record(name: bytes) -> bool:
    return len(name) > _NAME_SIZE or bool(name.translate(None, _PRINTABLE))


def _stand_in(name: bytes) -> bytes:
    return name.translate(_STAND_IN)[:_NAME_SIZE]


def _with_sum(block: bytes) -> bytes:
    # adler32's low half is 1 + the sum of the bytes: exact below 65,521, as in 256 bytes.
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    return b"%b%06o\0 %b" % (block[:148], total, block[156:])


def _records(name: bytes, attributes: Attributes) -> bytes:
    values = {b"SCHILY.xattr." + key: value for key, value in attributes.xattrs.items()}
    if _needs_record(name):
        values[b"path"] = name
    if _needs_record(attributes.link):
        values[b"linkpath"] = attributes.link
    for key, number, limit in (
        (b"uid", attributes.uid, _MAX_ID),
        (b"gid", attributes.gid, _MAX_ID),
        (b"size", attributes.size, _MAX_LONG),
        (b"mtime", attributes.mtime, _MAX_LONG),
    ):
        if not 0 <= number <= limit:
            values[key] = b"%d" % number
    data = b"".join(_record(key, values[key]) for key in sorted(values))
    zero, long_zero = b"0000000\0", b"00000000000\0"
    block = _HEADER.pack(
        b"././@PaxHeader",
        b"0000644\0",
        zero,
        zero,
        b"%011o\0" % len(data),
        long_zero,
        _BLANK_SUM,
        b"x",
        b"",
        _MAGIC,
        zero,
        zero,
    )
    return _with_sum(block) + data + bytes(-len(data) & 511)


def _record(key: bytes, value: bytes) -> bytes:
    body = b" %b=%b\n" % (key, value)
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d%b" % (length, body)
