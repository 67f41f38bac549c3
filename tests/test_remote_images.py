"""Bases from registries, and images pushed to them: a real registry on the loopback.

What docs/reference/registries.md and docs/how-to/commands.md promise.
"""

from __future__ import annotations

import contextlib
import email.message
import http.server
import json
import os
import signal
import socket
import sys
import threading
import urllib.error
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from runcommit_core import process, run_commit
from runcommit_core.cli.commands import cli
from runcommit_core.errors import ArchiveError, EngineError, RuncommitError, UsageError
from runcommit_core.interface.progress import ignore
from runcommit_core.oci.base import open_base
from runcommit_core.oci.remotenames import parse_remote_name
from runcommit_core.remote.blobs import blob_folder, hold_blobs, shrink_blobs
from runcommit_core.remote.credentials import find_credentials
from runcommit_core.remote.pulling import open_remote
from runcommit_core.remote.pushing import push
from runcommit_core.remote.repository import Repository
from runcommit_core.testing import bases
from tests import canned, images
from tests.registries import HASHED, USER, login, registry
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runcommit_core.oci.model import BaseImage
    from tests.hosts import Host


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def served(machine: None, tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path / "registry") as called:
        yield called


Send = "Callable[..., BaseImage]"


@pytest.fixture
def send(machine: None, tmp_path: Path) -> Callable[..., BaseImage]:
    """Push an image with these layers; what it is here."""

    def send(name: str, *layers: bytes, **config: Any) -> BaseImage:
        files = images.oci_files(images.image(*layers, **config))
        path = images.write_directory(tmp_path / images.digest(name.encode())[7:], files)
        image = open_base(f"oci:{path}")
        push(image, parse_remote_name(name), "", ignore)
        return image

    return send


@contextlib.contextmanager
def pulled(name: str, folder: Path, **options: Any) -> Iterator[BaseImage]:
    with contextlib.ExitStack() as cleanup:
        yield open_remote(name, folder, cleanup, **options)


# -- names


@pytest.mark.parametrize(
    ("text", "server", "path", "reference"),
    [
        ("docker://debian:12", "docker.io", "library/debian", "12"),
        ("docker://me/app", "docker.io", "me/app", "latest"),
        ("docker://h.example/a/b__c:t.1", "h.example", "a/b__c", "t.1"),
        ("docker://localhost/a", "localhost", "a", "latest"),
        ("docker://h:5000/a@sha256:" + "0" * 64, "h:5000", "a", "sha256:" + "0" * 64),
        ("docker://h:5000/a:t@sha256:" + "0" * 64, "h:5000", "a", "sha256:" + "0" * 64),
        ("docker://[::1]:5000/a:t", "[::1]:5000", "a", "t"),
    ],
)
def test_names(text: str, server: str, path: str, reference: str) -> None:
    name = parse_remote_name(text)
    assert (name.host, name.path, name.reference) == (server, path, reference)


@pytest.mark.parametrize(
    "rest",
    [
        *("", "/", "a/", "/a", "UPPER/x", "h:5000/", "h/a:", "h/a@sha256:12", "u@h/a", "h/../a"),
        *("h/a:" + "t" * 129, "h/a?x", "h/a b", "h/a\n", "h/" + "a" * 256, "-h/a:-", "h:123456/a"),
    ],
)
def test_what_is_no_name(rest: str) -> None:
    with pytest.raises(UsageError, match="no name of an image in a registry"):
        parse_remote_name(f"docker://{rest}")


@pytest.mark.parametrize(("path", "full"), [("debian:12", "library/debian:12"), ("me/x", "me/x")])
def test_a_name_that_is_no_path_is_told_the_whole_name(path: str, full: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        open_base(path)
    assert f"docker://docker.io/{full}" in caught.value.tip


# -- pulling


def test_an_image_comes_as_it_was_pushed_and_once(
    served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    name = f"docker://{served}/some/base:1"
    sent = send(name, images.layer({"a": b"1"}), images.layer({"b": b"2" * 100_000}))
    told: list[Any] = []
    with pulled(name, tmp_path / "one", progress=told.append) as image:
        assert (image.name, image.config, image.manifest) == (name, sent.config, sent.manifest)
        assert [layer.digest for layer in image.layers] == [layer.digest for layer in sent.layers]
    assert {event.name for event in told} >= {layer.digest for layer in sent.layers}
    told.clear()
    by_digest = f"docker://{served}/some/base@{sent.manifest_digest}"
    with pulled(by_digest, tmp_path / "two", progress=told.append):
        assert not told


def test_what_is_here_needs_no_registry(send: Callable[..., BaseImage], tmp_path: Path) -> None:
    with registry(tmp_path / "gone") as served:
        sent = send(f"docker://{served}/base", images.layer({"a": b"1"}))
        by_digest = f"docker://{served}/base@{sent.manifest_digest}"
        with pulled(by_digest, tmp_path / "one"):
            pass
    with pulled(by_digest, tmp_path / "two") as image:
        assert image.manifest == sent.manifest
    with pytest.raises(EngineError, match="cannot reach"), pulled(by_digest[:-73], tmp_path / "3"):
        pass


def test_an_index_gives_the_image_for_the_platform_and_no_other(
    served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    entries = []
    for architecture in ("amd64", "arm64", "s390x"):
        files = {"a": architecture.encode()}
        one = send(
            f"docker://{served}/many:{architecture}", images.layer(files), architecture=architecture
        )
        entries.append(
            {
                "mediaType": one.manifest_media_type,
                "digest": one.manifest_digest,
                "size": len(one.manifest or b""),
                "platform": {"os": "linux", "architecture": architecture},
            }
        )
    attestation = {**entries[0], "platform": {"os": "unknown", "architecture": "unknown"}}
    index = {"schemaVersion": 2, "manifests": [attestation, *entries]}
    kind = "application/vnd.oci.image.index.v1+json"
    data = json.dumps({**index, "mediaType": kind}).encode()
    Repository(served, "many").push_manifest("all", data, kind)
    name = f"docker://{served}/many:all"
    with pulled(name, tmp_path / "one", platform="linux/arm64") as image:
        assert image.manifest_digest == entries[1]["digest"]
    blobs = {path.name for path in (blob_folder() / "sha256").iterdir()}
    assert str(entries[2]["digest"])[7:] not in blobs
    with (
        pytest.raises(
            ArchiveError, match=r"has no image for linux/riscv64; it holds\n  linux/amd64"
        ),
        pulled(name, tmp_path / "two", platform="linux/riscv64"),
    ):
        pass


@pytest.mark.parametrize("cut", [0, 1, 50_000, 10**9])
def test_a_cut_transfer_goes_on(
    cut: int, served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    name = f"docker://{served}/base"
    [layer] = send(name, images.layer({"a": bytes(range(256)) * 400})).layers
    assert layer.region
    data = layer.region.path.read_bytes()
    (blob_folder() / "parts" / layer.digest[7:]).write_bytes((data + b"more")[:cut])
    with pulled(name, tmp_path / "one") as image:
        region = image.layers[0].region
        assert region
        assert region.path.read_bytes() == data
    assert not list((blob_folder() / "parts").iterdir())


def test_a_part_of_something_else_is_noticed_and_dropped(
    served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    name = f"docker://{served}/base"
    [layer] = send(name, images.layer({"a": b"1" * 10_000})).layers
    (blob_folder() / "parts" / layer.digest[7:]).write_bytes(b"x" * 100)
    with pytest.raises(ArchiveError, match="other bytes than those"), pulled(name, tmp_path / "1"):
        pass
    with pulled(name, tmp_path / "2"):
        pass


def test_a_registry_that_lies_is_not_believed(
    served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    name = f"docker://{served}/base"
    sent = send(name, images.layer({"a": b"1" * 10_000}))
    stored = tmp_path / "registry/data/docker/registry/v2/blobs/sha256"
    hexes = [sent.layers[0].digest[7:], str(sent.manifest_digest)[7:]]
    for number, each in enumerate(hexes):
        path = stored / each[:2] / each / "data"
        path.write_bytes(path.read_bytes().replace(b"1", b"2").replace(b'"config"', b'"confih"'))
        with pytest.raises(RuncommitError), pulled(name, tmp_path / str(number)):
            pass
    assert hexes[0] not in {path.name for path in (blob_folder() / "sha256").iterdir()}


def test_many_at_once_bring_each_blob_once(
    served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    name = f"docker://{served}/base"
    layers = [images.layer({f"f{number}": b"1" * 50_000}) for number in range(6)]
    sent = send(name, *layers)
    failed: list[BaseException] = []

    def bring(number: int) -> None:
        try:
            with pulled(name, tmp_path / f"at-once-{number}") as image:
                assert image.manifest == sent.manifest
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("where", ["nothing/here:1", "base:2", "base@sha256:" + "0" * 64])
def test_what_is_not_there(
    where: str, served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    send(f"docker://{served}/base:1", images.layer({"a": b"1"}))
    with (
        pytest.raises(ArchiveError, match="has no image"),
        pulled(f"docker://{served}/{where}", tmp_path / "1"),
    ):
        pass


def test_credentials(tmp_path: Path, send: Callable[..., BaseImage]) -> None:
    passwords = tmp_path / "htpasswd"
    passwords.write_text(f"{USER}:{HASHED}\n")
    with registry(tmp_path / "closed", htpasswd={"realm": "r", "path": str(passwords)}) as served:
        name = f"docker://{served}/team/base"
        with pytest.raises(EngineError) as caught:
            send(name, images.layer({"a": b"1"}))
        assert caught.value.tip == f"docker login {served}, or podman login {served}"
        login(tmp_path / ".docker/config.json", served)
        sent = send(name, images.layer({"a": b"1"}))
        with pulled(name, tmp_path / "one") as image:
            assert image.manifest == sent.manifest


def test_own_authorities(
    tmp_path: Path, send: Callable[..., BaseImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "ca.crt", tmp_path / "key"
    process.output(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *(
            "-subj",
            "/CN=registry",
            "-addext",
            "subjectAltName=DNS:registry.test",
            "-keyout",
            str(key),
        ),
        *("-out", str(certificate)),
    )
    found = socket.getaddrinfo

    def resolved(name: str, *rest: Any, **options: Any) -> Any:
        return found("127.0.0.1" if name == "registry.test" else name, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    tls = {"certificate": str(certificate), "key": str(key)}
    with registry(tmp_path / "secure", http={"tls": tls}) as address:
        served = f"registry.test:{address.partition(':')[2]}"
        name = f"docker://{served}/base"
        with pytest.raises(EngineError, match="CERTIFICATE_VERIFY_FAILED"):
            send(name, images.layer({"a": b"1"}))
        place = tmp_path / ".config/containers/certs.d" / served
        place.mkdir(parents=True)
        (place / "ca.crt").write_bytes(certificate.read_bytes())
        sent = send(name, images.layer({"a": b"1"}))
        with pulled(name, tmp_path / "one") as image:
            assert image.manifest == sent.manifest


@contextlib.contextmanager
def stalling(path: Path) -> Iterator[tuple[str, threading.Event]]:
    """A registry that serves the layout at ``path`` but for its layers; set when one is wanted."""
    [entry] = json.loads((path / "index.json").read_bytes())["manifests"]
    [layer] = json.loads((path / images.blob_of(entry)).read_bytes())["layers"]
    wanted, ended = threading.Event(), threading.Event()

    class Stalling(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.path.rpartition("/")[2]
            name = entry["digest"] if "manifests" in self.path else asked
            data = (path / "blobs" / name.replace(":", "/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", entry["mediaType"])
            self.end_headers()
            if name == layer["digest"]:
                wanted.set()
                # slowly enough never to end, and fast enough not to be given up as silent
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    if ended.wait(0.5):
                        return
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", wanted
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_signal_ends_a_transfer_that_stalls(tmp_path: Path) -> None:
    files = images.oci_files(images.image(images.layer({"a": b"1" * 10_000})))
    path = images.write_directory(tmp_path / "image", files)
    log = tmp_path / "log"
    with stalling(path) as (served, wanted):
        words = ("run", f"docker://{served}/base", "-c", "true")
        command = (sys.executable, "-m", "runcommit_core", *words)
        with process.started(*command, log=log) as running:
            assert wanted.wait(60), log.read_text()
            running.send_signal(signal.SIGINT)
            # a transfer that is waited for goes on for longer than that
            assert running.wait(25) == 128 + signal.SIGINT, log.read_text()
    assert "Traceback" not in log.read_text()


def test_credentials_are_read_from_small_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, endless = tmp_path / "pipe", tmp_path / "endless"
    os.mkfifo(pipe)
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless, tmp_path):
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
        assert find_credentials("example.org", "a") is None


def test_a_registry_that_takes_no_range_is_asked_for_all(
    served: str, send: Callable[..., BaseImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"docker://{served}/base"
    [layer] = send(name, images.layer({"a": b"1" * 10_000})).layers
    (blob_folder() / "parts" / layer.digest[7:]).write_bytes(b"x" * 100)
    asked = Repository._call

    def refusing(self: Repository, method: str, place: str, headers: Any = None, data: Any = None):
        if headers and "Range" in headers:
            raise urllib.error.HTTPError(place, 416, "no", email.message.Message(), None)
        return asked(self, method, place, headers, data)

    monkeypatch.setattr(Repository, "_call", refusing)
    with pulled(name, tmp_path / "1") as image:
        assert image.layers[0].digest == layer.digest


def test_the_oldest_blobs_go_beyond_the_limit_while_nobody_holds_them(
    served: str, send: Callable[..., BaseImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"docker://{served}/base"
    send(name, images.layer({"a": b"1"}))
    with pulled(name, tmp_path / "one"):
        pass
    monkeypatch.setenv("RUNCOMMIT_BLOBS_SIZE", "1")
    kept = blob_folder() / "sha256"
    with contextlib.ExitStack() as cleanup:
        hold_blobs(cleanup)
        shrink_blobs()
        assert list(kept.iterdir())
    shrink_blobs()
    assert not list(kept.iterdir())


# -- jobs


def test_a_job_from_registry_to_registry(
    served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    base = f"docker://{served}/team/base:1"
    sent = send(base, images.layer({"a": b"1" * 1000}))
    names = [f"docker://{served}/team/app:1", f"docker://{served}/other/app:2"]
    report = tmp_path / "report.json"
    result = run_commit(base, "x", backend=canned.backend(), push=names, metadata=report)
    assert [image.name for image in result.pushed] == names
    for number, name in enumerate(names):
        with pulled(name, tmp_path / str(number)) as image:
            assert image.manifest_digest == result.pushed[0].manifest_digest
            assert image.diff_ids == (*sent.diff_ids, *(each.diff_id for each in result.layers))
    told = json.loads(report.read_bytes())
    assert [each["name"] for each in told["pushed"]] == names
    assert told["base"]["reference"] == base


def test_verbs_look_at_images_of_registries(
    served: str, send: Callable[..., BaseImage], tmp_path: Path
) -> None:
    name = f"docker://{served}/base"
    sent = send(name, images.layer({"a": b"1"}), images.layer({"b": b"1"}))
    layer = tmp_path / "last.tar"
    run = CliRunner().invoke
    for words, output in (
        (["image", "id", name], sent.config_digest),
        (["layer", "last", name, "-o", str(layer)], sent.diff_ids[-1]),
        (["layer", "show", name, "--base", name], "b"),
        (["layer", "diff", name, str(layer)], ""),
    ):
        done = run(cli, words)
        assert (done.exit_code, output in done.output) == (0, True), done.output
    assert run(cli, ["layer", "validate", name, f"docker://{served}/nothing"]).exit_code


@pytest.mark.parametrize("wrong", ["docker://h/a@sha256:" + "0" * 64, "h/a:1", "docker://H/A"])
def test_a_push_that_makes_no_sense_is_refused_at_once(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run_commit(tmp_path / "nothing", "x", backend=canned.backend(), push=wrong)


def test_a_registry_that_takes_nothing_leaves_no_output(
    send: Callable[..., BaseImage], served: str, tmp_path: Path
) -> None:
    base = f"docker://{served}/base"
    send(base, images.layer({"a": b"1"}))
    layer = tmp_path / "layer.tar"
    with pytest.raises(EngineError, match="cannot reach"):
        run_commit(base, "x", backend=canned.backend(), layer=layer, push="docker://127.0.0.1:9/a")
    assert not layer.exists()


@pytest.mark.hosts("docker", "podman", "podman-rootless", "buildah", "buildah-rootless")
def test_engines_start_from_a_registry_and_push(host: Host, shared_tmp: Path) -> None:
    bench = host_bench(host, shared_tmp)
    with registry(shared_tmp / "registry") as called:
        made = bases.busybox(shared_tmp / "base")
        image = open_base(made.ref)
        push(image, parse_remote_name(f"docker://{called}/base:1"), "", ignore)
        there = f"docker://{called}/app:1"
        ran = bench.job(f"docker://{called}/base:1", "-c", "echo made > /made", "--push", there)
        assert ran.returncode == 0, ran.stderr
        again = bench.job(there, "-c", "cat /made; touch /again")
    assert "made\n" in again.stderr
    assert again.returncode == 0, again.stderr
