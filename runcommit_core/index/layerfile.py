"""One layer of the base index: an immutable SQLite file of checked, chained rows.

A row's key is its path with NUL for ``/``, so that plain byte order is the pre-order of the tree
and all that lies below a directory is one range.  Its body is::

    flags, lengths · the following key, as a difference · packed node · crc32

The crc32 covers the layer's diff_id, the key and the body, and so the *following key*: one query
for the greatest key that is not above a path proves either that the path is there or that it is
not.  No truncation and no flipped bit, in a row or in SQLite's own pages, can hide an entry.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, Self
from zlib import crc32

from runcommit_core.errors import RuncommitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runcommit_core.tar.digests import DiffId

WHITEOUT: Final = 1
"""The path hides what lower layers have there."""

OPAQUE: Final = 2
"""The directory hides what lower layers have below it."""

IMPLIED: Final = 4
"""The directory has no entry of its own, but something below it has."""

_ROW = struct.Struct(">BIHH")
_CRC = struct.Struct(">I")
_LAST = 0xFFFF
_FLOOR = "SELECT key, body FROM node WHERE key <= ? ORDER BY key DESC LIMIT 1"
_BEFORE = "SELECT key, body FROM node WHERE key < ? ORDER BY key DESC LIMIT 1"
_SQLITE_HEADER = struct.Struct(">16sH10xI")


class IndexDamagedError(RuncommitError):
    """A layer's index was damaged and is gone now: :meth:`BaseIndex.add` the layer anew."""

    def __init__(self, diff_id: DiffId, reason: str) -> None:
        super().__init__(
            f"the index of base layer {diff_id} is damaged: {reason}",
            tip="it has been removed from the cache; run the job again",
        )
        self.diff_id = diff_id


class Row(NamedTuple):
    """``packed`` is empty for a pure whiteout and an implied directory."""

    key: bytes
    flags: int
    packed: bytes
    following: bytes | None


def key_of(path: bytes) -> bytes:
    """Map a path to its key; the root's is empty."""
    return path.replace(b"/", b"\0")


class LayerFile:
    """The index of one layer, open for reading.

    Raises IndexDamagedError: from any method, once the file has been removed
    """

    def __init__(self, path: Path, diff_id: DiffId) -> None:
        self._path = path
        self._diff_id = diff_id
        self._seed = crc32(diff_id.encode())
        try:
            _check_size(path)
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None
            )
        except (OSError, ValueError, sqlite3.Error) as error:
            self._damaged(str(error))
        try:
            self._query = self._connection.cursor().execute
            self.root()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def root(self) -> Row:
        """Read the root's row, which every layer has."""
        return self._select(_FLOOR, b"")

    def find(self, key: bytes) -> Row | None:
        """Look a key up with one query."""
        row = self._select(_FLOOR, key)
        if row.key == key:
            return row
        if row.following is not None and row.following <= key:
            self._damaged("an entry is missing")
        return None

    def children(self, key: bytes) -> Iterator[bytes]:
        """Yield the names right below a directory, in byte order; one query each."""
        row = self.find(key)
        prefix = key + b"\0" if key else b""
        while row and row.following is not None and row.following.startswith(prefix):
            child = row.following
            name = child[len(prefix) :]
            if b"\0" in name:
                self._damaged("a directory is missing")
            yield name
            row = self._select(_BEFORE, child + b"\1")

    def outside(self) -> list[bytes]:
        """List the keys of the hardlinks whose targets must be in lower layers."""
        try:
            return [key for (key,) in self._query("SELECT key FROM outside").fetchall()]
        except sqlite3.Error as error:
            self._damaged(str(error))

    def _select(self, query: str, key: bytes) -> Row:
        try:
            row = self._query(query, (key,)).fetchone()
            if row is None:
                self._damaged("it has no rows")
            return _unpack_row(row[0], row[1], self._seed)
        except (sqlite3.Error, struct.error, ValueError, TypeError) as error:
            self._damaged(str(error))

    def _damaged(self, reason: str) -> NoReturn:
        self._path.unlink(missing_ok=True)
        raise IndexDamagedError(self._diff_id, reason)


def _check_size(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        header = file.read(_SQLITE_HEADER.size)
        if len(header) < _SQLITE_HEADER.size:
            raise ValueError("it is truncated")
        _, page_size, pages = _SQLITE_HEADER.unpack(header)
        if os.fstat(file.fileno()).st_size != page_size * pages:
            raise ValueError("its size is not what its header says")


def write_rows(
    connection: sqlite3.Connection, diff_id: DiffId, rows: Iterable[tuple[bytes, int, bytes]]
) -> None:
    """Write a layer's rows: (key, flags, packed node) in order of their keys, the root first."""
    connection.execute("CREATE TABLE node(key BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID")
    connection.executemany("INSERT INTO node VALUES(?, ?)", _chained(rows, crc32(diff_id.encode())))


def forget_rows(connection: sqlite3.Connection) -> None:
    """Take back what :func:`write_rows` wrote, be it not all."""
    connection.execute("DROP TABLE node")


def write_outside(connection: sqlite3.Connection, keys: Iterable[tuple[bytes]]) -> None:
    """Note the hardlinks whose targets are in no layer but a lower one."""
    connection.execute("CREATE TABLE outside(key BLOB NOT NULL)")
    connection.executemany("INSERT INTO outside VALUES(?)", keys)


def _chained(rows: Iterable[tuple[bytes, int, bytes]], seed: int) -> Iterator[tuple[bytes, bytes]]:
    iterator = iter(rows)
    key, flags, packed = next(iterator)
    for following, next_flags, next_packed in iterator:
        shared = _shared_directories(key, following)
        rest = following[shared:]
        lengths = _ROW.pack(flags, len(packed), shared, len(rest))
        yield key, _pack_row(key, seed, lengths, rest, packed)
        key, flags, packed = following, next_flags, next_packed
    yield key, _pack_row(key, seed, _ROW.pack(flags, len(packed), _LAST, 0), packed)


def _shared_directories(key: bytes, following: bytes) -> int:
    end = key.rfind(b"\0") + 1
    while not following.startswith(key[:end]):
        end = key.rfind(b"\0", 0, end - 1) + 1
    return end


def _pack_row(key: bytes, seed: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return body + _CRC.pack(crc32(body, crc32(key, seed)))


def _unpack_row(key: bytes, body: bytes, seed: int) -> Row:
    content = body[: -_CRC.size]
    if _CRC.pack(crc32(content, crc32(key, seed))) != body[-_CRC.size :]:
        raise ValueError("an entry's checksum is wrong")
    flags, size, shared, rest_size = _ROW.unpack_from(content)
    packed_at = _ROW.size + rest_size
    if packed_at + size != len(content):
        raise ValueError("an entry's length is wrong")
    following = None if shared == _LAST else key[:shared] + content[_ROW.size : packed_at]
    return Row(key, flags, content[packed_at:], following)
