"""Is a tar in the canonical form?  Told by writing what it says once more and comparing."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

from runcommit_core.errors import ArchiveError
from runcommit_core.tar.entry import NO_XATTRS
from runcommit_core.tar.header import END, MARKER, Attributes, attributes_of, header
from runcommit_core.tar.order import entry_key, whiteout_key
from runcommit_core.tar.reader import Kind, TarEntry, TarReader
from runcommit_core.tar.whiteout import Marker, split_marker
from runcommit_core.tar.xattrs import kept_xattrs


def validate_form(stream: BinaryIO, *, name: str = "layer") -> None:
    """Check that an uncompressed tar is in the canonical form, version 1, to its last byte.

    What only the base could tell (times, needless entries) is not checked.

    Raises ArchiveError: the first violation, with the byte offset
    """
    recorded = _Recorded(stream)
    form = _Form()
    at = 0
    reader = TarReader(cast("BinaryIO", recorded), name=name)
    for entry in reader:
        try:
            attributes = form.check(entry)
        except ValueError as error:
            raise ArchiveError(f"{name}: byte {at}: {entry.path!r}: {error}") from None
        if recorded.take(entry.data_offset - at) != header(entry.path, attributes):
            raise ArchiveError(f"{name}: byte {at}: {entry.path!r}: the header is not canonical")
        for chunk in reader.chunks():
            recorded.take(len(chunk))
        padding = -entry.size & 511
        if recorded.take(padding).strip(b"\0"):
            raise ArchiveError(f"{name}: byte {at}: {entry.path!r}: padded with other than zeros")
        at = entry.data_offset + entry.size + padding
    if recorded.take(len(END) + 1) != END:
        raise ArchiveError(f"{name}: byte {at}: the tar does not end with exactly two zero blocks")


class _Recorded(io.RawIOBase):
    """Keeps what a reader reads until it is taken."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._kept = bytearray()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._kept += data
        return data

    def take(self, count: int) -> bytes:
        while len(self._kept) < count and self.read(count - len(self._kept)):
            pass
        taken = bytes(self._kept[:count])
        del self._kept[:count]
        return taken


class _Form:
    """What must hold between entries: order, ancestors, hardlinks and their masters."""

    def __init__(self) -> None:
        self._key = b""
        self._kinds: dict[bytes, Attributes] = {}
        self._deleted: set[bytes] = set()

    def check(self, entry: TarEntry) -> Attributes:
        """Give the attributes that the entry's header must say; ValueError if none can be right."""
        path = entry.path
        marker, target = split_marker(path)
        if marker not in (Marker.NONE, Marker.WHITEOUT):
            raise ValueError("opaque markers and AUFS metadata are not canonical")
        is_whiteout = marker is Marker.WHITEOUT
        key = whiteout_key(target) if is_whiteout else entry_key(path)
        if key <= self._key:
            raise ValueError("out of order, twice there, or the root")
        self._key = key
        self._check_parent(path)
        if is_whiteout:
            self._deleted.add(target)
            return MARKER
        if path in self._deleted:
            raise ValueError("deleted and there at once")
        attributes = self._kinds[path] = self._attributes(entry)
        return attributes

    def _check_parent(self, path: bytes) -> None:
        parent = path.rpartition(b"/")[0]
        if parent and (parent not in self._kinds or self._kinds[parent].kind is not Kind.DIRECTORY):
            raise ValueError(f"its directory {parent!r} is not in the layer")

    def _attributes(self, entry: TarEntry) -> Attributes:
        own = attributes_of(entry, kept_xattrs(entry.xattrs, user=True))
        if entry.kind is Kind.SYMLINK:
            own = own._replace(mode=0o777)
        if entry.kind is not Kind.HARDLINK:
            return own
        master = self._kinds.get(entry.link)
        if master is None or master.kind in (Kind.DIRECTORY, Kind.HARDLINK):
            raise ValueError(f"a hardlink to {entry.link!r}, which is no file before it")
        return own._replace(
            mode=master.mode, uid=master.uid, gid=master.gid, mtime=master.mtime, xattrs=NO_XATTRS
        )
