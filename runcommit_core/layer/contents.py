"""A layer tar as a list: every entry with the hash of its content and its place in the tar."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.compression import SNIFF_LENGTH, open_decompressed, sniff
from runcommit_core.oci.inspect import last_layer
from runcommit_core.oci.references import parse_reference
from runcommit_core.oci.regions import CHUNK, open_layer, verified
from runcommit_core.tar.digests import DiffId
from runcommit_core.tar.reader import Kind, TarEntry, TarReader

if TYPE_CHECKING:
    from pathlib import Path


class Item(NamedTuple):
    """One entry of a layer.

    ``sha256`` is that of a regular file's content in hex, else empty; ``offset`` is where the
    entry's headers begin in the uncompressed tar.
    """

    entry: TarEntry
    sha256: str
    offset: int


@dataclass(frozen=True, slots=True)
class Contents:
    """A whole layer: ``items`` in the order of the tar, ``size`` of the uncompressed tar."""

    name: str
    diff_id: DiffId
    size: int
    items: tuple[Item, ...]


def open_layer_tar(reference: str) -> BinaryIO:
    """Open the uncompressed tar of a layer: of a tar file, or the topmost one of an image.

    A path of a file is a layer, compressed or not; a directory, or whatever has a prefix
    (``oci:``, ``oci-archive:``, ``docker-archive:``), is an image.

    Raises ArchiveError: there is no such file or image, or it has no layer
    """
    where = parse_reference(reference)
    if where.kind is None and where.path.is_file():
        return _open_file(where.path)
    _, layer = last_layer(reference)
    return verified(open_layer(layer), layer.diff_id)


def read_contents(reference: str) -> Contents:
    """Read a whole layer, named as for :func:`open_layer_tar`.

    Raises ArchiveError: it is not there, or no tar
    """
    items = []
    with open_layer_tar(reference) as stream:
        hashed = _Hashed(stream)
        reader = TarReader(cast("BinaryIO", hashed), name=reference)
        offset = 0
        for entry in reader:
            items.append(Item(entry, _content_sha256(reader, entry), offset))
            offset = entry.end
        while hashed.read(CHUNK):
            pass
    return Contents(reference, hashed.diff_id(), hashed.size, tuple(items))


def _open_file(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from error
    compression = sniff(file.peek(SNIFF_LENGTH))
    return open_decompressed(file, compression, name=str(path))


def _content_sha256(reader: TarReader, entry: TarEntry) -> str:
    if entry.kind is not Kind.REGULAR:
        return ""
    content = hashlib.sha256()
    for chunk in reader.chunks():
        content.update(chunk)
    return content.hexdigest()


class _Hashed(io.RawIOBase):
    """Hashes and counts what is read; it cannot seek, so nothing is left out."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def diff_id(self) -> DiffId:
        return DiffId(f"sha256:{self._hash.hexdigest()}")
