"""Reading the bytes of blobs and layers where they are, and believing them only when they match."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.compression import open_decompressed
from runcommit_core.oci.model import BaseLayer, Compression, FileRegion
from runcommit_core.tar.digests import DiffId, Digest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1024 * 1024
"""How many bytes to ask for when a whole blob is copied or hashed."""

_BUFFER = 256 * 1024


def open_region(region: FileRegion) -> BinaryIO:
    """Open exactly the bytes of ``region``; seekable unless the file is compressed as a whole.

    Reading raises ArchiveError where the file ends before the region does.
    """
    try:
        file = region.path.open("rb", buffering=0)
    except OSError as error:
        raise ArchiveError(f"{region.path}: cannot be read: {error.strerror}") from error
    if region.wrapped is Compression.NONE:
        file.seek(region.offset)
        return io.BufferedReader(_Slice(file, region), _BUFFER)
    whole = open_decompressed(file, region.wrapped, name=str(region.path))
    try:
        _skip(whole, region.offset, str(region.path))
    except BaseException:
        whole.close()
        raise
    return io.BufferedReader(_Slice(whole, region), _BUFFER)


def open_layer(layer: BaseLayer) -> BinaryIO:
    """Open the uncompressed tar of ``layer``; its hash is not checked (see :func:`verified`)."""
    if layer.region is None:
        raise ArchiveError(
            f"layer {layer.diff_id}: its bytes are in the engine alone",
            tip="save the image from the engine and give the archive as the base",
        )
    name = f"{layer.region.path}: layer {layer.digest}"
    return open_decompressed(open_region(layer.region), layer.compression, name=name)


def verified(
    stream: BinaryIO, digest: Digest | DiffId, size: int | None = None, *, name: str = ""
) -> BinaryIO:
    """Wrap ``stream`` in a reader that raises ArchiveError at its end unless digest and size match.

    More than ``size`` bytes raise at once. Only a reader that reads to the end has the assurance.
    Closing the result closes ``stream``.
    """
    return io.BufferedReader(_Verified(stream, digest, size, name or digest), _BUFFER)


def digest_of(stream: BinaryIO) -> tuple[Digest, int]:
    """Read ``stream`` to its end; return the sha256 and the number of its bytes."""
    hasher = hashlib.sha256()
    size = 0
    while chunk := stream.read(CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    return Digest(f"sha256:{hasher.hexdigest()}"), size


def digest_of_bytes(data: bytes) -> Digest:
    """Compute the sha256 of ``data``."""
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def _skip(stream: BinaryIO, count: int, name: str) -> None:
    left = count
    while left:
        chunk = stream.read(min(left, CHUNK))
        if not chunk:
            raise ArchiveError(f"{name}: ends at byte {count - left}, before byte {count}")
        left -= len(chunk)


class _Slice(io.RawIOBase):
    """``region.size`` bytes of a file that stands at the region's start."""

    def __init__(self, file: io.RawIOBase | io.FileIO | BinaryIO, region: FileRegion) -> None:
        super().__init__()
        self._file = file
        self._region = region
        self._position = 0
        self.name = str(region.path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._region.wrapped is Compression.NONE

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if not self.seekable():
            raise io.UnsupportedOperation("the archive is compressed as a whole")
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._region.size}
        position = start[whence] + offset
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._file.seek(self._region.offset + position)
        self._position = position
        return position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        left = max(self._region.size - self._position, 0)
        if not left or not view:
            return 0
        count = self._file.readinto(view[:left])  # type: ignore[union-attr]
        if not count:
            raise ArchiveError(
                f"{self._region.path}: ends at byte {self._region.offset + self._position},"
                f" before byte {self._region.offset + self._region.size}",
                tip="is the file still being written?",
            )
        self._position += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Verified(io.RawIOBase):
    """Hash what passes; compare at the end."""

    def __init__(self, stream: BinaryIO, digest: str, size: int | None, name: str) -> None:
        super().__init__()
        self._stream = stream
        self._digest = digest
        self._size = size
        self._hasher = hashlib.sha256()
        self._count = 0
        self.name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        data = self._stream.read(len(view))
        if not data:
            self._compare()
            return 0
        self._count += len(data)
        if self._size is not None and self._count > self._size:
            raise ArchiveError(f"{self.name}: holds more than the {self._size} bytes it should")
        self._hasher.update(data)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()

    def _compare(self) -> None:
        if self._size is not None and self._count != self._size:
            raise ArchiveError(f"{self.name}: holds {self._count} bytes instead of {self._size}")
        actual = f"sha256:{self._hasher.hexdigest()}"
        if actual != self._digest:
            raise ArchiveError(
                f"{self.name}: the bytes have the digest {actual} instead of {self._digest}",
                tip="the blob is damaged or bears a wrong name: fetch or build the image anew",
            )
