"""The shared cache in a registry: a real one on the loopback, with and without credentials."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import run_commit
from runcommit_core.remote.credentials import find_credentials
from runcommit_core.remote.repository import Repository
from tests import canned, images
from tests.registries import HASHED, PASSWORD, USER, login, registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core import Result


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("SOURCE_DATE_EPOCH", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Result]:
    files = images.oci_files(images.image(images.layer({"old": b"old"})))
    base = images.write_directory(tmp_path / "base", files)

    def run(store: str, **options: Any) -> Result:
        """A job of a machine that has done nothing yet."""
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        backend = options.pop("backend", canned.backend())
        return run_commit(
            f"oci:{base}", "x", backend=backend, network="none", cache_store=store, **options
        )

    return run


@pytest.mark.usefixtures("machine")
def test_machines_share_results(
    job: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with registry(tmp_path / "registry") as host:
        store = f"oci://{host}/team/cache"
        one, two = job(store), job(store)
        assert [one.cache, two.cache] == ["miss", "hit"]
        assert [layer.diff_id for layer in one.layers] == [layer.diff_id for layer in two.layers]
        empty = canned.backend(save=canned.save_nothing)
        assert job(store, backend=empty, env={"A": "b"}).cache == "miss"
        assert job(store, backend=empty, env={"A": "b"}).cache == "hit"
        assert not caplog.records
        _damage(tmp_path / "registry/data")
        assert job(store).cache == "miss"
    assert "damaged" in caplog.text


def _damage(data: Path) -> None:
    """Change the content of all zstd blobs."""
    for blob in data.rglob("data"):
        content = blob.read_bytes()
        if content.startswith(b"\x28\xb5\x2f\xfd"):
            blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.usefixtures("machine")
def test_credentials_are_docker_s_and_podman_s(
    job: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    passwords = tmp_path / "htpasswd"
    passwords.write_text(f"{USER}:{HASHED}\n")
    with registry(tmp_path / "registry", htpasswd={"realm": "r", "path": str(passwords)}) as host:
        store = f"oci://{host}/cache"
        assert job(store).cache == "miss"
        assert "wants credentials" in caplog.text
        login(tmp_path / ".docker/config.json", host)
        assert job(store).cache == "miss"
        (tmp_path / ".docker/config.json").unlink()
        login(tmp_path / ".config/containers/auth.json", f"{host}/cache")
        assert job(store).cache == "hit"


def test_where_credentials_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    login(tmp_path / ".docker/config.json", "example.org")
    assert find_credentials("example.org", "a/b") == (USER, PASSWORD)
    assert find_credentials("example.com", "a/b") is None
    helper = tmp_path / "bin/docker-credential-test"
    helper.parent.mkdir()
    helper.write_text('#!/bin/sh\necho "{\\"Username\\":\\"u\\",\\"Secret\\":\\"$(cat)\\"}"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:/usr/bin:/bin")
    chosen = tmp_path / "chosen.json"
    chosen.write_text(json.dumps({"credHelpers": {"example.com": "test"}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(chosen))
    assert find_credentials("example.com", "a") == ("u", "example.com")
    assert find_credentials("example.org", "a/b") is None


class Tokens(http.server.BaseHTTPRequestHandler):
    """A registry that gives nothing without a token, and tokens to one user."""

    seen: list[tuple[str, str]]

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        self.seen.append((self.path, given.partition(" ")[0]))
        host = self.headers["Host"]
        if self.path.startswith("/elsewhere"):
            self._answer(200 if not given else 400, b"content")
        elif self.path.startswith("/token") and given.startswith("Basic"):
            self._answer(200, b'{"access_token": "t"}')
        elif given != "Bearer t":
            self.send_response(401)
            challenge = f'Bearer realm="http://{host}/token",service="s",scope="x"'
            self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(307)
            self.send_header(
                "Location", f"http://{host.replace('127.0.0.1', 'localhost')}/elsewhere"
            )
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_tokens_and_storage_elsewhere(tmp_path: Path):
    Tokens.seen = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokens) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        login(tmp_path / ".docker/config.json", host)
        with Repository(host, "a/b").blob("sha256:x") as stream:
            assert stream.read() == b"content"
        server.shutdown()
    assert [scheme for _, scheme in Tokens.seen] == ["", "Basic", "Bearer", ""]
    assert Tokens.seen[1][0].endswith("scope=repository%3Aa%2Fb%3Apull")
