"""The bytes that arrive on one connection, in bounded time."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer

HEAD_SECONDS = 30.0
"""How long the head of a request may take, from its first byte on or, at first, from connecting."""

IDLE_SECONDS = 600.0
"""How long an engine may pause in a body, or in taking one."""

_BUFFER = 64 * 1024


def incoming(connection: socket.socket) -> Incoming:
    """A buffered reader that raises TimeoutError where the other side is too slow."""
    return Incoming(_Received(connection))


class _Received(io.RawIOBase):
    """What a socket receives; ``deadline`` is a time of the monotonic clock."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._socket = connection
        self.deadline: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the head of a request took too long")
            self._socket.settimeout(left)
        return self._socket.recv_into(buffer)

    def wait_for(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)


class Incoming(io.BufferedReader):
    """The bytes of one connection; at first those of a head, which has to be there soon."""

    def __init__(self, received: _Received) -> None:
        super().__init__(received, _BUFFER)
        self._received = received
        self.expect_head()

    def await_byte(self) -> bytes:
        """The next byte, which is not taken, however long it takes; none at the end."""
        self._received.deadline = None
        self._received.wait_for(None)
        return self.peek(1)[:1]

    def expect_head(self) -> None:
        """From now on bytes are those of a head."""
        self._received.deadline = time.monotonic() + HEAD_SECONDS

    def expect_body(self) -> None:
        """From now on bytes are those of a body, or go the other way."""
        self._received.deadline = None
        self._received.wait_for(IDLE_SECONDS)
