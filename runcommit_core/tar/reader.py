"""A strict, streaming tar reader for layers and image archives.

``tarfile`` hides damage (a bad checksum in the middle ends its iteration silently), so this
reader knows the few forms that image tools write (v7, ustar, GNU long names, PAX) and takes
everything else for an error: what Go's ``archive/tar`` rejects is rejected here, with the
archive's name, the byte offset of the header and the reason; ``docs/reference/base-layers.md``
tells what is accepted, as engines do.

Paths are bytes without a leading ``./``, a trailing ``/``, empty or ``.`` components.  The root
directory itself (``./``) is yielded with the path ``b""``; most callers skip it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO, Final
from zlib import adler32

from runcommit_core.errors import ArchiveError
from runcommit_core.tar.entry import (
    KINDS,
    NO_XATTRS,
    Kind,
    MalformedError,
    Meta,
    TarEntry,
    entry_path,
    link_target,
    old_prefix,
    parse_number,
    unknown_flag,
)
from runcommit_core.tar.sparse import expanded, read_sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.tar.entry import Segment

__all__ = ["BLOCK", "Kind", "TarEntry", "TarReader"]

BLOCK: Final = 512
MAX_EXTENDED_HEADER: Final = 1 << 20
MAX_ENTRIES: Final = 10_000_000

_ZERO_BLOCK = bytes(BLOCK)
_BUFFER_SIZE = 1 << 17
_HEADER = struct.Struct("100s24s12s12s8xc100s8s64x16s155s8x4s")
_MAX_KNOWN = 4096
_META_FLAGS = b"xgLK"
_REGULAR = Kind.REGULAR
_LINKS = frozenset((Kind.HARDLINK, Kind.SYMLINK))
_DEVICES = frozenset((Kind.CHARACTER, Kind.BLOCK))


class TarReader:
    """Iterate once over the entries of a tar; ``chunks()`` reads the current entry's content.

    ``stream`` need not be seekable; content that is not asked for is sought over where it is and
    read where it is not.  The stream is consumed to its end, so a hash taken of it is complete.
    A tar that ends without its two zero blocks, or without the padding of its last entry, is
    accepted, and whatever follows the two zero blocks is ignored, as Go does.

    Raises ArchiveError: at the first violation, with ``name`` and the header's byte offset
    """

    def __init__(self, stream: BinaryIO, *, name: str) -> None:
        self.name = name
        self._stream = stream
        self._seekable = stream.seekable()
        self._start = stream.tell() if self._seekable else 0
        self._buffer = b""
        self._position = 0  # in the buffer
        self._base = 0  # offset of the buffer in the tar
        self._remaining = 0  # unread content of the current entry
        self._padding = 0
        self._size = 0
        self._segments: tuple[Segment, ...] | None = None
        self._known: dict[bytes, tuple[int, ...]] = {}

    def __iter__(self) -> Iterator[TarEntry]:
        count = 0
        while (header := self._header()) is not None:
            offset = self._base + self._position - BLOCK
            try:
                entry = self._entry(header)
            except MalformedError as error:
                raise self._error(offset, str(error)) from None
            if entry is None:
                return
            count += 1
            if count > MAX_ENTRIES:
                raise self._error(offset, f"more than {MAX_ENTRIES} entries")
            size = self._size = entry.size
            self._segments = entry.segments
            if self._segments is not None:
                size = entry.stored_size
            self._remaining = size
            self._padding = -size & 511
            yield entry
            if self._remaining or self._padding:
                self._skip(self._remaining, self._padding)

    def chunks(self) -> Iterator[bytes]:
        """Yield what is left of the current entry's content, in pieces of at most 128 KiB.

        A sparse file is whole, with its zeros; of one the content cannot be read in two goes.
        """
        if self._segments is None:
            return self._stored()
        return expanded(self._segments, self._size, self._stored())

    def _stored(self) -> Iterator[bytes]:
        while self._remaining:
            if self._position == len(self._buffer):
                self._refill("content")
            start = self._position
            chunk = self._buffer[start : start + self._remaining]
            self._position = start + len(chunk)
            self._remaining -= len(chunk)
            yield chunk

    def _error(self, offset: int, reason: str) -> ArchiveError:
        return ArchiveError(f"{self.name}: byte {offset}: {reason}")

    def _refill(self, what: str) -> None:
        if not self._next_buffer():
            raise self._error(self._base, f"truncated {what}")

    def _next_buffer(self) -> bytes:
        self._base += len(self._buffer)
        self._position = 0
        self._buffer = self._stream.read(_BUFFER_SIZE)
        return self._buffer

    def _skip(self, count: int, padding: int) -> None:
        """Skip content, which must be there, and its padding, which a tar may end without."""
        position = self._position + count + padding
        if position > len(self._buffer):
            position = self._skip_beyond(position, padding)
        self._position = position
        self._remaining = 0

    def _skip_beyond(self, position: int, padding: int) -> int:
        """Leave the buffer; the last byte of content is read, since seeking tells no truncation."""
        content = position - padding
        if self._seekable and content - len(self._buffer) > _BUFFER_SIZE:
            target = self._base + content - 1
            self._stream.seek(self._start + target)
            self._base, self._buffer = target, b""
            position = 1 + padding
        while position > len(self._buffer):
            position -= len(self._buffer)
            if not self._next_buffer():
                if position > padding:
                    raise self._error(self._base, "truncated content")
                return 0
        return position

    def _take(self, size: int) -> bytes:
        """Read ``size`` bytes of an extended header, and past their padding."""
        pieces = []
        missing = size
        while missing:
            if self._position == len(self._buffer):
                self._refill("extended header")
            piece = self._buffer[self._position : self._position + missing]
            self._position += len(piece)
            missing -= len(piece)
            pieces.append(piece)
        self._skip(0, -size & 511)
        return b"".join(pieces)

    def _block(self) -> bytes:
        """Read the next 512 bytes; empty at the end of the stream."""
        start = self._position
        block = self._buffer[start : start + BLOCK]
        self._position = start + len(block)
        while len(block) < BLOCK:
            self._base += len(self._buffer)
            self._buffer = self._stream.read(_BUFFER_SIZE)
            self._position = min(BLOCK - len(block), len(self._buffer))
            if not self._buffer:
                if block:
                    raise self._error(self._base - len(block), "truncated header")
                return b""
            block += self._buffer[: self._position]
        return block

    def _header(self) -> bytes | None:
        block = self._block()
        if block and block != _ZERO_BLOCK:
            return block
        if block:
            self._check_end()
        return None

    def _check_end(self) -> None:
        """Read to the end of the stream; after one zero block there must be another, or nothing."""
        block = self._block()
        if block and block != _ZERO_BLOCK:
            offset = self._base + self._position - BLOCK
            raise self._error(offset, "a header after a zero block, which ends a tar")
        while self._next_buffer():
            pass

    def _entry(self, block: bytes) -> TarEntry | None:
        flag = block[156:157]
        if flag in _META_FLAGS:
            return self._entry_after_meta(block)
        self._check(block)
        return self._plain(block, None)

    def _entry_after_meta(self, block: bytes) -> TarEntry | None:
        """None if the tar ends after extended headers, as that of an empty git tree does."""
        meta = Meta()
        while (flag := block[156:157]) in _META_FLAGS:
            self._check(block)
            size = parse_number(block[124:136])
            if not 0 <= size <= MAX_EXTENDED_HEADER:
                raise MalformedError(f"extended header of {size} bytes, above 1 MiB")
            meta.add(flag, self._take(size))
            following = self._header()
            if following is None:
                return None
            block = following
        self._check(block)
        return self._plain(block, meta if meta.seen else None)

    def _check(self, block: bytes) -> None:
        # adler32's low half is 1 + the sum of the bytes: exact below 65,521, as in 256 bytes.
        total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
        field = block[148:156]
        unsigned = total - sum(field) + 256
        if field == b"%06o\0 " % unsigned:
            return
        stored = parse_number(field)
        if stored != unsigned:
            # Old writers summed signed characters; Go and GNU tar accept both.
            signed = unsigned - 256 * sum(byte >> 7 for byte in block[:148] + block[156:])
            if stored != signed:
                raise MalformedError(f"header checksum is {stored:o}, expected {unsigned:o}")

    def _numbers(self, fields: bytes) -> tuple[int, ...]:
        """Parse adjacent fields of 8 bytes; few combinations occur, so they are remembered."""
        numbers = self._known.get(fields)
        if numbers is None:
            parts = (fields[at : at + 8] for at in range(0, len(fields), 8))
            numbers = tuple(map(parse_number, parts))
            if len(self._known) < _MAX_KNOWN:
                self._known[fields] = numbers
        return numbers

    def _plain(self, block: bytes, meta: Meta | None) -> TarEntry:
        (name, ids, size_field, mtime_field, flag, link, magic, devices, prefix, trailer) = (
            _HEADER.unpack(block)
        )
        name = name.partition(b"\0")[0]
        link = link.partition(b"\0")[0] if link[:1] != b"\0" else b""
        mode, uid, gid = self._numbers(ids)
        size, mtime = parse_number(size_field), parse_number(mtime_field)
        device: tuple[int, ...] = (0, 0)
        if magic[:6] == b"ustar\0":
            device = self._numbers(devices)
            if prefix[:1] != b"\0":
                prefix = prefix[:131] if trailer == b"tar\0" else prefix
                name = prefix.partition(b"\0")[0] + b"/" + name
        elif magic == b"ustar  \0":
            device = self._numbers(devices)
            if prefix[:1] != b"\0" or prefix[12:13] != b"\0":
                name = old_prefix(prefix) + name
        kind = KINDS.get(flag)
        if kind is None:
            raise MalformedError(unknown_flag(flag))
        xattrs = NO_XATTRS
        segments = None
        if meta is not None:
            name = meta.name(name, b"path", meta.long_name)
            link = meta.name(link, b"linkpath", meta.long_link)
            uid, gid = meta.number(b"uid", uid), meta.number(b"gid", gid)
            size, mtime = meta.number(b"size", size), meta.mtime(mtime)
            if meta.records:
                xattrs = meta.xattrs()
                name, size, segments = self._sparse(meta, name, size, kind)
        if uid < 0 or gid < 0 or size < 0:
            raise MalformedError("negative size, uid or gid")
        if flag == b"\0" and name.endswith(b"/"):
            kind = Kind.DIRECTORY
        return TarEntry(
            entry_path(name, kind),
            kind,
            mode & 0o7777,
            uid,
            gid,
            mtime,
            link_target(link, kind) if kind in _LINKS else b"",
            size if kind is _REGULAR else 0,
            device[0] if kind in _DEVICES else 0,
            device[1] if kind in _DEVICES else 0,
            xattrs,
            self._base + self._position,
            segments,
        )

    def _sparse(
        self, meta: Meta, name: bytes, size: int, kind: Kind
    ) -> tuple[bytes, int, tuple[Segment, ...] | None]:
        """Name, size and segments as a sparse file has them, whose map is read in passing."""
        sparse = read_sparse(meta.records, size, self._block_of_a_map)
        if sparse is None:
            return name, size, None
        if kind is not _REGULAR:
            raise MalformedError("a sparse file that is no file")
        return sparse.name or name, sparse.size, sparse.segments

    def _block_of_a_map(self) -> bytes:
        block = self._block()
        if not block:
            raise MalformedError("truncated map of a sparse file")
        return block
