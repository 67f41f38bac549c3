"""A remote execution service and a remote cache on 127.0.0.1, for Bazel to talk to."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = Path(__file__).parent.parent / ".bazel-remote"

SETTINGS = """\
server: [!channel {{address: "127.0.0.1:{port}", insecure-mode: true}}]
authorization: {{method: none}}
monitoring: {{enabled: false}}
thread-pool-size: 50
instances:
- name: ""
  storages: [!lru-storage &blobs {{size: 1024M}}]
  caches:
  - !lru-action-cache &results {{storage: *blobs, max-cached-refs: 256, allow-updates: true}}
  schedulers: [!memory-scheduler &jobs {{storage: *blobs}}]
  services:
  - !action-cache {{cache: *results}}
  - !execution {{storage: *blobs, action-cache: *results, scheduler: *jobs}}
  - !cas {{storage: *blobs}}
  - !bytestream {{storage: *blobs}}
"""


PATIENT_RUNNER = """\
#!/bin/sh
sleep 2
echo $$ >{folder}/running
exec {runner} --graceful-shutdown-seconds=30 "$@"
"""
"""The server looks each second for what has changed, and never tells of a job that it first sees
when it has ended already: its client waits for ever."""


@contextlib.contextmanager
def execution(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """The address of a service whose one worker executes actions on this machine, with ``env``.

    Raises:
        LookupError: it is not installed.

    """
    programs = PREFIX / "usr/bin"
    if not (PREFIX / "made-from").exists():
        raise LookupError(f"nothing in {PREFIX}: scripts/test makes it, or says why it could not")
    folder.mkdir()
    server, cache = _free_port(), _free_port()
    (folder / "settings.yml").write_text(SETTINGS.format(port=server))
    runner = folder / "runner"
    program = programs / "buildbox-run-hosttools"
    runner.write_text(PATIENT_RUNNER.format(runner=program, folder=folder))
    runner.chmod(0o755)
    address = f"http://127.0.0.1:{server}"
    with contextlib.ExitStack() as stack:
        start = (PREFIX / "server/bin/bgd", "server", "start", folder / "settings.yml")
        stack.enter_context(_running(folder / "server.log", env, *start, port=server))
        start = (
            *(programs / "buildbox-casd", f"--bind=127.0.0.1:{cache}", f"--cas-remote={address}"),
            *("--quota-high=1G", "--reserved=0", folder / "blobs"),
        )
        stack.enter_context(_running(folder / "cache.log", env, *start, port=cache))
        start = (
            *(programs / "buildbox-worker", f"--bots-remote={address}"),
            *(f"--cas-remote=http://127.0.0.1:{cache}", "--platform", "OSFamily=linux"),
            f"--buildbox-run={runner}",
        )
        stack.enter_context(_running(folder / "worker.log", env, *start))
        yield f"grpc://127.0.0.1:{server}"


def cancel(folder: Path) -> None:
    """Do to the action that runs last what a worker does to one that its service cancels.

    This server tells its worker of a cancelled action minutes later only.
    """
    os.kill(int((folder / "running").read_text()), signal.SIGTERM)


@contextlib.contextmanager
def _running(
    log: Path, env: Mapping[str, str], *argv: str | Path, port: int | None = None
) -> Iterator[None]:
    """A process that listens on ``port``, until the end of the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            # Should the tests be killed, the service goes too.
            ["setpriv", "--pdeathsig", "TERM", *map(str, argv)],
            env=dict(env), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while port and not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def cache() -> Iterator[str]:
    """The address of a remote cache that speaks HTTP: GET, HEAD and PUT of blobs in memory."""
    blobs: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200 if self.path in blobs else 404, blobs.get(self.path, b""))

        def do_PUT(self) -> None:
            blobs[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(200, b"")

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
