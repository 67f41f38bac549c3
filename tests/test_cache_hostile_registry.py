"""A registry that wants our credentials, or serves no results: a miss, and never a failed job."""

from __future__ import annotations

import base64
import contextlib
import email.message
import http.server
import io
import itertools
import json
import re
import shutil
import socket
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import run_commit
from runcommit_core.remote import paced
from runcommit_core.remote.repository import Repository
from tests import canned, images
from tests.registries import PASSWORD, USER, login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from runcommit_core import Result

BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
ELSEWHERE = "registry.example.invalid"
MUCH = 64 << 20
REFUSED = re.compile("leads to|makes no sense")


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("SOURCE_DATE_EPOCH", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Result]:
    files = images.oci_files(images.image(images.layer({"old": b"old"})))
    base = images.write_directory(tmp_path / "base", files)

    def run(host: str) -> Result:
        """A job of a machine that has done nothing yet."""
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        return run_commit(
            f"oci:{base}",
            "x",
            backend=canned.backend(),
            network="none",
            cache_store=f"oci://{host}/cache",
        )

    return run


# --- where credentials go


class Asked:
    """Stands in for the network: answers the first request with a challenge, and remembers all."""

    def __init__(self, challenge: str) -> None:
        self.challenge = challenge
        self.requests: list[urllib.request.Request] = []

    def __call__(self, request: urllib.request.Request, timeout: float) -> Any:
        self.requests.append(request)
        assert timeout
        if "token" in request.full_url:
            return io.BytesIO(b'{"token": "t"}')
        if request.get_header("Authorization"):
            return io.BytesIO(b"content")
        headers = email.message.Message()
        headers["WWW-Authenticate"] = self.challenge
        raise urllib.error.HTTPError(request.full_url, 401, "", headers, io.BytesIO())

    @property
    def told(self) -> list[str]:
        """Where credentials went."""
        return [each.host for each in self.requests if each.get_header("Authorization") == BASIC]


def repository(host: str, challenge: str, tmp_path: Path) -> tuple[Repository, Asked]:
    login(tmp_path / ".docker/config.json", host)
    found, asked = Repository(host, "a/b"), Asked(challenge)
    found._open = asked  # type: ignore[assignment]
    return found, asked


REALMS = [
    "http://auth.example.invalid/token",
    f"http://{ELSEWHERE}/token",
    "http://10.0.0.1/token",
    "http://127.0.0.1.example.invalid/token",
    "http://127.0.0.1@example.invalid/token",
    "http://localhost.example.invalid/token",
    "http://127.0.0.1%40example.invalid/token",
    "http://127.0.0.1\\@example.invalid/token",
    "http://[::1].example.invalid/token",
    "https://u:p@auth.example.invalid/token",
    "https://@auth.example.invalid/token",
    "https:///token",
    "HTTP://auth.example.invalid/token",
    "ftp://auth.example.invalid/token",
    "file:///etc/token",
    "//auth.example.invalid/token",
    "token",
    "",
    "http://[/token",
]


@pytest.mark.parametrize("realm", REALMS)
@pytest.mark.parametrize("registry", [ELSEWHERE, "127.0.0.1:5000"], ids=["far", "near"])
def test_credentials_do_not_go_where_others_listen(registry: str, realm: str, tmp_path: Path):
    found, asked = repository(registry, f'Bearer realm="{realm}",service="s"', tmp_path)
    with pytest.raises(OSError, match=REFUSED):
        found.blob("sha256:x")
    assert len(asked.requests) == 1
    assert asked.told == []


def test_a_far_registry_does_not_send_credentials_to_this_machine(tmp_path: Path):
    for realm in ("http://127.0.0.1:1/token", "http://localhost/token", "http://[::1]:1/token"):
        far, asked = repository(ELSEWHERE, f'Bearer realm="{realm}"', tmp_path)
        with pytest.raises(PermissionError):
            far.blob("sha256:x")
        assert asked.told == []
        near, asked = repository("127.0.0.1:5000", f'Bearer realm="{realm}"', tmp_path)
        with near.blob("sha256:x"):
            assert len(asked.told) == 1


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("", "pull"),
        ("repository:a/b:pull", "pull"),
        ("repository:a/b:pull,push,delete", "pull"),
        ("repository:a/b:push", "pull"),
        ("repository:a/c:pull,push registry:catalog:*", "pull"),
        ("repository:a/c:delete repository:a/b:pull", "pull"),
    ],
)
def test_a_token_is_for_what_is_needed_here(scope: str, expected: str, tmp_path: Path):
    challenge = f'Bearer realm="https://auth.example.invalid/token?x=y",service="s",scope="{scope}"'
    found, asked = repository(ELSEWHERE, challenge, tmp_path)
    with found.blob("sha256:x"):
        pass
    _, token, again = asked.requests
    url = "https://auth.example.invalid/token?x=y&service=s&scope=repository%3Aa%2Fb%3A"
    assert token.full_url == url + expected
    assert token.get_header("Authorization") == BASIC
    assert (again.host, again.get_header("Authorization")) == (ELSEWHERE, "Bearer t")


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("repository:a/b:push", "push"), ("repository:a/b:pull,push", "pull,push")],
)
def test_a_token_to_push_is_no_more_than_asked(scope: str, expected: str, tmp_path: Path):
    challenge = f'Bearer realm="https://auth.example.invalid/token",scope="{scope}"'
    found, asked = repository(ELSEWHERE, challenge, tmp_path)
    found.push_manifest("tag", b"{}", "x/y")
    assert asked.requests[1].full_url.endswith(expected.replace(",", "%2C"))


# --- a server that answers as a test wants it


@contextlib.contextmanager
def server(answer: Callable[[bytes, str], Iterable[bytes]]) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each connection with what ``answer`` makes of the head and our name; all heads."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{listener.getsockname()[1]}"

    def converse(connection: socket.socket) -> None:
        head = b""
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            while b"\r\n\r\n" not in head and (chunk := connection.recv(1 << 16)):
                head += chunk
            heads.append(head)
            for piece in answer(head, host):
                connection.sendall(piece)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield host, heads
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def endless(begin: bytes, piece: bytes) -> Iterator[bytes]:
    """More than anybody should take, and then an error, not an end."""
    yield begin
    yield from itertools.repeat(piece, MUCH // len(piece))
    raise AssertionError("all of it was taken")


def whole(body: bytes, status: str = "200 OK", *fields: str) -> list[bytes]:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields)
    return ["\r\n".join((*lines, "", "")).encode() + body]


def manifest(**changed: Any) -> bytes:
    digest = images.digest(b"x")
    config = {
        "mediaType": "application/vnd.runcommit.result.v1+json",
        "digest": digest,
        "size": 1,
        **changed.pop("config", {}),
    }
    layers = changed.pop("layers", [{"digest": digest, "size": 1}])
    return json.dumps({"config": config, "layers": layers, **changed}).encode()


OK = b"HTTP/1.1 200 OK\r\n"
MB = bytes(1 << 20)
ANSWERS: dict[str, Callable[[], Iterable[bytes]]] = {
    "nothing": list,
    "garbage": lambda: [b"\0\1\2\3"],
    "half a head": lambda: [b"HTTP/1.1 2"],
    "endless line": lambda: endless(b"HTTP/1.1 200 ", MB),
    "endless fields": lambda: endless(OK, b"X: y\r\n" * 1000),
    "endless field": lambda: endless(OK + b"X: ", b"y" * 10_000),
    "endless continue": lambda: endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "endless body": lambda: endless(OK + b"\r\n", MB),
    "long body": lambda: endless(OK + b"Content-Length: 999999999999\r\n\r\n", MB),
    "endless chunks": lambda: endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + MB + b"\r\n"
    ),
    "negative chunk": lambda: endless(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", MB),
    "no chunk": lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"],
    "negative length": lambda: endless(OK + b"Content-Length: -5\r\n\r\n", MB),
    "short body": lambda: [OK + b"Content-Length: 1000\r\n\r\nx"],
    "no status": lambda: [b"HTTP/1.1 abc OK\r\n\r\n"],
    "status 999": lambda: whole(b"", "999 What"),
    "not allowed": lambda: whole(b"", "403 Forbidden"),
    "broken": lambda: whole(b"", "500 Error"),
    "challenge without words": lambda: whole(b"", "401 No"),
    "challenge of nobody": lambda: whole(b"", "401 No", "WWW-Authenticate: Bearer"),
    "challenge of odd realm": lambda: whole(
        b"", "401 No", 'WWW-Authenticate: Bearer realm="http://["'
    ),
    "leads to a file": lambda: whole(b"", "307 Go", "Location: file:///etc/passwd"),
    "leads to ftp": lambda: whole(b"", "307 Go", "Location: ftp://127.0.0.1/x"),
    "leads to http elsewhere": lambda: whole(b"", "307 Go", f"Location: http://{ELSEWHERE}/x"),
    "leads to somebody's": lambda: whole(b"", "307 Go", "Location: https://u:p@127.0.0.1/x"),
    "leads nowhere": lambda: whole(b"", "307 Go", "Location: http://["),
    "leads to itself": lambda: whole(b"", "307 Go", "Location: /x"),
    "no JSON": lambda: whole(b"garbage"),
    "null": lambda: whole(b"null"),
    "number": lambda: whole(b"1"),
    "list": lambda: whole(b"[]"),
    "deep": lambda: whole(b"[" * 100_000),
    "no UTF-8": lambda: whole(b'"\xff"'),
    "config is a list": lambda: whole(b'{"config": [], "layers": []}'),
    "layers are a number": lambda: whole(manifest(layers=1)),
    "layers hold numbers": lambda: whole(manifest(layers=[1])),
    "digest is a list": lambda: whole(manifest(config={"digest": []})),
    "digest is a path": lambda: whole(manifest(config={"digest": "../../../x"})),
    "size is negative": lambda: whole(manifest(config={"size": -1})),
    "size is text": lambda: whole(manifest(layers=[{"digest": images.digest(b"x"), "size": "1"}])),
    "size is beyond": lambda: whole(
        manifest(layers=[{"digest": images.digest(b"x"), "size": 1 << 61}])
    ),
    "record is large": lambda: whole(manifest(config={"size": 1 << 40})),
    "one for all": lambda: whole(manifest()),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_broken_answer_is_a_miss(job: Callable[[str], Result], name: str):
    with server(lambda *_: ANSWERS[name]()) as (host, heads):
        assert job(host).cache == "miss"
        assert heads


@pytest.mark.parametrize("name", ["head", "body"])
def test_an_answer_that_trickles_is_a_miss(
    job: Callable[[str], Result], monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setattr(paced, "PATIENCE", 0.2)
    given_up, pause = threading.Event(), threading.Event()

    def trickle(*_: object) -> Iterator[bytes]:
        yield OK if name == "head" else OK + b"Content-Length: 100000\r\n\r\n"
        try:
            for _ in range(20_000):
                pause.wait(0.01)
                yield b"X"
        finally:
            given_up.set()

    with server(trickle) as (host, _):
        assert job(host).cache == "miss"
        assert given_up.wait(30)


def test_a_body_that_is_taken_in_drops_is_given_up(monkeypatch: pytest.MonkeyPatch):
    source = paced.PacedBody(io.BytesIO(bytes(100)))
    assert source.read(10) == bytes(10)
    monkeypatch.setattr(paced, "PATIENCE", -1.0)
    with pytest.raises(TimeoutError):
        source.read(10)


def test_what_is_for_this_machine_does_not_pass_a_proxy(monkeypatch: pytest.MonkeyPatch):
    with server(lambda *_: whole(b"by proxy")) as (proxy, at_proxy):
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        with (
            server(lambda *_: whole(b"direct")) as (host, _),
            Repository(host, "a").blob("sha256:x") as stream,
        ):
            assert stream.read(100) == b"direct"
        assert at_proxy == []


@pytest.mark.parametrize(
    "location",
    ["file:///tmp/x", "http://registry.example.invalid/x", "ftp://127.0.0.1/x", "http://[", "x://y",
     "https://u:p@127.0.0.1:1/x", "http://u@{host}/x"],
)  # fmt: skip
def test_an_upload_goes_where_the_rest_goes(location: str):
    def answer(head: bytes, host: str) -> list[bytes]:
        return whole(b"", "202 Accepted", f"Location: {location.replace('{host}', host)}")

    with server(answer) as (host, heads):
        with pytest.raises(OSError, match=REFUSED):
            Repository(host, "a").push_blob("sha256:x", b"secret", 6)
        assert len(heads) == 1
        assert b"secret" not in b"".join(heads)


def test_a_redirect_takes_no_token_along(tmp_path: Path):
    with server(lambda *_: whole(b"stored")) as (storage, at_storage):

        def answer(head: bytes, _host: str) -> list[bytes]:
            if b"authorization" not in head.lower():
                return whole(b"", "401 No", 'WWW-Authenticate: Basic realm="r"')
            return whole(b"", "307 Go", f"Location: http://{storage}/x")

        with server(answer) as (host, heads):
            login(tmp_path / ".docker/config.json", host)
            with Repository(host, "a").blob("sha256:x") as stream:
                assert stream.read(100) == b"stored"
        assert BASIC.encode() in heads[1]
    assert b"authorization" not in at_storage[0].lower()


@pytest.mark.parametrize("challenge", ['Bearer realm="http://{host}/token"', 'Basic realm="r"'])
def test_who_is_led_to_has_no_say_in_where_credentials_go(tmp_path: Path, challenge: str):
    def elsewhere(_head: bytes, host: str) -> list[bytes]:
        asking = challenge.replace("{host}", host)
        return whole(b"", "401 No", f"WWW-Authenticate: {asking}")

    with server(elsewhere) as (storage, at_storage):

        def answer(_head: bytes, _host: str) -> list[bytes]:
            return whole(b"", "307 Go", f"Location: http://{storage}/x")

        with server(answer) as (host, heads):
            login(tmp_path / ".docker/config.json", host)
            with pytest.raises(urllib.error.HTTPError) as raised:
                Repository(host, "a").blob("sha256:x")
            raised.value.close()
    assert b"authorization" not in b"".join(heads + at_storage).lower()
    assert len(at_storage) == 1


# --- a registry that keeps what it is given, and serves something else


class Registry(http.server.BaseHTTPRequestHandler):
    """Blobs and manifests in memory; ``change`` is what becomes of a blob on its way out."""

    kept: dict[str, bytes]
    change: Callable[[bytes], bytes]

    def do_POST(self) -> None:
        self._answer(202, b"", Location="/upload?x=y")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.rpartition("digest=")[2].replace("%3A", ":").rpartition("/")[2]
        self.kept[name] = body
        self._answer(201, b"")

    def do_GET(self) -> None:
        found = self.kept.get(self.path.rpartition("/")[2])
        if found is None:
            self._answer(404, b"")
        else:
            changed = found if "/manifests/" in self.path else type(self).change(found)
            self._answer(200, changed)

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def layers_alone(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda blob: change(blob) if blob.startswith(b"\x28\xb5\x2f\xfd") else blob


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "another record": lambda blob: blob.replace(b'"commands": "', b'"commands": " '),
    "longer": lambda blob: blob + b"\0",
    "much longer": lambda blob: blob + bytes(MUCH),
    "shorter": lambda blob: blob[:-1],
    "empty": lambda _: b"",
    "longer layer": layers_alone(lambda blob: blob + b"\0" * 1000),
    "two layers in one": layers_alone(lambda blob: blob + blob),
    "other layer": layers_alone(lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])),
    "no layer": layers_alone(lambda _: b""),
    "garbage for a layer": layers_alone(lambda blob: bytes(len(blob))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_does_not_match_its_digest_is_a_miss(
    job: Callable[[str], Result], name: str, caplog: pytest.LogCaptureFixture
):
    class Changing(Registry):
        kept: dict[str, bytes] = {}  # noqa: RUF012
        change = staticmethod(lambda blob: blob)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Changing) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{running.server_port}"
        assert [job(host).cache, job(host).cache] == ["miss", "hit"]
        assert not caplog.records
        Changing.change = staticmethod(CHANGES[name])
        assert job(host).cache == "miss"
        assert "damaged" in caplog.text
        running.shutdown()
