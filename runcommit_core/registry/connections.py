"""How many connections there are, and which of them must go for another.

Anybody on the machine can connect.  Who has not shown credentials is a stranger: there are few
places for strangers, and the one that came first makes way for the next.  An engine's connection is
no stranger's from its first request on; no number of strangers costs it its place.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from typing import Final

STRANGERS: Final = 96
ENGINES: Final = 128
"""A client of an engine opens some ten."""

GRACE_SECONDS: Final = 0.1
"""How long a stranger has its place for sure: enough to show credentials."""

_SHARE = 6
"""Neither kind may take more than this part of the descriptors that a process may have."""


class Connection:
    """One connection; ``since`` is when it came, or was idle, by the monotonic clock."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.since = time.monotonic()
        self.trusted = False
        self.idle = True
        self.dropped = False

    def drop(self) -> None:
        """End it; close() alone would wait for the thread, which waits for the other side."""
        self.dropped = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class Connections:
    """All connections of one endpoint."""

    def __init__(self) -> None:
        self._all: set[Connection] = set()
        self._changed = threading.Condition()
        self._closed = False
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        share = allowed // _SHARE if allowed != resource.RLIM_INFINITY else STRANGERS + ENGINES
        self._strangers = max(min(STRANGERS, share), 1)
        self._engines = max(min(ENGINES, share), 1)

    @property
    def strangers(self) -> int:
        """How many have shown no credentials."""
        return self._count(trusted=False)

    @property
    def engines(self) -> int:
        """How many have shown credentials."""
        return self._count(trusted=True)

    def make_room(self) -> bool:
        """Wait for a place for one more stranger; False when there is no more need of one."""
        with self._changed:
            while not self._closed and self.strangers >= self._strangers:
                self._drop_or_wait()
            return not self._closed

    def drop_stranger(self) -> None:
        """Give a descriptor back, or let some time go by where there is none to give."""
        with self._changed:
            self._drop_or_wait()

    def enter(self, connection: Connection) -> None:
        """Have one more."""
        with self._changed:
            self._all.add(connection)
            if self._closed:
                connection.drop()

    def leave(self, connection: Connection) -> None:
        """Have one less."""
        with self._changed:
            self._all.discard(connection)
            self._changed.notify_all()

    def trust(self, connection: Connection) -> bool:
        """Note that one is an engine's and busy; False where there are too many that are."""
        with self._changed:
            connection.idle = False
            if connection.trusted:
                return True
            if self.engines >= self._engines:
                idle = self._longest_idle(trusted=True)
                if idle is None:
                    return False
                idle.drop()
                self._all.discard(idle)
            connection.trusted = True
            self._changed.notify_all()
            return True

    def rest(self, connection: Connection) -> None:
        """Note that one waits for its next request."""
        with self._changed:
            connection.idle, connection.since = True, time.monotonic()

    def close(self) -> None:
        """End all, and let none come any more."""
        with self._changed:
            self._closed = True
            for connection in self._all:
                connection.drop()
            self._changed.notify_all()

    def _drop_or_wait(self) -> None:
        """Drop the stranger that came first, unless it came just now; wait for one to leave."""
        first = self._longest_idle(trusted=False)
        age = time.monotonic() - first.since if first else 0.0
        if first and age >= GRACE_SECONDS:
            first.drop()
            age = 0.0
        self._changed.wait(GRACE_SECONDS - age)

    def _count(self, *, trusted: bool) -> int:
        return sum(each.trusted is trusted for each in tuple(self._all))

    def _longest_idle(self, *, trusted: bool) -> Connection | None:
        idle = [each for each in self._all if each.idle and each.trusted is trusted]
        candidates = [each for each in idle if not each.dropped]
        return min(candidates, key=lambda each: each.since, default=None)
