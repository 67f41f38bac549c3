"""Where an engine is: on this machine, or on another one that ssh may lead to."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runcommit_core.errors import UsageError
from runcommit_core.records import record

if TYPE_CHECKING:
    from runcommit_core.interface.values import EngineOptions

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FORWARDERS = ("ssh", "sshd", "sshd-session", "socat")


@record(kw_only=True)
class Place:
    """Where an engine is.

    ``engine`` are options that lead there whatever the user chooses meanwhile.  ``address`` is
    empty where the engine's program needs none.  ``here`` tells whether the engine has this
    machine's files, ``loopback`` whether it may have its loopback; ``ssh`` are the words after
    ``ssh`` that lead to the engine's machine, if any do.
    """

    engine: EngineOptions
    address: str = ""
    here: bool = True
    loopback: bool = True
    ssh: tuple[str, ...] = ()


def place_at(address: str, engine: EngineOptions, *, identity: str = "") -> Place:
    """The place of an address such as ``unix:///run/docker.sock``, ``tcp://HOST:PORT``, ``ssh://…``.

    ``identity`` is the file of the key for ssh.  By tcp not even 127.0.0.1 tells whose files the
    engine has: it may be a tunnel's end, or that of a container beside us.  Raises UsageError for
    what is no address.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        start = parts.netloc.lower().rindex(host)  # ssh's settings tell upper from lower case
    except ValueError as error:
        raise UsageError(f"the engine's address {address!r} is none: {error}") from error
    if parts.scheme == "ssh":
        words = (
            *(("-i", identity) if identity else ()),
            *(("-l", parts.username) if parts.username else ()),
            *(("-p", str(port)) if port else ()),
            *("--", parts.netloc[start : start + len(host)]),
        )
        return Place(engine=engine, address=address, here=False, loopback=False, ssh=words)
    if host:
        near = host in _LOOPBACK
        return Place(engine=engine, address=address, here=False, loopback=near)
    here = not _is_forwarded(parts.path)
    return Place(engine=engine, address=address, here=here, loopback=here)


def _is_forwarded(path: str) -> bool:
    """Whether something that leads elsewhere listens on a socket of this machine, such as ssh -L.

    Source: unix(7), SO_PEERCRED: for the one who connects it is the process that listened.
    """
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, _, _ = struct.unpack("3i", peer)
        return Path(f"/proc/{pid}/comm").read_text().strip() in _FORWARDERS
    return False
