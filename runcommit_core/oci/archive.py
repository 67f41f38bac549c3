"""The members of a tar archive by offset: one walk over the headers, nothing unpacked."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.compression import SNIFF_LENGTH, open_decompressed, sniff
from runcommit_core.oci.model import Compression, FileRegion
from runcommit_core.oci.regions import open_region
from runcommit_core.tar.reader import Kind, TarEntry, TarReader

if TYPE_CHECKING:
    from pathlib import Path

_MAX_LINKS = 8
# In a compressed archive a second look costs as much as the first, so the walk keeps the start of
# every member and the whole of small ones: those are the JSON documents.
_KEPT_HEAD = 512
_KEPT_WHOLE = 1024 * 1024
_KEPT_TOTAL = 64 * 1024 * 1024


@dataclass(slots=True)
class ArchiveMembers:
    """The regular files of an archive; links are resolved within it."""

    path: Path
    wrapped: Compression
    regions: dict[str, FileRegion] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The archive's path."""
        return str(self.path)

    def find(self, name: str) -> FileRegion | None:
        """See :meth:`Members.find`."""
        current = _plain(name)
        for _ in range(_MAX_LINKS):
            if current in self.regions:
                return self.regions[current]
            if current not in self.links:
                break
            current = self.links[current]
        else:
            raise ArchiveError(
                f"{self.path}: {name}: leads over more than {_MAX_LINKS} links", tip=_TIP
            )
        if current == _plain(name):
            return None
        raise ArchiveError(
            f"{self.path}: {name}: is a link to {current}, which the archive does not hold",
            tip=_TIP,
        )

    def read(self, region: FileRegion, size: int) -> bytes:
        """See :meth:`Members.read`."""
        wanted = min(size, region.size)
        kept = self.heads.get(region.offset, b"")
        if len(kept) >= wanted:
            return kept[:wanted]
        with open_region(region) as stream:
            return stream.read(wanted)


_TIP = "write the archive anew with the tool that made it"


def index_archive(path: Path) -> ArchiveMembers:
    """Walk the headers of a tar, plain or compressed as a whole, and note where its files are."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from error
    with stream:
        wrapped = sniff(stream.read(SNIFF_LENGTH))
        stream.seek(0)
        members = ArchiveMembers(path, wrapped)
        with open_decompressed(stream, wrapped, name=str(path)) as tar:
            _walk(tar, members)
    return members


def _walk(tar: BinaryIO, members: ArchiveMembers) -> None:
    budget = _KEPT_TOTAL
    reader = TarReader(tar, name=str(members.path))
    for entry in reader:
        name = _name(entry.path, members)
        if entry.segments is not None:
            raise ArchiveError(
                f"{members.path}: {name}: is a sparse file, which cannot be read in place",
                tip="write the archive without tar's --sparse",
            )
        if entry.kind is Kind.REGULAR:
            region = FileRegion(members.path, entry.data_offset, entry.size, members.wrapped)
            members.links.pop(name, None)
            members.regions[name] = region
            if members.wrapped is not Compression.NONE and budget > 0:
                kept = _start_of(reader, entry.size)
                budget -= len(kept)
                members.heads[region.offset] = kept
        elif entry.kind in (Kind.SYMLINK, Kind.HARDLINK):
            members.regions.pop(name, None)
            members.links[name] = _target(name, entry, members)


def _start_of(reader: TarReader, size: int) -> bytes:
    wanted = size if size <= _KEPT_WHOLE else _KEPT_HEAD
    kept = b""
    for chunk in reader.chunks():
        kept += chunk
        if len(kept) >= wanted:
            break
    return kept[:wanted]


def _target(name: str, entry: TarEntry, members: ArchiveMembers) -> str:
    link = _name(entry.link, members)
    if entry.kind is Kind.HARDLINK:
        return link
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def _name(path: bytes, members: ArchiveMembers) -> str:
    try:
        return _plain(path.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{members.path}: the member name {path!r} is not UTF-8") from error


def _plain(name: str) -> str:
    return posixpath.normpath(name)
