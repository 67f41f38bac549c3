"""HTTP with servers that may be slow, endless or wrong: each answer ends in bounded time.

``http.client`` limits how long a server is silent, and neither how slowly it speaks nor how much it
says before the answer proper.
"""

from __future__ import annotations

import http.client
import io
import time
import urllib.request
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket
    import ssl

    from _typeshed import WriteableBuffer

TIMEOUT: Final = 15.0
"""Seconds that a server may be silent."""

PATIENCE = 30.0
"""Seconds that may be spent on waiting in all, beyond what ``SLOWEST`` allows."""

SLOWEST: Final = 64 << 10
"""Bytes in a second that make it worth to go on waiting."""

_LARGEST_HEAD = 1 << 20
_BUFFER = 64 << 10


class _Pace:
    """Raises TimeoutError where waiting takes longer than is worth what comes of it."""

    def __init__(self) -> None:
        self.count = 0
        self._waited = 0.0

    def add(self, count: int, seconds: float) -> None:
        self.count += count
        self._waited += seconds
        if self._waited > PATIENCE + self.count / SLOWEST:
            raise TimeoutError("it is too slow")


class _PacedRaw(io.RawIOBase):
    """The bytes that a socket receives; at most a head's until ``headed``."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw = raw
        self._pace = _Pace()
        self.headed = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        started = time.monotonic()
        count = self._raw.readinto(buffer)
        self._pace.add(count or 0, time.monotonic() - started)
        if not self.headed and self._pace.count > _LARGEST_HEAD:
            raise OSError("the head of an answer has no end")
        return int(count or 0)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Buffered(io.BufferedReader):
    """Reads no more than it is asked for: a negative size of a chunk is none."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise OSError("an answer has a part of negative size, or no size at all")
        return super().read(size)


class PacedResponse(http.client.HTTPResponse):
    """An answer that is given up where it comes too slowly."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        plain: Any = self.fp
        self._paced = _PacedRaw(plain.detach())
        self.fp = _Buffered(self._paced, _BUFFER)

    def begin(self) -> None:
        super().begin()
        self._paced.headed = True


class PacedBody(io.RawIOBase):
    """A request's body that is given up where the server takes it too slowly."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source = source
        self._pace = _Pace()
        self._gave = 0.0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        waited = time.monotonic() - self._gave if self._gave else 0.0
        data = self._source.read(size)
        self._pace.add(len(data), waited)
        self._gave = time.monotonic()
        return data


class _PlainConnection(http.client.HTTPConnection):
    response_class = PacedResponse


class _SecureConnection(http.client.HTTPSConnection):
    response_class = PacedResponse


class PlainHandler(urllib.request.HTTPHandler):
    """Opens http URLs."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PlainConnection, req)


class SecureHandler(urllib.request.HTTPSHandler):
    """Opens https URLs, with certificates checked as ``context`` has it."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._trusting = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, context=self._trusting)
