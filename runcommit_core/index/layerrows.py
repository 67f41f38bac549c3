"""From a layer's tar to the rows of its index, in memory that does not grow with the layer.

Entries come in any order, so they pass through a temporary table; sorted, they get the rows of
directories that the tar implies without listing them.

Engines unpack one entry after the other, so the place in the tar counts where one path lies below
another that is no directory: what came before is gone, what comes after a link goes where the link
leads.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError
from runcommit_core.index.layerfile import (
    IMPLIED,
    OPAQUE,
    WHITEOUT,
    forget_rows,
    key_of,
    write_outside,
    write_rows,
)
from runcommit_core.index.node import (
    group_of,
    is_directory,
    pack_entry,
    unpack,
    with_attributes,
    with_group,
)
from runcommit_core.tar.reader import Kind, TarEntry, TarReader
from runcommit_core.tar.whiteout import Marker, split_marker

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from runcommit_core.tar.digests import DiffId

_BATCH = 2000
_EMPTY_SHA256 = hashlib.sha256().digest()
_MAX_LINKS = 40
_HARDLINK, _SYMLINK = (ord(kind.value) for kind in (Kind.HARDLINK, Kind.SYMLINK))
# A repeated path: the last entry wins, markers add up.
_STAGE = """
INSERT INTO temp.staged VALUES(?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET
  flags = flags | excluded.flags,
  packed = iif(excluded.packed = x'' OR (packed != x'' AND excluded.place < place),
               packed, excluded.packed),
  place = max(place, excluded.place)
"""
_BELOW = """
SELECT key, flags, packed, place FROM temp.staged WHERE key > ? AND key < ? AND place > ? LIMIT ?
"""
_SORTED = "SELECT key, flags, packed, place FROM temp.staged ORDER BY key"

_Row = tuple[bytes, int, bytes, int]
"""Key, flags, packed node, and place in the tar."""


class _BelowLinkError(Exception):
    """Something lies below a symbolic link that came before it."""

    def __init__(self, key: bytes, place: int) -> None:
        super().__init__()
        self.key = key
        self.place = place


class LayerRows:
    """The rows of one layer, staged in a temporary table of the connection to its index."""

    def __init__(self, connection: sqlite3.Connection, *, name: str) -> None:
        self._connection = connection
        self._name = name
        self._batch: list[_Row] = []
        self._outside: list[tuple[bytes]] = []
        connection.execute(
            "CREATE TEMP TABLE staged"
            "(key BLOB PRIMARY KEY, flags INT, packed BLOB, place INT) WITHOUT ROWID"
        )
        self._has_relinked = False
        connection.execute(
            "CREATE TEMP TABLE relinked"
            "(path BLOB PRIMARY KEY, mode INT, uid INT, gid INT, mtime INT) WITHOUT ROWID"
        )

    def read(self, stream: BinaryIO) -> None:
        """Stage every entry of an uncompressed tar, to its very end."""
        reader = TarReader(stream, name=self._name)
        append = self._batch.append
        regular, hardlink = Kind.REGULAR, Kind.HARDLINK
        for entry in reader:
            path, place = entry.path, entry.data_offset
            if b".wh." in path and self._is_marker(path, place):
                continue
            if entry.kind is regular:
                packed = pack_entry(entry, _sha256(reader, entry))
                append((path.replace(b"/", b"\0"), 0, packed, place))
            elif entry.kind is hardlink:
                append((key_of(path), 0, self._hardlink(entry), place))
            elif path:
                self._check_device(entry)
                append((key_of(path), 0, pack_entry(entry, b""), place))
            if len(self._batch) >= _BATCH:
                self._flush()
        self._flush()

    def write(self, diff_id: DiffId) -> None:
        """Write the index proper: sorted, complete with implied directories.

        Raises ArchiveError: something lies below what is no directory, and no engine agrees where
        """
        while True:
            try:
                write_rows(self._connection, diff_id, self._with_ancestors())
                break
            except _BelowLinkError as found:
                forget_rows(self._connection)
                self._move_below(found)
        write_outside(self._connection, self._outside)
        for table in ("staged", "relinked"):
            self._connection.execute(f"DROP TABLE temp.{table}")

    def _flush(self) -> None:
        self._connection.executemany(_STAGE, self._batch)
        self._batch.clear()

    def _is_marker(self, path: bytes, place: int) -> bool:
        try:
            marker, target = split_marker(path)
        except ValueError as error:
            raise ArchiveError(f"{self._name}: {error}") from None
        if marker is Marker.WHITEOUT:
            self._batch.append((key_of(target), WHITEOUT, b"", place))
        elif marker is Marker.OPAQUE:
            self._batch.append((key_of(target), OPAQUE, b"", place))
        return marker is not Marker.NONE

    def _check_device(self, entry: TarEntry) -> None:
        if entry.kind is Kind.CHARACTER and entry.major == entry.minor == 0:
            raise ArchiveError(
                f"{self._name}: {entry.path!r} is a character device 0:0, which is a device to some"
                " engines and a deletion to others",
                tip="a layer tells of deletions by whiteouts; build the image anew",
            )

    def _hardlink(self, entry: TarEntry) -> bytes:
        """Pack the target's attributes; a target that is not there yet is left for the end."""
        self._flush()
        linked = self._staged(entry.link)
        if not linked or entry.link == entry.path:
            return pack_entry(entry, b"")
        packed = self._linked(entry.path, entry.link, linked)
        own = (entry.mode, entry.uid, entry.gid, entry.mtime)
        if self._has_relinked or with_attributes(packed, *own) != packed:
            self._has_relinked = True
            row = (group_of(packed), *own)
            self._connection.execute("REPLACE INTO temp.relinked VALUES(?, ?, ?, ?, ?)", row)
        return packed

    def _linked(self, path: bytes, link: bytes, packed: bytes) -> bytes:
        if is_directory(packed):
            raise ArchiveError(f"{self._name}: {path!r} is a hardlink to a directory")
        return with_group(packed, link)

    def _staged(self, path: bytes) -> bytes:
        query = "SELECT packed FROM temp.staged WHERE key = ?"
        row = self._connection.execute(query, (key_of(path),)).fetchone()
        return row[0] if row else b""

    def _linked_late(self, key: bytes, packed: bytes, place: int) -> bytes:
        """Pack a hardlink whose target only links lead to; one in a lower layer is noted."""
        path, link = key.replace(b"\0", b"/"), unpack(packed).link
        parent, slash, name = link.rpartition(b"/")
        target = (self._followed(parent) or b"") + slash + name
        query = "SELECT packed FROM temp.staged WHERE key = ? AND place < ? AND packed != x''"
        row = self._connection.execute(query, (key_of(target), place)).fetchone()
        if row is None or row[0][0] == _HARDLINK:
            self._outside.append((key,))
            return packed
        return self._linked(path, target, row[0])

    def _followed(self, path: bytes) -> bytes | None:
        """Follow the links of this layer on a path; None where they lead in a loop."""
        parts = path.split(b"/")[::-1]
        at: list[bytes] = []
        links = 0
        while parts:
            part = parts.pop()
            if part == b"..":
                del at[-1:]
            elif part not in (b"", b"."):
                at.append(part)
                packed = self._staged(b"/".join(at))
                if packed and packed[0] == _SYMLINK:
                    links += 1
                    if links > _MAX_LINKS:
                        return None
                    target = unpack(packed).link
                    parts += target.split(b"/")[::-1]
                    at = [] if target[:1] == b"/" else at[:-1]
        return b"/".join(at)

    def _move_below(self, link: _BelowLinkError) -> None:
        """Put all that came below a link, after it, where it leads, as engines do."""
        path = link.key.replace(b"\0", b"/")
        target = self._followed(path)
        if target is None or not self._is_a_directory(target):
            raise ArchiveError(
                f"{self._name}: something lies below the link {path!r}, which leads to no directory"
                " of this layer",
                tip="engines do not unpack such a layer either; build the image anew",
            )
        new, old = key_of(target), len(link.key)
        within = (link.key + b"\0", link.key + b"\1", link.place, _BATCH)
        while rows := self._connection.execute(_BELOW, within).fetchall():
            keys = [(key,) for key, *_ in rows]
            self._connection.executemany("DELETE FROM temp.staged WHERE key = ?", keys)
            self._batch += [
                ((new + key[old:]).removeprefix(b"\0"), flags, _moved(key, packed), place)
                for key, flags, packed, place in rows
            ]
            self._flush()

    def _is_a_directory(self, path: bytes) -> bool:
        packed = self._staged(path)
        if not path or packed:
            return not path or is_directory(packed)
        query = "SELECT 1 FROM temp.staged WHERE key > ? AND key < ?"
        key = key_of(path)
        return self._connection.execute(query, (key + b"\0", key + b"\1")).fetchone() is not None

    def _with_ancestors(self) -> Iterator[tuple[bytes, int, bytes]]:
        self._outside.clear()
        last, last_flags, last_packed, last_place = b"", IMPLIED, b"", 0
        prefixes = [b""]  # of the last row's ancestors, and of itself
        for key, flags, packed, place in self._sorted():
            if not key:
                last_flags |= flags
                continue
            if key.startswith(prefixes[-1]):
                if last_packed and not is_directory(last_packed):
                    if place < last_place:
                        continue
                    if last_packed[0] == _SYMLINK:
                        raise _BelowLinkError(last, last_place)
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
            last, last_flags, last_packed, last_place = key, flags | stays, packed, place
        yield last, last_flags, last_packed

    def _sorted(self) -> Iterator[_Row]:
        for row in self._connection.execute(_SORTED):
            key, flags, packed, place = row
            if packed and packed[0] == _HARDLINK:
                yield key, flags, self._linked_late(key, packed, place), place
            elif packed and self._has_relinked:
                yield key, flags, self._relinked(key, packed), place
            else:
                yield row

    def _relinked(self, key: bytes, packed: bytes) -> bytes:
        """Give every name of a file the attributes of the last hardlink to it, as engines do."""
        path = group_of(packed) or key.replace(b"\0", b"/")
        query = "SELECT mode, uid, gid, mtime FROM temp.relinked WHERE path = ?"
        row = self._connection.execute(query, (path,)).fetchone()
        return with_attributes(packed, *row) if row else packed

    def _below_a_file(self, key: bytes, parent: bytes) -> ArchiveError:
        path, above = (part.replace(b"\0", b"/") for part in (key, parent))
        return ArchiveError(f"{self._name}: {path!r} lies below {above!r}, which is no directory")


def _moved(key: bytes, packed: bytes) -> bytes:
    """Pack a node that has another path than in the tar, where its content is looked for."""
    if not packed or is_directory(packed) or packed[0] == _HARDLINK:
        return packed
    return with_group(packed, key.replace(b"\0", b"/"))


def _sha256(reader: TarReader, entry: TarEntry) -> bytes:
    if not entry.size:
        return _EMPTY_SHA256
    content = hashlib.sha256()
    for chunk in reader.chunks():
        content.update(chunk)
    return content.digest()
