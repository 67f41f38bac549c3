"""The loopback registry: a private OCI distribution endpoint for the length of one job.

It serves one image (the private copy of the base) and takes one (what the engine committed).
Each blob of the base, under its digest and under its diff_id, is answered with "exists", so that
a push carries the new layer and the config only.

Source: the OCI distribution specification, sections "Pulling" and "Pushing".
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import logging
import secrets
import socket
import threading
from typing import TYPE_CHECKING, Self

from runcommit_core.interface.access import Access
from runcommit_core.interface.progress import Progress, ignore
from runcommit_core.registry.connections import Connection, Connections
from runcommit_core.registry.handler import Handler
from runcommit_core.registry.received import Received

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from runcommit_core.errors import ArchiveError
    from runcommit_core.index.feeder import Feeder
    from runcommit_core.oci.model import BaseLayer
    from runcommit_core.registry.served import ServedImage


log = logging.getLogger("runcommit.registry")

_BACKLOG = 1024
_RUN_OUT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Endpoint:
    """The server; a context manager that listens from ``__enter__`` to ``__exit__``."""

    problem: ArchiveError | OSError | None

    def __init__(
        self,
        folder: Path,
        image: ServedImage,
        *,
        job_id: str,
        claimed: Mapping[str, int],
        feeder: Callable[[BaseLayer], Feeder | None],
        locate: Callable[[BaseLayer], BaseLayer],
        progress: Progress = ignore,
    ) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port = int(self.socket.getsockname()[1])
        self.serve(image)
        self._claimed = claimed
        self.feeder = feeder
        self.locate = locate
        self.progress = progress
        self.received = Received()
        self.requests = 0
        self.folder = folder
        self.repository = f"runcommit/{job_id}"
        self._user, self._password = "runcommit", secrets.token_urlsafe(24)
        token = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        self.authorization = f"Basic {token}"
        self.connections = Connections()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.connections.close()
        with contextlib.suppress(OSError):
            # wakes the thread, which waits for somebody to come
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._thread.join()
        self.socket.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def access(self, port: int = 0) -> Access:
        """Write the credentials where only the user can read them, and say where.

        ``port`` is the one by which the engine reaches ours, if it is another.
        """
        address = f"127.0.0.1:{port or self.port}"
        authfile = self.folder / f"auth-{self.port}.json"
        token = self.authorization.removeprefix("Basic ")
        with self._lock:
            if not authfile.exists():
                authfile.touch(0o600)
                authfile.write_text(json.dumps({"auths": {address: {"auth": token}}}))
        return Access(address, self.repository, authfile)

    def serve(self, image: ServedImage) -> None:
        """Serve this image from the next request on, and forget what was wrong with another."""
        self.image = image
        self.problem = None

    @property
    def claimed(self) -> Mapping[str, int]:
        """Every layer that need not be pushed, with its size; see :func:`.served.claims`."""
        served = {digest: layer.size for digest, layer in self.image.layers.items()}
        return {**self._claimed, **served}

    def count_request(self) -> None:
        """Note that the engine found us."""
        with self._lock:
            self.requests += 1

    def accept(self) -> socket.socket:
        """The next connection, when it comes."""
        return self.socket.accept()[0]

    def _listen(self) -> None:
        while self.connections.make_room():
            try:
                accepted = self.accept()
            except OSError as error:
                if error.errno in _RUN_OUT:
                    self.connections.drop_stranger()
                continue
            self._converse(Connection(accepted))

    def _converse(self, connection: Connection) -> None:
        """Answer a connection in a thread of its own."""
        self.connections.enter(connection)
        try:
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        except RuntimeError:  # there can be no more threads
            self._end(connection)

    def _answer(self, connection: Connection) -> None:
        try:
            Handler(self, connection).run()
        except Exception as error:  # noqa: BLE001
            # engines drop connections as they like; what matters is noted in ``problem``
            log.debug("a connection ended: %r", error)
        finally:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        connection.drop()
        connection.socket.close()
        self.connections.leave(connection)
