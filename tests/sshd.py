"""A secure shell server on 127.0.0.1 with keys of its own, for engines that are reached by ssh."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.sshkeys import make_key, server_settings, write_client

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Sshd:
    """A server that is up, and what its clients need.

    ``programs`` is a folder for PATH, whose ``ssh`` takes the settings of the file ``config``:
    the ``identity`` that the server lets in, and the ``known_hosts`` that have its key.
    """

    user: str
    port: int
    identity: Path
    known_hosts: Path
    config: Path
    programs: Path

    @property
    def path(self) -> str:
        """The variable PATH with the tests' own ssh before all else."""
        return f"{self.programs}:{os.environ['PATH']}"

    def url(self, path: str = "") -> str:
        """The address of a socket, or of the account."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"


@contextlib.contextmanager
def sshd(folder: Path, user: str, *settings: str) -> Iterator[Sshd]:
    """A server that lets ``user`` in by key; it runs as that user and keeps all in ``folder``.

    ``settings`` are lines of sshd_config.  The folder must not exist yet.
    """
    folder.mkdir(mode=0o755)
    port = free_port()
    make_key(folder / "host")
    make_key(folder / "identity")
    listen = ("ListenAddress 127.0.0.1", f"Port {port}")
    (folder / "sshd_config").write_text(server_settings(folder, *listen, *settings))
    write_client(folder, f"[127.0.0.1]:{port}", folder / "host.pub")
    account = pwd.getpwnam(user)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
    with _running(folder, account, port):
        yield Sshd(
            user=user,
            port=port,
            identity=folder / "identity",
            known_hosts=folder / "known_hosts",
            config=folder / "config",
            programs=folder / "bin",
        )


@contextlib.contextmanager
def _running(folder: Path, account: pwd.struct_passwd, port: int) -> Iterator[None]:
    # the folder that a server of root's locks itself into; Debian makes it when ssh starts
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                # Should the tests be killed, the server goes too.
                *("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"),
                *("--init-groups", "--pdeathsig", "TERM"),
                *("/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")),
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 30
        while not _listens(port):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
