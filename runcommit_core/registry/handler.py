"""One connection to the loopback registry.

Nothing is read of the body of who has no credentials, and nothing is kept for them.
"""

from __future__ import annotations

import contextlib
import errno
import http
import json
import logging
import os
import re
import secrets
import select
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol

from runcommit_core.errors import ArchiveError
from runcommit_core.interface.progress import Meter
from runcommit_core.oci.jsondoc import parse_object
from runcommit_core.oci.mediatypes import OCI_MANIFEST
from runcommit_core.oci.model import BaseLayer, Compression, FileRegion
from runcommit_core.oci.regions import CHUNK, digest_of_bytes, open_region
from runcommit_core.registry.incoming import incoming
from runcommit_core.registry.received import MANIFEST_BYTES, TooMuchError
from runcommit_core.registry.request import BadRequestError, read_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runcommit_core.index.feeder import Feeder
    from runcommit_core.interface.progress import Progress
    from runcommit_core.registry.connections import Connection, Connections
    from runcommit_core.registry.received import Received, Upload
    from runcommit_core.registry.request import Request
    from runcommit_core.registry.served import ServedImage

log = logging.getLogger("runcommit.registry")

LINGER_SECONDS = 0.5
"""How long a client has to read why its body is not taken."""

_SKIPPED = 16 << 20
_TLS_HANDSHAKE = b"\x16"
_SENT_AT_ONCE = 16 << 20
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+_-]{1,127}/[A-Za-z0-9.+_-]{1,127}")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-", re.ASCII)
_CONTENT_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
_ENDED_BY_PEER = getattr(select, "POLLRDHUP", 0)

Query = Mapping[str, str]


class Serving(Protocol):
    """What a connection needs of its server; :class:`.endpoint.Endpoint` has it."""

    authorization: str
    connections: Connections
    feeder: Callable[[BaseLayer], Feeder | None]
    folder: Path
    image: ServedImage
    locate: Callable[[BaseLayer], BaseLayer]
    problem: ArchiveError | OSError | None
    progress: Progress
    received: Received
    repository: str

    @property
    def address(self) -> str: ...

    @property
    def claimed(self) -> Mapping[str, int]: ...

    def count_request(self) -> None: ...


class Handler:
    """Answers the part of the distribution API that engines use to pull and push an image."""

    request: Request

    def __init__(self, endpoint: Serving, connection: Connection) -> None:
        self.endpoint = endpoint
        self._connection = connection
        self._socket = connection.socket
        self._stream = incoming(self._socket)
        self._closing = False

    def run(self) -> None:
        """Answer request by request until either side has enough."""
        # an answer goes out at once, however small
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while self._answer_one():
            self.endpoint.connections.rest(self._connection)
            if not self._stream.await_byte():
                return
            self._stream.expect_head()

    def _answer_one(self) -> bool:
        """Whether there may be another one."""
        # containerd tries TLS first and falls back to HTTP only after a well-formed HTTP error;
        # a TLS hello has no line end, so waiting for one would hang both sides
        if self._stream.peek(1)[:1] == _TLS_HANDSHAKE:
            self._refuse(BadRequestError(400, "a hello of TLS"))
            return False
        try:
            request = read_request(self._stream, self._invite)
        except BadRequestError as error:
            self._refuse(error)
            return False
        if request is None:
            return False
        self._stream.expect_body()
        self.request = request
        self._closing = not request.persistent
        if self._is_known():
            self._answer_known()
        else:
            self._turn_away()
        return not self._closing

    def _is_known(self) -> bool:
        given = self.request.fields.get("authorization", "")
        wanted = self.endpoint.authorization
        return secrets.compare_digest(given.encode(), wanted.encode())

    def _answer_known(self) -> None:
        if not self.endpoint.connections.trust(self._connection):
            self._closing = True
            self._answer(503, _error("TOOMANYREQUESTS", "there are too many connections"))
            return
        self.endpoint.count_request()
        try:
            self._route()
        except TooMuchError as error:
            self._answer(429, _error("TOOMANYREQUESTS", str(error)))
        except (ConnectionError, TimeoutError):
            raise
        except (ArchiveError, OSError) as error:
            # the engine only sees a broken transfer; the job raises what was found, be it a
            # layer that lies or a full disk
            self.endpoint.problem = error
            self._closing = True

    def _turn_away(self) -> None:
        self._closing = True
        self._answer(
            401,
            _error("UNAUTHORIZED", "this endpoint belongs to one runcommit job"),
            {"WWW-Authenticate": 'Basic realm="runcommit"'},
        )
        if not self.request.body.ended:
            self._linger()

    def _refuse(self, error: BadRequestError) -> None:
        log.debug("refused: %s", error)
        self._socket.sendall(_head(error.status, {"Content-Length": "0", "Connection": "close"}))
        self._linger()

    def _linger(self) -> None:
        """Let the client take the answer: to close with bytes unread would take it back."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        poll = select.poll()
        poll.register(self._socket, _ENDED_BY_PEER)
        poll.poll(LINGER_SECONDS * 1000)

    def _route(self) -> None:
        target, prefix = self.request.target, f"/v2/{self.endpoint.repository}/"
        if target == "/v2/":
            self._answer(200, b"{}", {"Docker-Distribution-API-Version": "registry/2.0"})
            return
        kind, _, name = target.removeprefix(prefix).partition("/")
        action = {
            ("GET", "manifests"): self._get_manifest,
            ("HEAD", "manifests"): self._get_manifest,
            ("PUT", "manifests"): self._put_manifest,
            ("GET", "blobs"): self._get_blob,
            ("HEAD", "blobs"): self._get_blob,
            ("POST", "blobs"): self._start_upload,
            ("PATCH", "blobs"): self._upload_chunk,
            ("PUT", "blobs"): self._finish_upload,
        }.get((self.request.method, kind))
        if action is None or not target.startswith(prefix):
            self._not_found("NAME_UNKNOWN", target)
            return
        action(name, self.request.query)

    # --- pulling

    def _get_manifest(self, name: str, _query: Query) -> None:
        image = self.endpoint.image
        if name in {"base", image.manifest_digest}:
            body, media_type = image.manifest, image.media_type
        elif name in self.endpoint.received.manifests:
            body = self.endpoint.received.manifests[name]
            media_type = _media_type(body)
        else:
            self._not_found("MANIFEST_UNKNOWN", name)
            return
        digest = digest_of_bytes(body)
        self._answer(200, body, {"Content-Type": media_type, "Docker-Content-Digest": digest})

    def _get_blob(self, digest: str, _query: Query) -> None:
        image = self.endpoint.image
        received = self.endpoint.received.blobs.get(digest)
        if digest == image.config_digest:
            self._answer(200, image.config, {"Docker-Content-Digest": digest})
        elif received:
            region = FileRegion(received, 0, received.stat().st_size)
            self._send_blob(digest, region.size, lambda: self._send_region(region, 0, digest))
        elif self.request.method == "HEAD" and digest in self.endpoint.claimed:
            self._send_blob(digest, self.endpoint.claimed[digest], lambda: None)
        elif layer := image.layers.get(digest):
            self._send_layer(layer)
        else:
            self._not_found("BLOB_UNKNOWN", digest)

    def _send_layer(self, layer: BaseLayer) -> None:
        if self.request.method == "HEAD":
            self._send_blob(layer.digest, layer.size, lambda: None)
            return
        layer = self.endpoint.locate(layer)
        region = layer.region
        if region is None:
            raise ArchiveError(f"the bytes of layer {layer.diff_id} are out of reach")
        start = self._range_start(region.size)
        if start:
            self._send_blob(
                layer.digest,
                region.size,
                lambda: self._send_region(region, start, layer.digest),
                start,
            )
        else:
            self._send_blob(layer.digest, region.size, lambda: self._send_observed(layer, region))

    def _send_observed(self, layer: BaseLayer, region: FileRegion) -> None:
        feeder = self.endpoint.feeder(layer)
        if feeder is None:
            self._send_region(region, 0, layer.digest)
            return
        try:
            with open_region(region) as stream, self._meter(layer.digest, region.size) as meter:
                while chunk := stream.read(CHUNK):
                    feeder.write(chunk)
                    self._socket.sendall(chunk)
                    meter.add(len(chunk))
        except BaseException:
            feeder.abort()
            raise
        feeder.finish()

    def _send_region(self, region: FileRegion, start: int, name: str) -> None:
        with self._meter(name, region.size - start) as meter:
            if region.wrapped is Compression.NONE:
                self._send_file(region, start, meter)
                return
            with open_region(region) as stream:
                _skip(stream, start)
                while chunk := stream.read(CHUNK):
                    self._socket.sendall(chunk)
                    meter.add(len(chunk))

    def _send_file(self, region: FileRegion, start: int, meter: Meter) -> None:
        with region.path.open("rb") as file:
            for offset in range(start, region.size, _SENT_AT_ONCE):
                count = min(_SENT_AT_ONCE, region.size - offset)
                sent = self._socket.sendfile(file, region.offset + offset, count)
                meter.add(sent)
                if sent < count:
                    raise ArchiveError(
                        f"{region.path}: ends at byte {region.offset + offset + sent},"
                        f" before byte {region.offset + region.size}",
                        tip="is the file still being written?",
                    )

    def _meter(self, name: str, size: int) -> Meter:
        return Meter(self.endpoint.progress, "to engine", name, size)

    def _range_start(self, size: int) -> int:
        match = _RANGE.fullmatch(self.request.fields.get("range", ""))
        return int(match[1]) if match and int(match[1]) < size else 0

    def _send_blob(self, digest: str, size: int, body: Callable[[], None], start: int = 0) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size - start),
            "Docker-Content-Digest": digest,
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        self._send_head(206 if start else 200, headers)
        if self.request.method == "GET":
            body()

    # --- pushing

    def _start_upload(self, _name: str, query: Query) -> None:
        mount = query.get("mount", "")
        if mount in self.endpoint.claimed or mount in self.endpoint.received.blobs:
            self._created(f"blobs/{mount}", mount)
            return
        self._accepted(self.endpoint.received.start(self.endpoint.folder, self.endpoint.progress))

    def _upload_chunk(self, name: str, _query: Query) -> None:
        with self._upload(name) as upload:
            if upload:
                upload.write(self.request.body.chunks())
        if upload:
            # not before others may write to it: the client goes on at once
            self._accepted(upload)

    def _finish_upload(self, name: str, query: Query) -> None:
        with self._upload(name) as upload:
            if not upload:
                return
            upload.write(self.request.body.chunks())
            wanted, actual = query.get("digest", ""), upload.digest
            if wanted == actual:
                self.endpoint.received.finish(upload)
                self._created(f"blobs/{actual}", actual)
            else:
                self.endpoint.received.discard(upload)
                self._answer(
                    400, _error("DIGEST_INVALID", f"these bytes are {actual}, not {wanted}")
                )

    @contextlib.contextmanager
    def _upload(self, name: str) -> Iterator[Upload | None]:
        """The upload that the body belongs to; None after it was told why there is none."""
        received, key = self.endpoint.received, name.removeprefix("uploads/")
        upload = received.take(key)
        if upload is None:
            if key in received.uploads:
                self._answer(409, _error("BLOB_UPLOAD_INVALID", "another request writes to it"))
            else:
                self._not_found("BLOB_UPLOAD_UNKNOWN", name)
            yield None
            return
        continues = self._continues(upload)
        try:
            if continues:
                self._check_room()
                yield upload
        finally:
            received.give_back(upload)
        if not continues:
            self._answer(416, b"", self._place_of(upload))
            yield None

    def _continues(self, upload: Upload) -> bool:
        """Whether the body begins where the upload ends, as far as it says where."""
        given = self.request.fields.get("content-range")
        if given is None:
            return True
        span, size = _CONTENT_RANGE.fullmatch(given), self.request.body.size
        if not span or int(span[1]) != upload.size:
            return False
        return size is None or int(span[2]) == upload.size + size - 1

    def _check_room(self) -> None:
        """Take nothing of what is larger than the disk."""
        disk = os.statvfs(self.endpoint.folder)
        if disk.f_blocks and (self.request.body.size or 0) > disk.f_bfree * disk.f_frsize:
            folder = str(self.endpoint.folder)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)

    def _accepted(self, upload: Upload) -> None:
        self._answer(202, b"", self._place_of(upload))

    def _place_of(self, upload: Upload) -> dict[str, str]:
        location = self._location(f"blobs/uploads/{upload.id}")
        return {"Location": location, "Range": f"0-{max(upload.size - 1, 0)}"}

    def _put_manifest(self, name: str, _query: Query) -> None:
        body = self._document()
        if body is None:
            self._answer(413, _error("SIZE_INVALID", "the manifest is larger than 20 MiB"))
            return
        try:
            digest = self.endpoint.received.keep_manifest(name, body)
        except TooMuchError as error:
            self._answer(413, _error("SIZE_INVALID", str(error)))
        else:
            self._created(f"manifests/{digest}", digest)

    # --- bodies and answers

    def _invite(self) -> None:
        self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _document(self) -> bytes | None:
        """The whole body, if it is no larger than a manifest may be."""
        if (self.request.body.size or 0) > MANIFEST_BYTES:
            return None
        document = bytearray()
        for chunk in self.request.body.chunks():
            document += chunk
            if len(document) > MANIFEST_BYTES:
                return None
        return bytes(document)

    def _location(self, rest: str) -> str:
        host = self.request.fields.get("host", self.endpoint.address)
        return f"http://{host}/v2/{self.endpoint.repository}/{rest}"

    def _created(self, rest: str, digest: str) -> None:
        self._answer(201, b"", {"Location": self._location(rest), "Docker-Content-Digest": digest})

    def _not_found(self, code: str, name: str) -> None:
        self._answer(404, _error(code, name))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        fields = {"Content-Type": "application/json", **(headers or {})}
        shown = b"" if self.request.method == "HEAD" else body
        self._send_head(status, {**fields, "Content-Length": str(len(body))}, shown)

    def _send_head(self, status: int, fields: dict[str, str], body: bytes = b"") -> None:
        """Answer, after what is left of the request, if that is little; else the last time."""
        if not self._closing and not self.request.body.skip(_SKIPPED):
            self._closing = True
        if self._closing:
            fields["Connection"] = "close"
        log.debug("%s %s: %d", self.request.method, self.request.target, status)
        self._socket.sendall(_head(status, fields) + body)


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _media_type(manifest: bytes) -> str:
    """What a pushed manifest says that it is, as far as that can be said in a header."""
    try:
        said = parse_object(manifest, "the manifest").get("mediaType")
    except ArchiveError:
        return OCI_MANIFEST
    return said if isinstance(said, str) and _MEDIA_TYPE.fullmatch(said) else OCI_MANIFEST


def _skip(stream: BinaryIO, count: int) -> None:
    while count and (chunk := stream.read(min(count, CHUNK))):
        count -= len(chunk)


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
