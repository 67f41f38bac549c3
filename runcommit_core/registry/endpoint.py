"""The loopback registry: a private OCI distribution endpoint for the length of one job.

It serves one image (the private copy of the base) and takes one (what the engine committed).
Each blob of the base, under its digest and under its diff_id, is answered with "exists", so that
a push carries the new layer and the config only.

Source: the OCI distribution specification, sections "Pulling" and "Pushing".
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Protocol, Self

from runcommit_core.interface.access import Access
from runcommit_core.interface.progress import Progress, ignore
from runcommit_core.registry.handler import Handler
from runcommit_core.registry.received import Received

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from runcommit_core.errors import ArchiveError
    from runcommit_core.oci.model import BaseLayer
    from runcommit_core.registry.served import ServedImage


class Feeder(Protocol):
    """Takes the stored bytes of a layer while they travel to the engine."""

    def write(self, chunk: bytes) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...


Request = socket.socket | tuple[bytes, socket.socket]


class Endpoint(socketserver.ThreadingTCPServer):
    """The server; a context manager that listens from ``__enter__`` to ``__exit__``."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
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
        super().__init__(("127.0.0.1", 0), Handler)
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
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        with self._lock:
            for connection in self._connections:
                # close() alone would wait for the handler, which waits for the engine
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def _stop(self) -> None:
        """Stop listening at once: a connection wakes the loop that else looks up now and then."""
        stopping = threading.Thread(target=self.shutdown)
        stopping.start()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        stopping.join()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

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

    def process_request(self, request: Request, client_address: object) -> None:
        if isinstance(request, socket.socket):
            with self._lock:
                self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Request) -> None:
        if isinstance(request, socket.socket):
            with self._lock:
                self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Engines drop connections as they like; what matters is noted in ``problem``."""
