"""One connection to the loopback registry."""

from __future__ import annotations

import json
import logging
import re
import secrets
import urllib.parse
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, BinaryIO, cast

from runcommit_core.errors import ArchiveError
from runcommit_core.interface.progress import Meter
from runcommit_core.oci.mediatypes import OCI_MANIFEST
from runcommit_core.oci.model import BaseLayer, Compression, FileRegion
from runcommit_core.oci.regions import CHUNK, digest_of_bytes, open_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedIOBase

    from runcommit_core.registry.endpoint import Endpoint
    from runcommit_core.registry.received import Upload

log = logging.getLogger("runcommit.registry")

_MANIFEST_LIMIT = 20 << 20
_TLS_HANDSHAKE = 0x16
_SENT_AT_ONCE = 16 << 20

Query = dict[str, list[str]]


class Handler(BaseHTTPRequestHandler):
    """Answers the part of the distribution API that engines use to pull and push an image."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"
    server_version = "runcommit"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    @property
    def endpoint(self) -> Endpoint:
        return cast("Endpoint", self.server)

    def handle_one_request(self) -> None:
        # containerd tries TLS first and falls back to HTTP only after a well-formed HTTP error;
        # a TLS hello has no line end, so waiting for one would hang both sides
        if self.rfile.peek(1)[:1] == bytes([_TLS_HANDSHAKE]):  # type: ignore[attr-defined]
            self.wfile.write(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            self.wfile.flush()
            self.close_connection = True
            return
        super().handle_one_request()

    def log_message(self, template: str, *args: object) -> None:
        log.debug(template, *args)

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), self.endpoint.authorization.encode()):
            self._drain()
            self._answer(
                401,
                _error("UNAUTHORIZED", "this endpoint belongs to one runcommit job"),
                {"WWW-Authenticate": 'Basic realm="runcommit"'},
            )
            return
        self.endpoint.requests += 1
        try:
            self._route()
        except ConnectionError:
            raise
        except (ArchiveError, OSError) as error:
            # the engine only sees a broken transfer; the job raises what was found, be it a
            # layer that lies or a full disk
            self.endpoint.problem = error
            self.close_connection = True

    do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815  http.server's names

    def _route(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        path = url.path.removeprefix("/v2/")
        if not path:
            self._answer(200, b"{}", {"Docker-Distribution-API-Version": "registry/2.0"})
            return
        prefix = self.endpoint.repository + "/"
        kind, _, name = path.removeprefix(prefix).partition("/")
        action = {
            ("GET", "manifests"): self._get_manifest,
            ("HEAD", "manifests"): self._get_manifest,
            ("PUT", "manifests"): self._put_manifest,
            ("GET", "blobs"): self._get_blob,
            ("HEAD", "blobs"): self._get_blob,
            ("POST", "blobs"): self._start_upload,
            ("PATCH", "blobs"): self._upload_chunk,
            ("PUT", "blobs"): self._finish_upload,
        }.get((self.command, kind))
        if action is None or not path.startswith(prefix):
            self._drain()
            self._not_found("NAME_UNKNOWN", path)
            return
        action(name, query)

    # --- pulling

    def _get_manifest(self, name: str, _query: Query) -> None:
        image = self.endpoint.image
        if name in {"base", image.manifest_digest}:
            body, media_type = image.manifest, image.media_type
        elif name in self.endpoint.received.manifests:
            body = self.endpoint.received.manifests[name]
            media_type = str(json.loads(body).get("mediaType", OCI_MANIFEST))
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
        elif self.command == "HEAD" and digest in self.endpoint.claimed:
            self._send_blob(digest, self.endpoint.claimed[digest], lambda: None)
        elif layer := image.layers.get(digest):
            self._send_layer(layer)
        else:
            self._not_found("BLOB_UNKNOWN", digest)

    def _send_layer(self, layer: BaseLayer) -> None:
        if self.command == "HEAD":
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
                    self.wfile.write(chunk)
                    meter.add(len(chunk))
            self.wfile.flush()
        except BaseException:
            feeder.abort()
            raise
        feeder.finish()

    def _send_region(self, region: FileRegion, start: int, name: str) -> None:
        self.wfile.flush()
        with self._meter(name, region.size - start) as meter:
            if region.wrapped is Compression.NONE:
                self._send_file(region, start, meter)
                return
            with open_region(region) as stream:
                _skip(stream, start)
                while chunk := stream.read(CHUNK):
                    self.wfile.write(chunk)
                    meter.add(len(chunk))

    def _send_file(self, region: FileRegion, start: int, meter: Meter) -> None:
        with region.path.open("rb") as file:
            for offset in range(start, region.size, _SENT_AT_ONCE):
                count = min(_SENT_AT_ONCE, region.size - offset)
                self.connection.sendfile(file, region.offset + offset, count)
                meter.add(count)

    def _meter(self, name: str, size: int) -> Meter:
        return Meter(self.endpoint.progress, "to engine", name, size)

    def _range_start(self, size: int) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match and int(match[1]) < size else 0

    def _send_blob(self, digest: str, size: int, body: Callable[[], None], start: int = 0) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size - start))
        self.send_header("Docker-Content-Digest", digest)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        if self.command == "GET":
            body()
        self.wfile.flush()

    # --- pushing

    def _start_upload(self, _name: str, query: Query) -> None:
        self._drain()
        mount = query.get("mount", [""])[0]
        if mount in self.endpoint.claimed or mount in self.endpoint.received.blobs:
            self._created(f"blobs/{mount}", mount)
            return
        upload = self.endpoint.received.start(self.endpoint.folder, self.endpoint.progress)
        self._accepted(upload)

    def _upload_chunk(self, name: str, _query: Query) -> None:
        if upload := self._upload(name):
            upload.write(self._body())
            self._accepted(upload)

    def _finish_upload(self, name: str, query: Query) -> None:
        if upload := self._upload(name):
            upload.write(self._body())
            wanted, found = query.get("digest", [""])[0], upload.digest
            if wanted == found:
                self.endpoint.received.finish(upload)
                self._created(f"blobs/{found}", found)
            else:
                self.endpoint.received.discard(upload)
                self._answer(
                    400, _error("DIGEST_INVALID", f"these bytes are {found}, not {wanted}")
                )

    def _upload(self, name: str) -> Upload | None:
        upload = self.endpoint.received.uploads.get(name.removeprefix("uploads/"))
        if upload is None:
            self._drain()
            self._not_found("BLOB_UPLOAD_UNKNOWN", name)
        return upload

    def _accepted(self, upload: Upload) -> None:
        location = self._location(f"blobs/uploads/{upload.id}")
        self._answer(202, b"", {"Location": location, "Range": f"0-{max(upload.size - 1, 0)}"})

    def _put_manifest(self, name: str, _query: Query) -> None:
        body = b""
        for chunk in self._body():
            body += chunk
            if len(body) > _MANIFEST_LIMIT:
                self._answer(413, _error("SIZE_INVALID", "the manifest is larger than 20 MiB"))
                self.close_connection = True
                return
        digest = digest_of_bytes(body)
        self.endpoint.received.manifests[name] = body
        self.endpoint.received.manifests[digest] = body
        self._created(f"manifests/{digest}", digest)

    # --- bodies and answers

    def _body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            yield from _dechunk(self.rfile)
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            chunk = self.rfile.read(min(left, CHUNK))
            if not chunk:
                raise ConnectionError("the engine closed the connection in a body")
            left -= len(chunk)
            yield chunk

    def _drain(self) -> None:
        for _ in self._body():
            pass

    def _location(self, rest: str) -> str:
        return f"http://{self.headers['Host']}/v2/{self.endpoint.repository}/{rest}"

    def _created(self, rest: str, digest: str) -> None:
        self._answer(201, b"", {"Location": self._location(rest), "Docker-Content-Digest": digest})

    def _not_found(self, code: str, name: str) -> None:
        self._answer(404, _error(code, name))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()


def _skip(stream: BinaryIO, count: int) -> None:
    while count and (chunk := stream.read(min(count, CHUNK))):
        count -= len(chunk)


def _dechunk(stream: BufferedIOBase) -> Iterator[bytes]:
    """The data of a body in chunked transfer coding (RFC 9112, section 7.1)."""
    while size := int(stream.readline(1024).split(b";")[0], 16):
        while size:
            data = stream.read(min(size, CHUNK))
            if not data:
                raise ConnectionError("the engine closed the connection in a chunk")
            size -= len(data)
            yield data
        stream.readline(1024)
    while stream.readline(8192).strip():
        pass


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
