"""Feeding a reader from a writer: a blob is indexed while it streams to somewhere else."""

from __future__ import annotations

import io
import queue
import threading
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from runcommit_core.oci.compression import open_decompressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

    from runcommit_core.oci.model import Compression

_QUEUED_CHUNKS = 16
_BUFFER = 1 << 18


class Feeder(Protocol):
    """Takes the stored bytes of a layer while they travel to the engine."""

    def write(self, chunk: bytes) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...


class _AbortedError(Exception):
    """The writer gave up."""


class _Pipe(io.RawIOBase):
    """The reading end of a bounded queue of chunks; ``b""`` ends it, None aborts."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: queue.Queue[bytes | None] = queue.Queue(_QUEUED_CHUNKS)
        self._left = memoryview(b"")
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if not self._left and not self.ended:
            self._left = memoryview(self._next())
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def drain(self) -> None:
        """Swallow what the writer still sends, so that it never waits for a reader that failed."""
        while not self.ended:
            self._take()

    def _next(self) -> bytes:
        chunk = self._take()
        if chunk is None:
            raise _AbortedError
        return chunk

    def _take(self) -> bytes | None:
        chunk = self.chunks.get()
        self.ended = not chunk
        return chunk


class BlobFeeder:
    """Runs ``consume`` in a thread on the decompressed bytes of what is written here.

    ``write()`` blocks while the consumer is behind, and never raises what the consumer raised:
    that is for ``finish()``.  With ``consume=None`` everything is swallowed.  Either ``finish()``
    or ``abort()`` must be called, once or more often, from the writing thread.
    """

    def __init__(
        self,
        consume: Callable[[BinaryIO], None] | None,
        compression: Compression,
        *,
        name: str,
    ) -> None:
        self._consume = consume
        self._compression = compression
        self._name = name
        self._pipe = _Pipe()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        if consume is not None:
            self._thread = threading.Thread(target=self._run, name=f"index {name}", daemon=True)
            self._thread.start()

    def write(self, chunk: bytes) -> None:
        """Pass on the next bytes of the blob, as stored."""
        if chunk and self._thread is not None:
            self._pipe.chunks.put(bytes(chunk))

    def finish(self) -> None:
        """Wait for the consumer.

        Raises ArchiveError: whatever the consumer found wrong with the bytes
        """
        self._end(b"")
        error, self._error = self._error, None
        if error is not None and not isinstance(error, _AbortedError):
            raise error

    def abort(self) -> None:
        """Throw away what was written; nothing is indexed."""
        self._end(None)
        self._error = None

    def _end(self, last: bytes | None) -> None:
        if self._thread is not None:
            self._pipe.chunks.put(last)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        if self._consume is None:
            return
        try:
            buffered = cast("BinaryIO", io.BufferedReader(self._pipe, _BUFFER))
            self._consume(open_decompressed(buffered, self._compression, name=self._name))
        except BaseException as error:  # noqa: BLE001 - handed over to the writing thread
            self._error = error
        finally:
            self._pipe.drain()
