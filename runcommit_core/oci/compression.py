"""Compression of stored bytes: recognised by magic bytes, undone as a stream.

The formats: gzip (RFC 1952), zstd (RFC 8878), xz (https://tukaani.org/xz/xz-file-format.txt)
and bzip2. Each may be a series of members or frames, whose contents follow one another.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.model import Compression

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

SNIFF_LENGTH = 10
"""As many first bytes as :func:`sniff` looks at."""

# Every end of a member copies what is left of the chunk, so it must stay small: a layer of many
# small members (eStargz) would otherwise cost the square of its size.
_CHUNK = 64 * 1024
_BUFFER = 256 * 1024

_GZIP_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_XZ_MAGIC = b"\xfd7zXZ\x00"
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")


def sniff(head: bytes) -> Compression:
    """Tell the compression from the first :data:`SNIFF_LENGTH` bytes (fewer are fine)."""
    if head.startswith(_GZIP_MAGIC):
        return Compression.GZIP
    if head.startswith(_ZSTD_MAGIC) or _is_skippable_frame(head):
        return Compression.ZSTD
    if head.startswith(_XZ_MAGIC):
        return Compression.XZ
    if head.startswith(b"BZh") and head[4:10] in _BZIP2_BLOCKS:
        return Compression.BZIP2
    return Compression.NONE


def open_decompressed(stream: BinaryIO, compression: Compression, *, name: str = "") -> BinaryIO:
    """Read ``stream`` uncompressed; ``name`` is for messages and defaults to the stream's own.

    Closing the result closes ``stream``. Every member must be whole and pass its check sum, and
    nothing but zero padding may follow the last: otherwise reading raises ArchiveError.
    """
    if compression is Compression.NONE:
        return stream
    name = name or str(getattr(stream, "name", "") or "stream")
    raw = _Decompressed(stream, compression, name)
    return io.BufferedReader(raw, _BUFFER)


def _is_skippable_frame(head: bytes) -> bool:
    return head[1:4] == _ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50  # noqa: PLR2004 - RFC 8878, 3.1.2


class _Decompressor(Protocol):
    """What the standard library's bz2, lzma and zstd decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Decompressed(io.RawIOBase):
    """The contents of all members of a compressed stream, one after the other."""

    def __init__(self, stream: BinaryIO, compression: Compression, name: str) -> None:
        super().__init__()
        self._stream = stream
        self._compression = compression
        self.name = name
        self._new, self._errors = _decompressor(compression)
        self._member: _Decompressor | None = None
        self._pending = b""
        self._consumed = 0
        self._members = 0
        self._finished = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while not self._finished and view:
            if self._member is None and not self._open_member():
                break
            data = self._decompress(len(view))
            if data:
                view[: len(data)] = data
                return len(data)
        return 0

    def _decompress(self, limit: int) -> bytes:
        member = self._member
        if member is None:  # pragma: no cover - readinto has opened one
            return b""
        if member.needs_input and not self._pending:
            self._pending = self._read()
            if not self._pending:
                raise self._error("is truncated")
        feed, self._pending = self._pending, b""
        try:
            data = member.decompress(feed, limit)
        except self._errors as error:
            raise self._error(f"is corrupt: {error}") from error
        if member.eof:
            self._pending = member.unused_data
            self._member = None
        return data

    def _open_member(self) -> bool:
        """Start the next member; False at a proper end of the stream."""
        if not self._pending:
            self._pending = self._read()
        if self._members and not self._pending.strip(b"\0"):
            self._skip_padding()
            self._finished = True
            return False
        if self._members:
            self._refuse_junk()
        self._members += 1
        self._member = self._new()
        return True

    def _skip_padding(self) -> None:
        while self._pending:
            self._pending = self._read()
            if self._pending.strip(b"\0"):
                raise self._error("is followed by bytes that belong to no member")

    def _refuse_junk(self) -> None:
        while len(self._pending) < SNIFF_LENGTH and (more := self._read()):
            self._pending += more
        if sniff(self._pending) is not self._compression:
            raise self._error("is followed by bytes that belong to no member")

    def _read(self) -> bytes:
        data = self._stream.read(_CHUNK)
        self._consumed += len(data)
        return data

    def _error(self, what: str) -> ArchiveError:
        return ArchiveError(
            f"{self.name}: the {self._compression} data {what}"
            f" (at about byte {self._consumed - len(self._pending)} of the compressed bytes)",
            tip="fetch or build the file anew: it does not hold what its first bytes promise",
        )


class _ZlibGzip:
    """zlib's gzip reading behind the interface of the other decompressors."""

    def __init__(self) -> None:
        import zlib

        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max(max_length, 0))


def _decompressor(
    compression: Compression,
) -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    """How to make a decompressor for one member, and what it raises on corrupt data."""
    match compression:
        case Compression.GZIP:
            return _gzip()
        case Compression.ZSTD:
            return _zstd()
        case Compression.XZ:
            import lzma

            return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), (lzma.LZMAError,)
        case Compression.BZIP2:
            import bz2

            return bz2.BZ2Decompressor, (OSError, ValueError)
        case Compression.NONE:
            raise ValueError("uncompressed bytes need no decompressor")


def _gzip() -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    try:
        from isal import igzip_lib
    except ImportError:  # no wheel for this machine: zlib does the same, slower
        import zlib

        return _ZlibGzip, (zlib.error,)
    # isal's stub calls the class IsalError an instance of OSError.
    errors = cast("type[Exception]", igzip_lib.IsalError)
    return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), (errors,)


def _zstd() -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor, (zstd.ZstdError,)
