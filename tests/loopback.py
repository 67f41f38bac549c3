"""A client of the loopback registry, as engines are one, and what there is to serve."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runcommit_core.oci.base import open_base
from runcommit_core.registry.endpoint import Endpoint
from runcommit_core.registry.served import claims, private_image
from tests import images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runcommit_core.errors import ArchiveError
    from runcommit_core.oci.model import BaseImage, BaseLayer

LOWER = images.layer({"lower": os.urandom(70_000)})
UPPER = images.layer({"upper": b"upper"})
WAIT = 30


@dataclass
class Spy:
    """A feeder that remembers what it was told; ``error`` is what it finds at the end."""

    error: ArchiveError | None = None
    seen: bytearray = field(default_factory=bytearray)
    finished: threading.Event = field(default_factory=threading.Event)
    aborted: threading.Event = field(default_factory=threading.Event)

    def write(self, chunk: bytes) -> None:
        self.seen += chunk

    def finish(self) -> None:
        self.finished.set()
        if self.error:
            raise self.error

    def abort(self) -> None:
        self.aborted.set()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection to an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        access = endpoint.access()
        self.connection = http.client.HTTPConnection(access.address, timeout=WAIT)
        self.token = json.loads(access.authfile.read_bytes())["auths"][access.address]["auth"]
        self.root = f"/v2/{access.repository}/"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        *,
        authorization: str | None = None,
        **headers: str,
    ) -> Answer:
        """``path`` is below the repository unless it starts with a slash or is a location."""
        given = f"Basic {self.token}" if authorization is None else authorization
        target = path.partition("//")[2].partition("/")[2]
        target = f"/{target}" if target else path if path.startswith("/") else self.root + path
        self.connection.request(
            method, target, body, {**({"Authorization": given} if given else {}), **headers},
            encode_chunked=body is not None and not isinstance(body, bytes),
        )  # fmt: skip
        response = self.connection.getresponse()
        return Answer(response.status, dict(response.headers.items()), response.read())

    def upload(self) -> str:
        return self.ask("POST", "blobs/uploads/").headers["Location"]

    def push(self, data: bytes) -> str:
        done = self.ask("PUT", f"{self.upload()}?digest={images.digest(data)}", data)
        assert done.status == 201
        return done.headers["Docker-Content-Digest"]


def base_of(path: Path, compression: str) -> BaseImage:
    one = images.image(LOWER, UPPER, compression=compression)
    return open_base(f"oci:{images.write_directory(path, images.oci_files(one))}")


@contextlib.contextmanager
def serving(
    base: BaseImage,
    folder: Path,
    *,
    feeder: Callable[[BaseLayer], Spy | None] = lambda _: None,
    locate: Callable[[BaseLayer], BaseLayer] = lambda layer: layer,
) -> Iterator[Endpoint]:
    folder.mkdir()
    with Endpoint(
        folder,
        private_image(base),
        job_id="0123456789ab",
        claimed=claims(base),
        feeder=feeder,
        locate=locate,
    ) as endpoint:
        yield endpoint


def code_of(answer: Answer) -> str:
    return str(json.loads(answer.body)["errors"][0]["code"])


def raw(endpoint: Endpoint, request: bytes) -> bytes:
    """What comes back for these bytes until the other side closes."""
    address, _, port = endpoint.address.partition(":")
    with socket.create_connection((address, int(port)), timeout=WAIT) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(1 << 16):
                said += chunk
        return said
