"""A secure shell server on 127.0.0.1 with keys of its own, for engines that are reached by ssh.

Clients find its keys by a settings file, which a command ``ssh`` of the tests' own names: ssh looks
for the user's settings where the user's home is by passwd, whatever HOME says.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/identity.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""
_CLIENT = """\
IdentityFile {folder}/identity
IdentitiesOnly yes
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile /dev/null
"""


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
    for name in ("host", "identity"):
        keygen = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
        subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL)
    public = (folder / "host.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(public)}\n")
    lines = _SERVER.format(port=port, folder=folder) + "".join(f"{line}\n" for line in settings)
    (folder / "sshd_config").write_text(lines)
    (folder / "config").write_text(_CLIENT.format(folder=folder))
    _write_ssh(folder)
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


def _write_ssh(folder: Path) -> None:
    real = shutil.which("ssh") or "ssh"
    command = folder / "bin/ssh"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.join([real, "-F", f"{folder}/config"])} "$@"\n')
    command.chmod(0o755)


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
