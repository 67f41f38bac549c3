"""The base index: what each base layer holds, computed once and kept in the cache.

One immutable file per layer, named by its diff_id and renamed into place when it is whole: there
is nothing to lock, a killed writer leaves but a temporary file, and of two parallel writers the
last one wins with equal content.  What is damaged is removed, never trusted
(:mod:`runcommit_core.index.layerfile`), so ``fsync`` is not needed either.
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.index.basetree import BaseTree
from runcommit_core.index.feeder import BlobFeeder
from runcommit_core.index.layerfile import IndexDamagedError, LayerFile
from runcommit_core.index.layerrows import LayerRows
from runcommit_core.index.place import SEAL, index_folder, layer_path
from runcommit_core.staging import UNFINISHED, replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from runcommit_core.oci.model import Compression
    from runcommit_core.tar.digests import DiffId

_ABANDONED = 24 * 3600.0
_UNSEALED = 30 * _ABANDONED


class BaseIndex:
    """The indexes of base layers below ``cache_dir``, shared by processes without locks."""

    def __init__(self, cache_dir: Path) -> None:
        self._folder = index_folder(cache_dir)

    def has(self, diff_id: DiffId) -> bool:
        """Tell whether the layer is indexed; a damaged index is removed and counts as absent."""
        path = self._path(diff_id)
        if not path.exists():
            return False
        try:
            LayerFile(path, diff_id).close()
        except IndexDamagedError:
            return False
        return True

    def add(self, diff_id: DiffId, stream: BinaryIO) -> None:
        """Index a layer from its uncompressed tar; nothing is read if it is indexed already.

        Raises ArchiveError: the tar is not one, or its sha256 is not ``diff_id``; nothing is kept
        """
        if self.has(diff_id):
            return
        path = self._path(diff_id)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            with replacing(path) as beside:
                _build(beside, diff_id, stream)
        except (OSError, sqlite3.OperationalError) as error:
            raise UsageError(
                f"cannot write the index of the base into {self._folder}: {error}",
                tip="set RUNCOMMIT_CACHE_DIR to a folder that you may write, with room in it",
            ) from error

    def feeder(self, diff_id: DiffId, compression: Compression) -> BlobFeeder:
        """Index a layer from the chunks of its blob while they stream elsewhere."""
        if self.has(diff_id):
            return BlobFeeder(None, compression, name=diff_id)

        def add_unless_another_did(stream: BinaryIO) -> None:
            try:
                self.add(diff_id, stream)
            except ArchiveError:
                if not self.has(diff_id):
                    raise

        return BlobFeeder(add_unless_another_did, compression, name=diff_id)

    def tree(self, diff_ids: Sequence[DiffId]) -> BaseTree:
        """Open the merged view of indexed layers, lowest first.

        Raises IndexDamagedError: here or at any look-up; its ``diff_id`` must be added anew
        """
        return BaseTree([(diff_id, self._path(diff_id)) for diff_id in diff_ids])

    def _path(self, diff_id: DiffId) -> Path:
        return layer_path(self._folder, diff_id)

    def _remove_abandoned(self) -> None:
        """Remove what writers left that were killed a day ago or earlier, and the oldest seals."""
        for pattern, age in ((f"*{UNFINISHED}*", _ABANDONED), (f"*{SEAL}", _UNSEALED)):
            for path in self._folder.glob(pattern):
                with suppress(OSError):
                    if path.stat().st_mtime < time.time() - age:
                        path.unlink()


class _Hashed(io.RawIOBase):
    """Hashes what is read, all of which must pass: it cannot seek."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def diff_id(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _build(path: Path, diff_id: DiffId, stream: BinaryIO) -> None:
    hashed = _Hashed(stream)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        rows = LayerRows(connection, name=f"layer {diff_id}")
        rows.read(hashed)  # type: ignore[arg-type]
        if hashed.diff_id() != diff_id:
            raise ArchiveError(
                f"layer {diff_id}: its uncompressed bytes hash to {hashed.diff_id()}",
                tip="the image is damaged or its config does not belong to it; fetch it again",
            )
        rows.write(diff_id)
        connection.execute("COMMIT")
