"""The loopback registry, spoken to over real connections as engines do."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gzip
import hashlib
import http.client
import json
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.base import open_base
from runcommit_core.oci.model import Compression
from runcommit_core.oci.unpacked import unpacked_layer
from runcommit_core.registry.served import private_image, unpacked_image
from tests import images
from tests.loopback import LOWER, UPPER, WAIT, Client, Spy, base_of, code_of, raw, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.registry.endpoint import Endpoint


# --- who may ask


@pytest.mark.parametrize("authorization", ["", "Basic d3Jvbmc6d3Jvbmc=", "Bearer x", "Basic é"])
def test_wrong_credentials_get_nothing(client: Client, base: BaseImage, authorization: str):
    for path in ("/v2/", "manifests/base", f"blobs/{base.layers[0].digest}"):
        answer = client.ask("GET", path, authorization=authorization)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert code_of(answer) == "UNAUTHORIZED"


def test_wrong_credentials_push_nothing(endpoint: Endpoint, client: Client):
    location = client.upload()
    assert client.ask("PATCH", location, b"foreign", authorization="Basic no").status == 401
    assert client.ask("PUT", "manifests/x", b"{}", authorization="Basic no").status == 401
    assert not endpoint.received.manifests
    # the connection is still in step
    assert client.ask("GET", "/v2/").status == 200


def test_only_authorized_requests_count_as_reached(endpoint: Endpoint, client: Client):
    client.ask("GET", "/v2/", authorization="")
    assert endpoint.requests == 0
    client.ask("GET", "/v2/")
    assert endpoint.requests == 1


def test_credentials_are_for_the_user_alone(endpoint: Endpoint):
    umask = os.umask(0)
    try:
        access = endpoint.access()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(access.authfile.stat().st_mode) == 0o600
    auth = json.loads(access.authfile.read_bytes())["auths"][access.address]["auth"]
    user, _, password = base64.b64decode(auth).decode().partition(":")
    assert user
    assert len(password) > 20
    assert endpoint.access() == access
    assert access.reference("tag") == f"{access.address}/{access.repository}:tag"


def test_two_endpoints_share_no_secret(base: BaseImage, tmp_path: Path):
    with serving(base, tmp_path / "1") as one, serving(base, tmp_path / "2") as two:
        assert one.authorization != two.authorization
        assert one.address != two.address


def test_it_listens_on_the_loopback_alone(endpoint: Endpoint):
    assert endpoint.address.startswith("127.0.0.1:")
    assert endpoint.socket.getsockname()[0] == "127.0.0.1"


# --- pulling


def test_version_check(client: Client):
    answer = client.ask("GET", "/v2/")
    assert answer.status == 200
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_the_whole_image_can_be_pulled(tmp_path: Path, compression: str):
    base = base_of(tmp_path / "base", compression)
    with serving(base, tmp_path / "job") as endpoint:
        client = Client(endpoint)
        answer = client.ask("GET", "manifests/base")
        assert answer.headers["Content-Type"] == images.OCI_MANIFEST
        assert answer.headers["Docker-Content-Digest"] == images.digest(answer.body)
        manifest = json.loads(answer.body)
        for descriptor in (manifest["config"], *manifest["layers"]):
            blob = client.ask("GET", f"blobs/{descriptor['digest']}")
            assert blob.status == 200
            assert images.digest(blob.body) == descriptor["digest"]
            assert len(blob.body) == descriptor["size"]
        client.connection.close()
    suffix = "" if compression == "none" else f"+{compression}"
    assert [one["mediaType"] for one in manifest["layers"]] == [images.OCI_LAYER + suffix] * 2


def test_manifest_by_digest_is_the_same(client: Client):
    by_tag = client.ask("GET", "manifests/base")
    digest = by_tag.headers["Docker-Content-Digest"]
    assert client.ask("GET", f"manifests/{digest}") == by_tag


def test_head_of_a_manifest_has_all_but_the_body(client: Client):
    got, head = (client.ask(method, "manifests/base") for method in ("GET", "HEAD"))
    assert head.body == b""
    assert head.status == 200
    assert head.headers["Content-Length"] == str(len(got.body))
    assert head.headers["Docker-Content-Digest"] == got.headers["Docker-Content-Digest"]


@pytest.mark.parametrize("start", [1, 17, 69_999])
def test_a_broken_pull_goes_on_where_it_stopped(client: Client, base: BaseImage, start: int):
    layer = base.layers[0]
    whole = client.ask("GET", f"blobs/{layer.digest}").body
    rest = client.ask("GET", f"blobs/{layer.digest}", Range=f"bytes={start}-")
    assert rest.status == 206
    assert rest.body == whole[start:]
    assert rest.headers["Content-Range"] == f"bytes {start}-{layer.size - 1}/{layer.size}"


@pytest.mark.parametrize("given", ["bytes=0-", "bytes=9999999-", "bytes=5-9", "bytes=-5", "x"])
def test_other_ranges_get_the_whole(client: Client, base: BaseImage, given: str):
    layer = base.layers[0]
    answer = client.ask("GET", f"blobs/{layer.digest}", Range=given)
    assert answer.status == 200
    assert images.digest(answer.body) == layer.digest


def test_a_range_of_a_compressed_archive(tmp_path: Path):
    one = images.image(LOWER)
    path = images.write_archive(tmp_path / "a.tar.gz", images.podman_files(one), wrapped="gzip")
    base = open_base(f"docker-archive:{path}")
    with serving(base, tmp_path / "job") as endpoint:
        client = Client(endpoint)
        assert client.ask("GET", f"blobs/{base.layers[0].digest}").body == LOWER
        rest = client.ask("GET", f"blobs/{base.layers[0].digest}", Range="bytes=1000-")
        assert (rest.status, rest.body) == (206, LOWER[1000:])
        client.connection.close()


def test_every_name_of_a_base_layer_exists(client: Client, base: BaseImage):
    for layer in base.layers:
        stored = client.ask("HEAD", f"blobs/{layer.digest}")
        assert stored.status == 200
        assert stored.headers["Content-Length"] == str(layer.size)
        plain = client.ask("HEAD", f"blobs/{layer.diff_id}")
        assert plain.status == 200
        assert plain.headers["Docker-Content-Digest"] == layer.diff_id


def test_unknown_names(client: Client):
    nothing = f"sha256:{'0' * 64}"
    for path, code in (
        (f"blobs/{nothing}", "BLOB_UNKNOWN"),
        ("manifests/latest", "MANIFEST_UNKNOWN"),
        ("/v2/other/repository/manifests/base", "NAME_UNKNOWN"),
        ("tags/list", "NAME_UNKNOWN"),
    ):
        answer = client.ask("GET", path)
        assert (answer.status, code_of(answer)) == (404, code)
        assert client.ask("HEAD", path).status == 404


def test_nothing_can_be_deleted(client: Client, base: BaseImage):
    assert client.ask("DELETE", f"blobs/{base.layers[0].digest}").status == 404
    assert client.ask("HEAD", f"blobs/{base.layers[0].digest}").status == 200


def test_many_pull_at_once(endpoint: Endpoint, base: BaseImage):
    def pull(number: int) -> str:
        client = Client(endpoint)
        answer = client.ask("GET", f"blobs/{base.layers[number % 2].digest}")
        client.connection.close()
        return images.digest(answer.body)

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(pull, range(24)))
    assert found == [base.layers[number % 2].digest for number in range(24)]


# --- layers that are stored compressed and served uncompressed


@pytest.fixture
def unpacked(base: BaseImage, tmp_path: Path) -> Iterator[tuple[Endpoint, Client]]:
    with serving(base, tmp_path / "job") as endpoint:
        endpoint.serve(unpacked_image(endpoint.image, base.layers))
        client = Client(endpoint)
        yield endpoint, client
        client.connection.close()


def test_unpacked_layers_can_be_pulled(unpacked: tuple[Endpoint, Client]):
    _, client = unpacked
    manifest = json.loads(client.ask("GET", "manifests/base").body)
    assert [one["mediaType"] for one in manifest["layers"]] == [images.OCI_LAYER] * 2
    for descriptor, layer in zip(manifest["layers"], (LOWER, UPPER), strict=True):
        assert (descriptor["digest"], descriptor["size"]) == (images.digest(layer), len(layer))
        path = f"blobs/{descriptor['digest']}"
        assert client.ask("GET", path).body == layer
        assert client.ask("HEAD", path).headers["Content-Length"] == str(len(layer))
        rest = client.ask("GET", path, Range="bytes=1000-")
        assert (rest.status, rest.body) == (206, layer[1000:])


def test_unpacked_is_the_same_image_under_the_same_name(base: BaseImage):
    stored = private_image(base)
    unpacked = unpacked_image(stored, base.layers)
    assert (unpacked.name, unpacked.config) == (stored.name, stored.config)
    assert unpacked.manifest_digest != stored.manifest_digest


def test_the_feeder_sees_unpacked_bytes(base: BaseImage, tmp_path: Path):
    spy, seen = Spy(), []

    def feeder(layer: BaseLayer) -> Spy:
        seen.append((layer.diff_id, layer.compression))
        return spy

    with serving(base, tmp_path / "job", feeder=feeder) as endpoint:
        endpoint.serve(unpacked_image(endpoint.image, base.layers))
        client = Client(endpoint)
        client.ask("GET", f"blobs/{images.digest(LOWER)}")
        assert spy.finished.wait(WAIT)
        client.connection.close()
    assert bytes(spy.seen) == LOWER
    assert seen == [(images.digest(LOWER), Compression.NONE)]


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_what_is_no_gzip_is_served_as_stored(tmp_path: Path, compression: str):
    base = base_of(tmp_path / "base", compression)
    assert unpacked_image(stored := private_image(base), base.layers) is stored


def test_an_end_that_no_tar_has_is_not_believed(tmp_path: Path):
    for name, tail in (("a", gzip.compress(b"")), ("b", gzip.compress(b"\0" * 511))):
        one = images.image(LOWER)
        stored = gzip.compress(LOWER) + tail
        one = dataclasses.replace(one, stored=(stored,), compression="gzip")
        base = open_base(f"oci:{images.write_directory(tmp_path / name, images.oci_files(one))}")
        assert unpacked_layer(base.layers[0]) is base.layers[0]
    archive = images.write_archive(
        tmp_path / "a.tar", images.oci_files(images.image(LOWER, compression="gzip"))
    )
    (layer,) = open_base(f"oci-archive:{archive}").layers
    assert unpacked_layer(layer) is layer, "only a file of its own"


# --- the feeder


def test_the_feeder_sees_the_stored_bytes(base: BaseImage, tmp_path: Path):
    spies = {layer.digest: Spy() for layer in base.layers}
    with serving(base, tmp_path / "job", feeder=lambda layer: spies[layer.digest]) as endpoint:
        client = Client(endpoint)
        for digest, spy in spies.items():
            body = client.ask("GET", f"blobs/{digest}").body
            assert spy.finished.wait(WAIT)
            assert bytes(spy.seen) == body
            assert not spy.aborted.is_set()
        client.connection.close()


def test_the_feeder_is_not_asked_for_parts_or_heads(base: BaseImage, tmp_path: Path):
    asked: list[str] = []

    def feeder(layer: BaseLayer) -> None:
        asked.append(layer.digest)

    with serving(base, tmp_path / "job", feeder=feeder) as endpoint:
        client = Client(endpoint)
        client.ask("HEAD", f"blobs/{base.layers[0].digest}")
        client.ask("GET", f"blobs/{base.layers[0].digest}", Range="bytes=5-")
        assert asked == []
        client.ask("GET", f"blobs/{base.layers[0].digest}")
        assert asked == [base.layers[0].digest]
        client.connection.close()


def test_a_dropped_connection_aborts_the_feeder(tmp_path: Path):
    # more than all the buffers on the way can take
    one = images.image(images.layer({"big": bytes(64 << 20)}))
    path = images.write_directory(tmp_path / "big", images.oci_files(one))
    base, spy = open_base(f"oci:{path}"), Spy()
    with serving(base, tmp_path / "job", feeder=lambda _: spy) as endpoint:
        client = Client(endpoint)
        client.connection.request(
            "GET",
            f"{client.root}blobs/{base.layers[0].digest}",
            headers={"Authorization": f"Basic {client.token}"},
        )
        response = client.connection.getresponse()
        assert len(response.read(1000)) == 1000
        response.close()
        client.connection.close()
        assert spy.aborted.wait(WAIT)
    assert not spy.finished.is_set()
    assert endpoint.problem is None


def test_what_the_feeder_finds_is_the_jobs_problem(base: BaseImage, tmp_path: Path):
    found = ArchiveError("the layer lies")
    with serving(base, tmp_path / "job", feeder=lambda _: Spy(found)) as endpoint:
        client = Client(endpoint)
        client.ask("GET", f"blobs/{base.layers[0].digest}")
        # the handler has noted the problem before it ends the connection
        assert client.connection.sock is None or client.connection.sock.recv(1) == b""
        client.connection.close()
    assert endpoint.problem is found


def test_a_layer_out_of_reach_is_the_jobs_problem(base: BaseImage, tmp_path: Path):
    found = ArchiveError("the engine came without it")

    def locate(_: BaseLayer) -> BaseLayer:
        raise found

    with serving(base, tmp_path / "job", locate=locate) as endpoint:
        client = Client(endpoint)
        with pytest.raises(http.client.RemoteDisconnected):
            client.ask("GET", f"blobs/{base.layers[0].digest}")
        client.connection.close()
    assert endpoint.problem is found


def test_a_base_cut_short_is_the_jobs_problem(base: BaseImage, tmp_path: Path):
    region = base.layers[0].region
    assert region is not None
    os.truncate(region.path, region.size - 10)
    with serving(base, tmp_path / "job", feeder=lambda _: Spy()) as endpoint:
        client = Client(endpoint)
        with pytest.raises((http.client.IncompleteRead, http.client.RemoteDisconnected)):
            client.ask("GET", f"blobs/{base.layers[0].digest}")
        client.connection.close()
    assert endpoint.problem is not None
    assert str(region.path) in str(endpoint.problem)


# --- pushing


def test_a_disk_that_takes_no_more_is_the_jobs_problem(endpoint: Endpoint, client: Client):
    location = client.upload()
    endpoint.folder.rename(endpoint.folder.with_name("gone"))
    with pytest.raises(http.client.RemoteDisconnected):
        client.ask("PATCH", location, b"bytes")
    assert isinstance(endpoint.problem, FileNotFoundError)


def test_monolithic_put(endpoint: Endpoint, client: Client):
    data = os.urandom(3 << 20)
    digest = client.push(data)
    assert endpoint.received.blobs[digest].read_bytes() == data
    assert client.ask("HEAD", f"blobs/{digest}").headers["Content-Length"] == str(len(data))
    assert client.ask("GET", f"blobs/{digest}").body == data


def test_an_empty_blob(endpoint: Endpoint, client: Client):
    digest = client.push(b"")
    assert digest == images.digest(b"")
    assert endpoint.received.blobs[digest].read_bytes() == b""
    assert client.ask("GET", f"blobs/{digest}").body == b""


@pytest.mark.parametrize("chunked", [True, False])
def test_patches_then_put(endpoint: Endpoint, client: Client, *, chunked: bool):
    pieces = [os.urandom(size) for size in (1, 70_000, 2 << 20)]
    location, size = client.upload(), 0
    for piece in pieces:
        halves = (piece[: len(piece) // 2], piece[len(piece) // 2 :])
        body = iter([half for half in halves if half]) if chunked else piece
        answer = client.ask("PATCH", location, body)
        size += len(piece)
        assert answer.status == 202
        assert answer.headers["Range"] == f"0-{size - 1}"
        location = answer.headers["Location"]
    data = b"".join(pieces)
    done = client.ask("PUT", f"{location}?digest={images.digest(data)}")
    assert (done.status, done.headers["Docker-Content-Digest"]) == (201, images.digest(data))
    assert endpoint.received.blobs[images.digest(data)].read_bytes() == data
    assert not endpoint.received.uploads


def test_chunks_with_extensions_and_trailers(endpoint: Endpoint, client: Client):
    location = client.upload()
    path = location.partition("//")[2].partition("/")[2]
    request = (
        f"PUT /{path}?digest={images.digest(b'hello world')} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Basic {client.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;name=value\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
        "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Basic {client.token}\r\n\r\n"
    )
    said = raw(endpoint, request.encode())
    assert said.startswith(b"HTTP/1.1 201 ")
    assert b"HTTP/1.1 200 OK" in said, "the body was not read to its end"
    assert images.digest(b"hello world") in endpoint.received.blobs


def test_a_wrong_digest_keeps_nothing(endpoint: Endpoint, client: Client):
    wrong = images.digest(b"other")
    location = client.upload()
    answer = client.ask("PUT", f"{location}?digest={wrong}", b"these bytes")
    assert (answer.status, code_of(answer)) == (400, "DIGEST_INVALID")
    assert images.digest(b"these bytes") in answer.body.decode()
    assert client.ask("HEAD", f"blobs/{wrong}").status == 404
    assert client.ask("HEAD", f"blobs/{images.digest(b'these bytes')}").status == 404
    assert not endpoint.received.blobs
    assert not list(endpoint.folder.glob("blob-*"))
    assert client.ask("PATCH", location, b"more").status == 404


def test_an_unknown_upload(endpoint: Endpoint, client: Client):
    for method in ("PATCH", "PUT"):
        answer = client.ask(method, "blobs/uploads/nothing?digest=sha256:0", b"bytes")
        assert (answer.status, code_of(answer)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert not endpoint.received.blobs


def test_mounting_what_the_base_has(client: Client, base: BaseImage):
    for name in (base.layers[0].digest, base.layers[1].diff_id):
        answer = client.ask("POST", f"blobs/uploads/?mount={name}&from=some/where")
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, name)


def test_mounting_what_nobody_has_starts_an_upload(endpoint: Endpoint, client: Client):
    answer = client.ask("POST", f"blobs/uploads/?mount=sha256:{'0' * 64}&from=some/where")
    assert answer.status == 202
    done = client.ask("PUT", f"{answer.headers['Location']}?digest={images.digest(b'x')}", b"x")
    assert done.status == 201
    assert set(endpoint.received.blobs) == {images.digest(b"x")}


def test_a_body_with_the_post_is_asked_for_again(endpoint: Endpoint, client: Client):
    # the specification lets a registry answer 202 to a single POST
    answer = client.ask("POST", f"blobs/uploads/?digest={images.digest(b'x')}", b"x")
    assert answer.status == 202
    assert not endpoint.received.blobs
    assert client.ask("GET", "/v2/").status == 200


def test_pushed_manifest_by_tag_and_digest(endpoint: Endpoint, client: Client):
    body = images.dumps({"schemaVersion": 2, "mediaType": images.DOCKER_MANIFEST})
    answer = client.ask("PUT", "manifests/job", body)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, images.digest(body))
    assert endpoint.received.manifests["job"] == body
    for name in ("job", images.digest(body)):
        got = client.ask("GET", f"manifests/{name}")
        assert got.body == body
        assert got.headers["Content-Type"] == images.DOCKER_MANIFEST
        assert got.headers["Docker-Content-Digest"] == images.digest(body)


def test_the_served_manifest_cannot_be_replaced(client: Client):
    before = client.ask("GET", "manifests/base").body
    client.ask("PUT", "manifests/base", b"{}")
    assert client.ask("GET", "manifests/base").body == before


def test_a_manifest_without_end(endpoint: Endpoint, client: Client):
    megabyte = bytes(1 << 20)
    with contextlib.suppress(ConnectionError):
        answer = client.ask("PUT", "manifests/big", iter([megabyte] * 21))
        assert answer.status == 413
    assert not endpoint.received.manifests


def test_a_push_that_breaks_off_keeps_nothing(endpoint: Endpoint, client: Client):
    location = client.upload().partition("//")[2].partition("/")[2]
    head = (
        f"PUT /{location}?digest={images.digest(b'abc')} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Basic {client.token}\r\n"
    )
    for rest in ("Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"):
        assert raw(endpoint, (head + rest).encode()) == b""
    assert not endpoint.received.blobs


# --- connections


def test_a_tls_hello_is_answered_at_once_in_http(endpoint: Endpoint):
    address, _, port = endpoint.address.partition(":")
    with socket.create_connection((address, int(port)), timeout=WAIT) as connection:
        # a client waits for the answer with its side open; there is no line end in a hello
        connection.sendall(bytes.fromhex("1603010200010001fc0303") + bytes(32))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


def test_garbage_does_not_stop_the_server(endpoint: Endpoint, client: Client):
    for garbage in (b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"", b"\r\n", b"X" * 70_000):
        raw(endpoint, garbage)
    assert client.ask("GET", "/v2/").status == 200


@pytest.mark.parametrize("length", ["abc", "-1", "9" * 30])
def test_a_senseless_length_does_not_stop_the_server(
    endpoint: Endpoint, client: Client, length: str
):
    raw(
        endpoint,
        f"PUT {client.root}manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        f"Authorization: Basic {client.token}\r\n\r\nbody".encode(),
    )
    assert not endpoint.received.manifests
    assert client.ask("GET", "/v2/").status == 200


def test_the_end_closes_idle_connections(base: BaseImage, tmp_path: Path):
    with serving(base, tmp_path / "job") as endpoint:
        client = Client(endpoint)
        assert client.ask("GET", "/v2/").status == 200
        idle = client.connection.sock
    assert idle.recv(1) == b""
    client.connection.close()
    address, _, port = endpoint.address.partition(":")
    with pytest.raises(ConnectionRefusedError), socket.create_connection((address, int(port))):
        pass


def test_the_end_stops_a_pull(tmp_path: Path):
    one = images.image(images.layer({"big": bytes(64 << 20)}))
    path = images.write_directory(tmp_path / "big", images.oci_files(one))
    base, spy = open_base(f"oci:{path}"), Spy()
    with serving(base, tmp_path / "job", feeder=lambda _: spy) as endpoint:
        client = Client(endpoint)
        client.connection.request(
            "GET",
            f"{client.root}blobs/{base.layers[0].digest}",
            headers={"Authorization": f"Basic {client.token}"},
        )
        response = client.connection.getresponse()
        response.read(1)
    assert spy.aborted.wait(WAIT)
    response.close()
    client.connection.close()


# --- the private image


def test_the_private_image_depends_on_the_config_alone(tmp_path: Path):
    plain, squeezed = (base_of(tmp_path / kind, kind) for kind in ("none", "gzip"))
    assert private_image(plain).name == private_image(squeezed).name
    other = images.image(UPPER, LOWER)
    base = open_base(f"oci:{images.write_directory(tmp_path / 'other', images.oci_files(other))}")
    assert private_image(base).name != private_image(plain).name
    config = hashlib.sha256(private_image(base).config).hexdigest()
    assert private_image(base).name == f"localhost/runcommit/base:{config[:24]}"


@pytest.mark.parametrize("compression", Compression)
def test_what_a_registry_can_serve(base: BaseImage, compression: Compression):
    lower, upper = base.layers
    other = dataclasses.replace(
        base, layers=(lower, dataclasses.replace(upper, compression=compression))
    )
    served = compression not in {Compression.XZ, Compression.BZIP2}
    assert private_image(other).portable is served
