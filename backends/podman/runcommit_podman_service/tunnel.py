"""A service behind ssh, through a tunnel that is the job's own and ends with it.

podman-py's tunnel is a process that nobody ends, asks for passwords at the terminal, and writes to
the user's list of known hosts. Here ssh itself decides, by the user's own settings, and never asks.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from runcommit_core import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_podman_service.address import Address

_DEFAULT_SOCKET = "/run/podman/podman.sock"
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "15",
    "ExitOnForwardFailure": "yes",
    # a connection that other programs share would keep the tunnel open
    "ControlPath": "none",
    # a machine that has gone is noticed in a minute
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
}


def _cure(words: str, cure: str) -> tuple[re.Pattern[str], str]:
    return re.compile(words), cure


_CURES = (
    _cure(
        "Host key verification failed",
        "ssh does not know this host, or its key has changed: `{ssh}` asks, once by hand",
    ),
    _cure(
        "Permission denied|Too many authentication failures",
        "no password is asked for here: load the key into ssh-agent (`ssh-add`), or name its"
        " file with --engine-flag=--identity=FILE or CONTAINER_SSHKEY",
    ),
    _cure(
        "open failed: (connect failed|administratively prohibited)",
        "start the service there (`systemctl enable --now podman.socket`, with --user for"
        " one that is not root's), or name its socket, which is not {socket}:"
        " `podman info --format '{{{{.Host.RemoteSocket.Path}}}}'`",
    ),
    _cure(
        "Could not resolve|Connection refused|timed out|No route|unreachable",
        "no ssh server answers there: look at host and port",
    ),
)
"""From ssh's words to what helps; the first that fits."""

_ELSE = "`{ssh} podman info` must work without a question"


def command(address: Address, path: Path) -> tuple[str, ...]:
    """The words that make the socket ``path`` lead to the service, until they are ended."""
    return (
        *("ssh", "-N", "-T"),
        *(word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")),
        *(("-i", address.identity) if address.identity else ()),
        *("-L", f"{path}:{_socket(address)}"),
        *_destination(address),
    )


def failure(address: Address, error: EngineError, said: str) -> EngineError:
    """What is to be told of a tunnel that leads to no service; ``said`` are ssh's words."""
    cure = next((cure for pattern, cure in _CURES if pattern.search(said)), _ELSE)
    return EngineError(
        f"podman's service at {address.url} cannot be reached",
        argv=error.argv,
        returncode=error.returncode,
        output=said.strip() or error.output or str(error),
        tip=cure.format(ssh=shlex.join(("ssh", *_destination(address))), socket=_socket(address)),
    )


def _socket(address: Address) -> str:
    return unquote(urlsplit(address.url).path) or _DEFAULT_SOCKET


def _destination(address: Address) -> tuple[str, ...]:
    """The words for host, port and user; ssh's own settings may know the host by capitals."""
    parts = urlsplit(address.url)
    host = parts.netloc.rpartition("@")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    user = f"{unquote(parts.username)}@" if parts.username else ""
    return (*(("-p", str(parts.port)) if parts.port else ()), "--", f"{user}{host}")
