"""Debian's docker-registry on the loopback."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any

from runcommit_core import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER, PASSWORD = "ci", "secret"
HASHED = "$2b$04$5UkSAANbA4Getv1nkHE6AukWjYQSWuBRbfSmFmmrzagc7mzWAWIEu"
"""PASSWORD as bcrypt hashes it."""


@contextlib.contextmanager
def registry(folder: Path, http: dict[str, Any] | None = None, **auth: Any) -> Iterator[str]:
    """Debian's docker-registry; what it is called.  ``http`` is more of its configuration."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    folder.mkdir()
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host, **(http or {})},
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.yml").write_text(json.dumps(config))
    log = folder / "log"
    with process.started("docker-registry", "serve", str(folder / "config.yml"), log=log):
        _wait(host, log)
        yield host


def _wait(host: str, log: Path) -> None:
    end = time.monotonic() + 30
    name, _, port = host.partition(":")
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((name, int(port)), 1):
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def login(path: Path, host: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
