"""What a hostile neighbour can do to the loopback registry: nothing that the job would notice."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from runcommit_core.registry import connections, handler, incoming, received, request
from tests import images
from tests.loopback import LOWER, WAIT, Client, Spy, code_of, raw, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runcommit_core.oci.model import BaseImage
    from runcommit_core.registry.endpoint import Endpoint

PIECE = bytes(1 << 20)
MUCH = 64
"""Pieces that somebody tries to send; buffers on the way take a few."""

DIGEST = images.digest(b"hello world")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handler, "LINGER_SECONDS", 0.05)


@pytest.fixture
def endpoint(endpoint: Endpoint, base: BaseImage) -> Iterator[Endpoint]:
    """An endpoint that must serve as ever after the attack, and have found nothing wrong."""
    yield endpoint
    client = Client(endpoint)
    assert client.ask("GET", f"blobs/{base.layers[0].digest}").status == 200
    data = os.urandom(100)
    assert endpoint.received.blobs[client.push(data)].read_bytes() == data
    client.connection.close()
    assert endpoint.problem is None


@contextlib.contextmanager
def connected(endpoint: Endpoint) -> Iterator[socket.socket]:
    address, _, port = endpoint.address.partition(":")
    with socket.create_connection((address, int(port)), timeout=WAIT) as connection:
        yield connection


def head(client: Client, method: str, path: str, *lines: str, known: bool = True) -> bytes:
    """The head of a request; ``path`` is below the repository unless it starts with a slash."""
    target = path if path.startswith("/") else client.root + path
    who = [f"Authorization: Basic {client.token}"] if known else []
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: x", *who, *lines, "", "")).encode(
        "latin-1"
    )


def answers(said: bytes) -> list[int]:
    """The status of each answer."""
    return [int(part[2:5]) for part in said.split(b"HTTP/1.")[1:]]


def heard(connection: socket.socket) -> bytes:
    """What comes until the other side closes; our side stays open."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(1 << 16):
            said += chunk
    return said


def refused(connection: socket.socket, piece: bytes = PIECE) -> bool:
    """Whether the other side stops taking bytes long before all were sent."""
    with contextlib.suppress(ConnectionError):
        for _ in range(MUCH):
            connection.sendall(piece)
        return False
    return True


def upload(client: Client) -> str:
    return "/" + client.upload().partition("//")[2].partition("/")[2]


# --- without credentials


BODIES = {
    "length": (f"Content-Length: {MUCH << 20}",),
    "huge": ("Content-Length: 9" + "0" * 14,),
    "chunked": ("Transfer-Encoding: chunked",),
    "patient": ("Transfer-Encoding: chunked", "Expect: 100-continue"),
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "BREW"])
@pytest.mark.parametrize("announced", BODIES.values(), ids=BODIES)
def test_nothing_is_read_of_a_stranger(
    endpoint: Endpoint, client: Client, method: str, announced: tuple[str, ...]
):
    with connected(endpoint) as connection:
        connection.sendall(head(client, method, "manifests/x", *announced, known=False))
        said = heard(connection)
        assert answers(said) == [401]
        assert b"Connection: close" in said
        assert refused(connection)
    assert endpoint.requests == 0


def test_a_stranger_has_one_request_on_a_connection(endpoint: Endpoint, client: Client):
    one = head(client, "HEAD", "/v2/", known=False)
    assert answers(raw(endpoint, one * 200)) == [401]
    assert answers(raw(endpoint, one + head(client, "GET", "/v2/"))) == [401]
    assert endpoint.requests == 0


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /" + b"x" * 100_000,
        b"X" * 100_000,
        b"\0" * 100_000,
        b"GET / HTTP/1.1\r\nX: " + b" " * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"\r\n" * 50_000,
        b"\n" * 100_000,
    ],
    ids=["target", "word", "zeros", "value", "fields", "lines", "newlines"],
)
def test_a_head_is_small(endpoint: Endpoint, begin: bytes):
    with connected(endpoint) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(begin)
        assert refused(connection, begin)
        assert set(answers(heard(connection))) <= {400, 431}


def test_idle_strangers_make_way(endpoint: Endpoint, client: Client):
    strangers = 3 * connections.STRANGERS
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connected(endpoint)) for _ in range(strangers)]
        assert client.ask("GET", "/v2/").status == 200
        for connection in crowd[: strangers - connections.STRANGERS - 1]:
            assert heard(connection) == b"", "the oldest go first"
        assert endpoint.connections.strangers <= connections.STRANGERS


def test_strangers_that_say_half_make_way(endpoint: Endpoint, client: Client):
    with contextlib.ExitStack() as stack:
        for _ in range(2 * connections.STRANGERS):
            stack.enter_context(connected(endpoint)).sendall(b"GET /v2/ HTTP/1.1\r\nHost")
        assert client.ask("GET", "/v2/").status == 200
        assert endpoint.connections.strangers <= connections.STRANGERS


def test_a_crowd_never_costs_the_engine_its_connection(endpoint: Endpoint, base: BaseImage):
    clients = [Client(endpoint) for _ in range(8)]
    for each in clients:
        assert each.ask("GET", "/v2/").status == 200
    theirs = [each.connection.sock for each in clients]
    with contextlib.ExitStack() as stack:
        for _ in range(2 * connections.STRANGERS):
            stack.enter_context(connected(endpoint))
        for each in clients:
            assert each.ask("GET", f"blobs/{base.layers[0].digest}").status == 200
        assert [each.connection.sock for each in clients] == theirs
    for each in clients:
        each.connection.close()


def test_the_engine_gets_in_while_strangers_come_and_come(endpoint: Endpoint, base: BaseImage):
    enough = threading.Event()

    def crowd() -> None:
        held: list[socket.socket] = []
        for _ in range(3000):
            if enough.is_set():
                break
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", endpoint.port), WAIT))
            if len(held) > connections.STRANGERS:
                held.pop(0).close()
        for each in held:
            each.close()

    def pull(number: int) -> str:
        client = Client(endpoint)
        answer = client.ask("GET", f"blobs/{base.layers[number % 2].digest}")
        client.connection.close()
        return images.digest(answer.body)

    with ThreadPoolExecutor(7) as pool:
        crowding = pool.submit(crowd)
        try:
            found = list(pool.map(pull, range(30)))
        finally:
            enough.set()
        crowding.result()
    assert found == [base.layers[number % 2].digest for number in range(30)]


def test_a_stranger_that_trickles_is_sent_away(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(incoming, "HEAD_SECONDS", 0.3)
    ended = threading.Event()
    with connected(endpoint) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\n")

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.02):
                    connection.sendall(b"X: y\r\n"[:1])

        with ThreadPoolExecutor(1) as pool:
            pool.submit(trickle)
            try:
                assert answers(heard(connection)) in ([], [408])
            finally:
                ended.set()


def test_a_stranger_that_says_nothing_is_sent_away(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(incoming, "HEAD_SECONDS", 0.2)
    with connected(endpoint) as connection:
        assert heard(connection) == b""


def test_descriptors_that_run_out_come_back(
    endpoint: Endpoint, client: Client, monkeypatch: pytest.MonkeyPatch
):
    accept, failures = endpoint.accept, [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED]

    def failing() -> socket.socket:
        if failures:
            raise OSError(failures.pop(), "")
        return accept()

    monkeypatch.setattr(endpoint, "accept", failing)
    for _ in range(2):
        assert client.ask("GET", "/v2/").status == 200
        client.connection.close()
    assert not failures


# --- with credentials: what an engine, or somebody through it, may get wrong


SENSELESS = {
    "minus": ("Content-Length: -1",),
    "plus": ("Content-Length: +11",),
    "underscore": ("Content-Length: 1_1",),
    "hex": ("Content-Length: 0xb",),
    "empty": ("Content-Length:",),
    "endless": ("Content-Length: " + "9" * 5000,),
    "list": ("Content-Length: 11, 11",),
    "digits of other scripts": ("Content-Length: \xb2",),
    "twice": ("Content-Length: 11", "Content-Length: 11"),
    "two": ("Content-Length: 11", "content-length: 0"),
    "both": ("Content-Length: 11", "Transfer-Encoding: chunked"),
    "both, other way": ("Transfer-Encoding: chunked", "Content-Length: 11"),
    "unknown coding": ("Transfer-Encoding: gzip",),
    "two codings": ("Transfer-Encoding: gzip, chunked",),
    "chunked twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "identity": ("Transfer-Encoding: identity",),
    "hidden coding": ("Transfer-Encoding: \x0bchunked",),
    "blank before colon": ("Content-Length : 11",),
    "folded": ("X: y", " Content-Length: 11"),
    "folded value": ("Content-Length:", " 11"),
    "no colon": ("Content-Length",),
    "no name": (": 11",),
    "zero": ("X: \0",),
    "carriage return": ("X: a\rContent-Length: 11",),
    "newline": ("X: a\nContent-Length: 11",),
    "two hosts": ("Host: y",),
    "two users": ("Authorization: Basic eA==",),
    "other expectation": ("Expect: miracles", "Content-Length: 11"),
}


@pytest.mark.parametrize("lines", SENSELESS.values(), ids=SENSELESS)
@pytest.mark.parametrize("method", ["PUT", "GET", "BREW"])
def test_a_request_that_can_be_read_in_two_ways_is_refused(
    endpoint: Endpoint, client: Client, method: str, lines: tuple[str, ...]
):
    smuggled = head(client, "PUT", "manifests/smuggled", "Content-Length: 2") + b"{}"
    said = raw(endpoint, head(client, method, "manifests/x", *lines) + smuggled * 2)
    assert len(answers(said)) == 1
    assert answers(said)[0] in (400, 417, 501)
    assert not endpoint.received.manifests


TARGETS = [
    "GET /v2/",
    "GET /v2/ HTTP/0.9",
    "GET /v2/ HTTP/2.0",
    "GET /v2/ HTTP/1.10",
    "GET /v2/ HTTP/1.1 HTTP/1.1",
    "GET  /v2/ HTTP/1.1",
    "GET\t/v2/ HTTP/1.1",
    "get /v2/ HTTP/1.1",
    "PRI * HTTP/2.0",
    "OPTIONS * HTTP/1.1",
    "CONNECT x:80 HTTP/1.1",
    "GET http://x/v2/ HTTP/1.1",
    "GET //x/v2/ HTTP/1.1",
    "GET //[/v2/ HTTP/1.1",
    "GET v2/ HTTP/1.1",
    "GET {root}manifests/base HTTP/1.1".replace("/v2/", ""),
    "GET /v2/../v2/ HTTP/1.1",
    "GET /v2//{name}/manifests/base HTTP/1.1",
    "GET /{name}/manifests/base HTTP/1.1",
    "GET /v2/{name}/../{name}/manifests/base HTTP/1.1",
    "GET /v2/{name}/%2e%2e/manifests/base HTTP/1.1",
    "GET /v2/{name}/blobs/../../../../../etc/passwd HTTP/1.1",
    "GET /v2/{name}/blobs/%2fetc%2fpasswd HTTP/1.1",
    "GET /v2/{name}/manifests/base\0 HTTP/1.1",
    "GET /v2/{name}/manifests/b\xe4se HTTP/1.1",
    "PATCH /v2/{name}/blobs/uploads/../../auth.json HTTP/1.1",
    "PUT /v2/{name}/blobs/uploads/uploads/?digest=x HTTP/1.1",
    "POST /v2/{name}/blobs/uploads/?" + "a=b&" * 5000 + " HTTP/1.1",
]


@pytest.mark.parametrize("line", TARGETS)
def test_only_what_a_path_names_is_reached(endpoint: Endpoint, client: Client, line: str):
    line = line.replace("{name}", endpoint.repository)
    rest = f"Host: x\r\nAuthorization: Basic {client.token}\r\n\r\n"
    said = raw(endpoint, f"{line}\r\n{rest}".encode("latin-1"))
    assert len(answers(said)) == 1
    assert 400 <= answers(said)[0] < 500
    assert not endpoint.received.uploads


@pytest.mark.parametrize("named", [None, "", "a b", "a/../b", "a@b", "\xe4", "x" * 5000])
def test_only_a_host_is_a_host(endpoint: Endpoint, client: Client, named: str | None):
    line = "" if named is None else f"Host: {named}\r\n"
    who = f"Authorization: Basic {client.token}\r\n\r\n"
    target = f"POST {client.root}blobs/uploads/ HTTP/1.1\r\n"
    assert answers(raw(endpoint, (target + line + who).encode("latin-1"))) == [400]
    assert not endpoint.received.uploads


CHUNKS = {
    "minus": b"-1\r\n",
    "plus": b"+b\r\nhello world\r\n0\r\n\r\n",
    "hex": b"0xb\r\nhello world\r\n0\r\n\r\n",
    "blank": b" b\r\nhello world\r\n0\r\n\r\n",
    "underscore": b"0_b\r\nhello world\r\n0\r\n\r\n",
    "nothing": b"\r\n",
    "huge": b"f" * 17 + b"\r\n",
    "digits": b"0" * 100_000,
    "bare newline": b"b\nhello world\r\n0\r\n\r\n",
    "too much": b"5\r\nhello world\r\n0\r\n\r\n",
    "no end": b"b\r\nhello worldxx0\r\n\r\n",
    "extension": b"b;" + b"x" * 100_000 + b"\r\nhello world\r\n0\r\n\r\n",
    "trailer": b"b\r\nhello world\r\n0\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "trailers": b"b\r\nhello world\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
}


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS)
def test_a_chunk_that_is_none_ends_the_connection(endpoint: Endpoint, client: Client, body: bytes):
    place = upload(client)
    with connected(endpoint) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(
                head(client, "PUT", f"{place}?digest={DIGEST}", "Transfer-Encoding: chunked") + body
            )
        assert refused(connection)
        assert answers(heard(connection)) in ([], [400])
    assert DIGEST not in endpoint.received.blobs


@pytest.mark.parametrize("given", ["bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000, "bytes=²-"])
def test_an_absurd_range_gets_the_whole(
    endpoint: Endpoint, client: Client, base: BaseImage, given: str
):
    layer = base.layers[0]
    answer = client.ask("GET", f"blobs/{layer.digest}", Range=given)
    assert answer.status == 200
    assert images.digest(answer.body) == layer.digest
    assert answer.headers["Content-Length"] == str(layer.size)


def test_a_chunk_belongs_where_the_last_one_ended(endpoint: Endpoint, client: Client):
    place = upload(client)
    assert client.ask("PATCH", place, b"hello", **{"Content-Range": "0-4"}).status == 202
    for start in ("0-4", "4-9", "6-11"):
        answer = client.ask("PATCH", place, b" world", **{"Content-Range": start})
        assert answer.status == 416
        assert answer.headers["Range"] == "0-4"
    for senseless in ("-5", "x", "5-4", "5-9", "5-11", "9" * 5000 + "-", "bytes 5-10/11"):
        answer = client.ask("PATCH", place, b" world", **{"Content-Range": senseless})
        assert answer.status == 416
    assert client.ask("PATCH", place, b" world", **{"Content-Range": "5-10"}).status == 202
    assert client.ask("PUT", f"{place}?digest={DIGEST}").status == 201


def test_who_expects_is_told_to_go_on(endpoint: Endpoint, client: Client):
    place = upload(client)
    with connected(endpoint) as connection:
        wanted = ("Expect: 100-continue", "Content-Length: 11", "Connection: close")
        connection.sendall(head(client, "PUT", f"{place}?digest={DIGEST}", *wanted))
        said = b""
        while not said.endswith(b"\r\n\r\n"):
            said += connection.recv(1)
        assert said == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello world")
        assert answers(heard(connection)) == [201]


def test_requests_in_one_go_are_answered_in_order(endpoint: Endpoint, client: Client):
    place = upload(client)
    goes = [
        head(client, "PATCH", place, "Content-Length: 5") + b"hello",
        head(client, "PATCH", place, "Transfer-Encoding: chunked") + b"6\r\n world\r\n0\r\n\r\n",
        head(client, "HEAD", f"blobs/{DIGEST}"),
        head(client, "PUT", f"{place}?digest={DIGEST}"),
        head(client, "HEAD", f"blobs/{DIGEST}"),
        *[head(client, "HEAD", "manifests/base")] * 300,
    ]
    assert answers(raw(endpoint, b"".join(goes))) == [202, 202, 404, 201, 200, *[200] * 300]


def test_a_body_that_nobody_wanted_keeps_the_connection_in_step(endpoint: Endpoint, client: Client):
    for method, path, status in (
        ("GET", "/v2/", 200),
        ("HEAD", "manifests/base", 200),
        ("PUT", "tags/list", 404),
        ("POST", "blobs/uploads/", 202),
    ):
        ask = head(client, method, path, "Content-Length: 60") + b"GET /v2/ HTTP/1.1\r\n".ljust(60)
        assert answers(raw(endpoint, ask + head(client, "GET", "/v2/"))) == [status, 200]


def test_an_engine_that_stops_in_a_body_is_not_waited_for(
    endpoint: Endpoint, client: Client, monkeypatch: pytest.MonkeyPatch
):
    place = upload(client)
    monkeypatch.setattr(incoming, "IDLE_SECONDS", 0.2)
    for framing in ("Content-Length: 11", "Transfer-Encoding: chunked"):
        with connected(endpoint) as connection:
            connection.sendall(head(client, "PATCH", place, framing) + b"5\r\nhel")
            assert answers(heard(connection)) in ([], [408])


def test_an_idle_engine_is_waited_for(
    endpoint: Endpoint, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(incoming, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(incoming, "HEAD_SECONDS", 0.05)
    with connected(endpoint) as connection:
        connection.settimeout(0.3)
        connection.sendall(head(client, "GET", "/v2/"))
        assert answers(connection.recv(1 << 16)) == [200]
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.sendall(head(client, "HEAD", "/v2/", "Connection: close"))
        assert answers(heard(connection)) == [200]


def test_more_connections_than_an_engine_has(endpoint: Endpoint, client: Client):
    many = 2 * connections.ENGINES
    with contextlib.ExitStack() as stack:
        for _ in range(many):
            connection = stack.enter_context(connected(endpoint))
            connection.sendall(head(client, "HEAD", "/v2/"))
            assert answers(connection.recv(1 << 16)) == [200]
        assert endpoint.connections.engines <= connections.ENGINES


# --- what is kept


def test_uploads_that_nobody_finishes_make_way(endpoint: Endpoint, client: Client):
    places = [upload(client) for _ in range(received.UPLOADS)]
    for place in places:
        assert client.ask("PATCH", place, b"hello").status == 202
    more = [upload(client) for _ in range(10)]
    assert len(endpoint.received.uploads) == received.UPLOADS
    assert len(list(endpoint.folder.glob("blob-*"))) == received.UPLOADS - 10
    for place in places[:10]:
        assert client.ask("PATCH", place, b" world").status == 404
    for place in (places[10], more[0]):
        done = client.ask("PUT", f"{place}?digest={images.digest(b'hello')}", b"hello"[:0])
        assert done.status == (201 if place is places[10] else 400)


def test_blobs_are_not_too_many(
    endpoint: Endpoint, client: Client, monkeypatch: pytest.MonkeyPatch
):
    for number in range(3):
        client.push(b"%d" % number)
    with monkeypatch.context() as patch:
        patch.setattr(received, "BLOBS", 3)
        answer = client.ask("POST", "blobs/uploads/")
    assert (answer.status, code_of(answer)) == (429, "TOOMANYREQUESTS")


def test_manifests_are_not_too_much(endpoint: Endpoint, client: Client):
    big = b" " * (received.MANIFEST_BYTES - 2000)
    statuses = [client.ask("PUT", f"manifests/{n}", big + b"%d" % n).status for n in range(3)]
    assert statuses == [201, 201, 413]
    assert len(endpoint.received.manifests) == 4
    long = "x" * 20_000
    statuses = [client.ask("PUT", f"manifests/{long}{n}", b"{}").status for n in range(5)]
    assert statuses[-1] == 413


def test_a_manifest_that_says_its_size_is_refused_unread(endpoint: Endpoint, client: Client):
    with connected(endpoint) as connection:
        length = f"Content-Length: {received.MANIFEST_BYTES + 1}"
        connection.sendall(head(client, "PUT", "manifests/x", length))
        assert answers(heard(connection)) == [413]


@pytest.mark.parametrize(
    "document", [b"[]", b"null", b"1", b"{", b'{"mediaType":["x"]}', b'{"mediaType":"a\\r\\nX: y"}',
                 b"[" * 100_000, b'{"mediaType":' + b"[" * 100_000, b'{"mediaType":"\xc3\xa4"}'],
    ids=range(9),
)  # fmt: skip
def test_a_manifest_that_is_none_is_given_back_as_it_came(
    endpoint: Endpoint, client: Client, document: bytes
):
    assert client.ask("PUT", "manifests/odd", document).status == 201
    answer = client.ask("GET", "manifests/odd")
    assert (answer.status, answer.body) == (200, document)
    assert answer.headers["Content-Type"] == images.OCI_MANIFEST
    assert "X" not in answer.headers


def test_two_do_not_write_to_one_upload(endpoint: Endpoint, client: Client):
    place = upload(client)
    with connected(endpoint) as connection:
        connection.sendall(
            head(client, "PATCH", place, "Content-Length: 11", "Expect: 100-continue")
        )
        assert answers(connection.recv(1 << 16)) == [100]  # it is being written to
        for method in ("PATCH", "PUT"):
            assert client.ask(method, f"{place}?digest={DIGEST}", b"other").status == 409
        connection.sendall(b"hello world")
        assert answers(connection.recv(1 << 16)) == [202]
    assert client.ask("PUT", f"{place}?digest={DIGEST}").status == 201
    assert endpoint.received.blobs[DIGEST].read_bytes() == b"hello world"


def test_what_no_disk_holds_is_the_jobs_problem_at_once(base: BaseImage, tmp_path: Path):
    with serving(base, tmp_path / "job") as endpoint:
        client = Client(endpoint)
        place = upload(client)
        with connected(endpoint) as connection:
            connection.sendall(head(client, "PATCH", place, f"Content-Length: {10**15 - 1}"))
            assert answers(heard(connection)) in ([], [413])
        client.connection.close()
    assert isinstance(endpoint.problem, OSError)
    assert endpoint.problem.errno == errno.ENOSPC


def test_a_base_that_shrinks_ends_the_connection(base: BaseImage, tmp_path: Path):
    region = base.layers[0].region
    assert region is not None
    os.truncate(region.path, region.size - 10)
    with serving(base, tmp_path / "job") as endpoint:
        client = Client(endpoint)
        with connected(endpoint) as connection:
            connection.sendall(head(client, "GET", f"blobs/{base.layers[0].digest}"))
            assert len(heard(connection)) < region.size + 1000
        client.connection.close()
    assert str(region.path) in str(endpoint.problem)


def test_a_dropped_stranger_is_no_problem_of_the_job(endpoint: Endpoint):
    for part in (b"", b"\x16", b"GET", b"GET /v2/ HTTP/1.1\r\n"):
        with connected(endpoint) as connection:
            connection.sendall(part)
    assert raw(endpoint, b"") == b""


def test_a_pull_that_is_not_taken_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    one = images.image(images.layer({"big": bytes(64 << 20)}))
    path = images.write_directory(tmp_path / "big", images.oci_files(one))
    from runcommit_core.oci.base import open_base

    base, spy = open_base(f"oci:{path}"), Spy()
    monkeypatch.setattr(incoming, "IDLE_SECONDS", 0.3)
    with serving(base, tmp_path / "job", feeder=lambda _: spy) as endpoint:
        client = Client(endpoint)
        with connected(endpoint) as connection:
            connection.sendall(head(client, "GET", f"blobs/{base.layers[0].digest}"))
            assert spy.aborted.wait(WAIT)
    assert endpoint.problem is None


def test_limits_leave_the_job_its_descriptors():
    assert connections.STRANGERS + connections.ENGINES <= 512
    assert len(LOWER) > request.HEAD_BYTES
