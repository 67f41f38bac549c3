"""What an engine says has changed: one raw layer, from a tar or from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.losses import socket_warning
from runcommit_core.layer.wording import printable
from runcommit_core.tar.reader import Kind, TarEntry, TarReader
from runcommit_core.tar.sparse import expanded
from runcommit_core.tar.whiteout import Marker, split_marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

_CHUNK = 1 << 20


class Changes(Protocol):
    """One raw layer; whatever can say this much can be brought into the canonical form.

    ``entries`` maps paths to what is there now; the ``link`` of a hardlink is a path in the same
    or in an earlier layer.  ``whiteouts`` are the deleted paths themselves, ``opaques`` the
    directories whose lower content is hidden; both act before the entries.  ``warnings`` tells
    what could not be represented (sockets).
    """

    @property
    def name(self) -> str:
        """Name the layer in messages."""
        ...

    @property
    def entries(self) -> Mapping[bytes, TarEntry]:
        """Map paths to entries, in any order."""
        ...

    @property
    def whiteouts(self) -> AbstractSet[bytes]:
        """Give the paths deleted."""
        ...

    @property
    def opaques(self) -> AbstractSet[bytes]:
        """Give the directories that start empty."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Tell what was dropped on the way."""
        ...

    def content(self, entry: TarEntry) -> Iterator[bytes]:
        """Read a regular file's ``entry.size`` bytes; any number of times, one file at a time."""
        ...


class Sockets:
    """What a command put at these paths is nothing, but hides what the base has there."""

    def __init__(self, paths: Sequence[bytes]) -> None:
        self.name = "the sockets in the container"
        self.entries: dict[bytes, TarEntry] = {}
        self.whiteouts = frozenset(paths)
        self.opaques: frozenset[bytes] = frozenset()
        self.warnings = [socket_warning(path) for path in paths]

    def content(self, entry: TarEntry) -> Iterator[bytes]:
        """Nothing: there are no entries."""
        raise NotImplementedError(entry.path)


class TarChanges:
    """A raw layer as an uncompressed, seekable tar; its headers are read at once.

    ``markers`` are the entries that deletions were told by.

    Raises ArchiveError: the tar is malformed, or names a whiteout of nothing
    """

    def __init__(self, open_tar: Callable[[], BinaryIO], *, name: str) -> None:
        self.name = name
        self.entries: dict[bytes, TarEntry] = {}
        self.whiteouts: set[bytes] = set()
        self.opaques: set[bytes] = set()
        self.markers: list[TarEntry] = []
        self.warnings: list[str] = []
        self._file = open_tar()
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the tar."""
        self._file.close()

    def content(self, entry: TarEntry) -> Iterator[bytes]:
        """Read a regular file's content by its offset."""
        stored = self._stored(entry)
        if entry.segments is None:
            return stored
        return expanded(entry.segments, entry.size, stored)

    def _stored(self, entry: TarEntry) -> Iterator[bytes]:
        self._file.seek(entry.data_offset)
        missing = entry.stored_size
        while missing:
            chunk = self._file.read(min(missing, _CHUNK))
            if not chunk:
                raise ArchiveError(f"{self.name}: {entry.path!r}: truncated content")
            missing -= len(chunk)
            yield chunk

    def _read(self) -> None:
        entries = self.entries
        count = 0
        for entry in TarReader(self._file, name=self.name):
            path = entry.path
            if (b".wh." in path and self._is_marker(entry)) or not path:
                continue
            entries[path] = entry
            count += 1
            if len(entries) != count:
                self.warnings.append(f"{self.name}: {path!r} is there twice; the last one counts")
                count = len(entries)
            if entry.kind is Kind.CHARACTER and entry.major == entry.minor == 0:
                raise ArchiveError(
                    f"{self.name}: {printable(path)} is a character device 0:0, which stands for a"
                    " deleted file on overlay file systems",
                    tip="remove the device in the command",
                )

    def _is_marker(self, entry: TarEntry) -> bool:
        try:
            marker, target = split_marker(entry.path)
        except ValueError as error:
            raise ArchiveError(f"{self.name}: {error}") from None
        if marker is Marker.WHITEOUT:
            self.whiteouts.add(target)
        elif marker is Marker.OPAQUE:
            self.opaques.add(target)
        if marker is not Marker.NONE:
            self.markers.append(entry)
        return marker is not Marker.NONE
