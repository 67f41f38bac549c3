"""Keys for an sshd of the tests' own, and an ``ssh`` for its clients that knows them.

ssh looks for the user's settings where the user's home is by passwd, whatever HOME says; so a
command of that name passes a settings file on.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SERVER = """\
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


def make_key(path: Path) -> None:
    """A key without a passphrase at ``path``, its public half beside it."""
    keygen = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
    subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL)


def server_settings(folder: str | Path, *lines: str) -> str:
    """An sshd_config that lets ``identity`` of ``folder`` in, where the server's key is, too."""
    return "".join(f"{line}\n" for line in lines) + _SERVER.format(folder=folder)


def write_client(folder: Path, name: str, host_key: Path, *settings: str) -> None:
    """What a client needs beside its ``identity``: ``known_hosts``, ``config`` and ``bin/ssh``.

    ``name`` is the server's, as known_hosts has it; ``host_key`` the public half of its key.
    """
    public = " ".join(host_key.read_text().split()[:2])
    (folder / "known_hosts").write_text(f"{name} {public}\n")
    lines = "".join(f"{line}\n" for line in settings)
    (folder / "config").write_text(_CLIENT.format(folder=folder) + lines)
    command = folder / "bin/ssh"
    command.parent.mkdir(exist_ok=True)
    real = shutil.which("ssh") or "ssh"
    command.write_text(f'#!/bin/sh\nexec {shlex.join([real, "-F", f"{folder}/config"])} "$@"\n')
    command.chmod(0o755)
