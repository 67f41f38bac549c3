"""Writing a tar in the canonical form; the order is the caller's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError
from runcommit_core.tar.digests import DiffId
from runcommit_core.tar.header import END, Attributes, header

if TYPE_CHECKING:
    from collections.abc import Iterable

_BUFFER = 1 << 18


class LayerWriter:
    """Writes entries to a stream and hashes them on the way."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._written = 0
        self.entries = 0

    @property
    def size(self) -> int:
        """Count the bytes so far."""
        return self._written + self._pending_size

    def add(self, path: bytes, attributes: Attributes, content: Iterable[bytes] = ()) -> None:
        """Write an entry.

        Raises ArchiveError: ``content`` is not as long as the attributes say
        """
        self.entries += 1
        self._put(header(path, attributes))
        if attributes.size:
            missing = attributes.size
            for chunk in content:
                missing -= len(chunk)
                self._put(chunk)
            if missing:
                raise ArchiveError(f"{path!r}: the content is not of the size announced")
            self._put(bytes(-attributes.size & 511))

    def finish(self) -> DiffId:
        """Write the end and return the diff_id; the stream stays open."""
        self._put(END)
        self._flush()
        return DiffId(f"sha256:{self._hash.hexdigest()}")

    def _put(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pending)
        self._hash.update(data)
        self._output.write(data)
        self._written += len(data)
        self._pending.clear()
        self._pending_size = 0
