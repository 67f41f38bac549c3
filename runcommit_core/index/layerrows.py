"""From a layer's tar to the rows of its index, in memory that does not grow with the layer.

Entries come in any order, so they pass through a temporary table; sorted, they get the rows of
directories that the tar implies without listing them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError
from runcommit_core.index.layerfile import IMPLIED, OPAQUE, WHITEOUT, key_of, write_rows
from runcommit_core.index.node import is_directory, pack_entry, with_group
from runcommit_core.tar.reader import Kind, TarEntry, TarReader
from runcommit_core.tar.whiteout import Marker, split_marker

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from runcommit_core.tar.digests import DiffId

_BATCH = 2000
_EMPTY_SHA256 = hashlib.sha256().digest()
# A repeated path: the last entry wins, markers add up.
_STAGE = """
INSERT INTO temp.staged VALUES(?, ?, ?) ON CONFLICT(key) DO UPDATE SET
  flags = flags | excluded.flags, packed = iif(excluded.packed = x'', packed, excluded.packed)
"""


class LayerRows:
    """The rows of one layer, staged in a temporary table of the connection to its index."""

    def __init__(self, connection: sqlite3.Connection, *, name: str) -> None:
        self._connection = connection
        self._name = name
        self._batch: list[tuple[bytes, int, bytes]] = []
        connection.execute(
            "CREATE TEMP TABLE staged(key BLOB PRIMARY KEY, flags INT, packed BLOB) WITHOUT ROWID"
        )

    def read(self, stream: BinaryIO) -> None:
        """Stage every entry of an uncompressed tar, to its very end."""
        reader = TarReader(stream, name=self._name)
        append = self._batch.append
        regular, hardlink = Kind.REGULAR, Kind.HARDLINK
        for entry in reader:
            path = entry.path
            if b".wh." in path and self._is_marker(path):
                continue
            if entry.kind is regular:
                append((path.replace(b"/", b"\0"), 0, pack_entry(entry, _sha256(reader, entry))))
            elif entry.kind is hardlink:
                append((key_of(path), 0, self._hardlink(entry)))
            elif path:
                append((key_of(path), 0, pack_entry(entry, b"")))
            if len(self._batch) >= _BATCH:
                self._flush()
        self._flush()

    def write(self, diff_id: DiffId) -> None:
        """Write the index proper: sorted, complete with implied directories."""
        write_rows(self._connection, diff_id, self._with_ancestors())
        self._connection.execute("DROP TABLE temp.staged")

    def _flush(self) -> None:
        self._connection.executemany(_STAGE, self._batch)
        self._batch.clear()

    def _is_marker(self, path: bytes) -> bool:
        try:
            marker, target = split_marker(path)
        except ValueError as error:
            raise ArchiveError(f"{self._name}: {error}") from None
        if marker is Marker.WHITEOUT:
            self._batch.append((key_of(target), WHITEOUT, b""))
        elif marker is Marker.OPAQUE:
            self._batch.append((key_of(target), OPAQUE, b""))
        return marker is not Marker.NONE

    def _hardlink(self, entry: TarEntry) -> bytes:
        """Pack the target's attributes; a target in a lower layer is left to the look-up."""
        self._flush()
        query = "SELECT packed FROM temp.staged WHERE key = ?"
        found = self._connection.execute(query, (key_of(entry.link),)).fetchone()
        if found is None or not found[0] or entry.link == entry.path:
            return pack_entry(entry, b"")
        if is_directory(found[0]):
            raise ArchiveError(f"{self._name}: {entry.path!r} is a hardlink to a directory")
        return with_group(found[0], entry.link)

    def _with_ancestors(self) -> Iterator[tuple[bytes, int, bytes]]:
        rows = self._connection.execute("SELECT key, flags, packed FROM temp.staged ORDER BY key")
        last, last_flags, last_packed = b"", IMPLIED, b""
        prefixes = [b""]  # of the last row's ancestors, and of itself
        for key, flags, packed in rows:
            if not key:
                last_flags |= flags
                continue
            if key.startswith(prefixes[-1]):
                if last_packed and not is_directory(last_packed):
                    raise self._below_a_file(key, last)
                last_flags |= 0 if last_packed else IMPLIED
            yield last, last_flags, last_packed
            while not key.startswith(prefixes[-1]):
                prefixes.pop()
            missing = key.find(b"\0", len(prefixes[-1]))
            while missing >= 0:
                prefixes.append(key[: missing + 1])
                yield key[:missing], IMPLIED, b""
                missing = key.find(b"\0", missing + 1)
            prefixes.append(key + b"\0")
            stays = IMPLIED if flags & OPAQUE and not packed else 0
            last, last_flags, last_packed = key, flags | stays, packed
        yield last, last_flags, last_packed

    def _below_a_file(self, key: bytes, parent: bytes) -> ArchiveError:
        path, above = (part.replace(b"\0", b"/") for part in (key, parent))
        return ArchiveError(f"{self._name}: {path!r} lies below {above!r}, which is no directory")


def _sha256(reader: TarReader, entry: TarEntry) -> bytes:
    if not entry.size:
        return _EMPTY_SHA256
    content = hashlib.sha256()
    for chunk in reader.chunks():
        content.update(chunk)
    return content.digest()
