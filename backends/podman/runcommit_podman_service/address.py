"""Which service podman talks to, if to any: by flags, variables and connections."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from runcommit_core import EngineOptions, Place, UsageError, flag_values, place_at
from runcommit_podman_service.connections import connection, default_connection

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "podman"
_CLIENT = "podman-remote"
_REMOTE = ("--remote", "--remote=true", "-r")
_FLAGS = {"--url": "url", "--connection": "connection", "-c": "connection", "--identity": "key"}
_SCHEMES: dict[str, Callable[[SplitResult], object]] = {
    "unix": lambda parts: parts.path and not parts.netloc,
    "tcp": lambda parts: parts.hostname and parts.port,
    "ssh": lambda parts: parts.hostname and (parts.port or True),
}
"""By scheme: what an address of it must have; a port that is no number is a ValueError."""

_FORMS = "unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT][/PATH]"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens: ``unix:``, ``tcp:`` or ``ssh:``, and the key for the last."""

    url: str
    identity: str = ""

    @property
    def here(self) -> bool:
        """Whether its containers surely have the files of this machine."""
        return self.url.startswith("unix:")

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes the program podman a client of this service."""
        key = (f"--identity={self.identity}",) if self.identity else ()
        return ("--remote", f"--url={self.url}", *key)


def place_of(engine: EngineOptions) -> Place:
    """Where the program podman works; a default connection becomes a flag.

    The address is empty where podman needs no service.  Raises UsageError for a connection that
    podman does not know.
    """
    address = _named(engine)
    if address is None and not _wants_service(engine):
        return Place(engine=engine)
    if address is None and (name := default_connection()):
        engine = replace(engine, flags=(*engine.flags, "--connection", name))
        address = _named(engine)
    address = address or Address("unix:")
    return place_at(address.url, engine, identity=address.identity)


def address_of(engine: EngineOptions) -> Address | None:
    """The service that a client of our own talks to; None where flags and variables name none.

    Raises UsageError for a name that stands for nothing, for an address that is none, and for
    flags that only a program has.
    """
    address = _named(engine)
    if address is None and not any(word in _REMOTE for word in engine.flags):
        return None
    if others := _flags_of_a_program(engine.flags):
        raise UsageError(
            f"the flag {others[0]} is for the program podman; a service that runs already has its"
            " own",
            tip="leave it out, or leave --url, --connection, CONTAINER_HOST and"
            " CONTAINER_CONNECTION out",
        )
    address = address or Address(*connection(""))
    _check(address.url)
    return address


def _named(engine: EngineOptions) -> Address | None:
    """What flags or variables name, in podman's own order."""
    given = dict(flag_values(engine.flags, _FLAGS))
    url, name = given.get("url", ""), given.get("connection", "")
    if not url and not name:
        url = os.environ.get("CONTAINER_HOST", "")
        name = "" if url else os.environ.get("CONTAINER_CONNECTION", "")
    key = given.get("key", "")
    if not url and name:
        url, identity = connection(name)
        key = key or identity
    return Address(url, key or os.environ.get("CONTAINER_SSHKEY", "")) if url else None


def _wants_service(engine: EngineOptions) -> bool:
    remote = any(word in _REMOTE for word in engine.flags)
    return remote or Path(engine.path or PROGRAM).name == _CLIENT


def _flags_of_a_program(flags: tuple[str, ...]) -> list[str]:
    """Those that a client of our own does not know."""
    others, words = [], iter(flags)
    for word in words:
        flag, separator, _ = word.partition("=")
        if flag in _FLAGS or flag == "--log-level":
            next(words, "") if not separator else ""
        elif word not in _REMOTE:
            others.append(word)
    return others


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in _SCHEMES and _SCHEMES[parts.scheme](parts)
        password = parts.password
    except ValueError:
        complete, password = False, None
    if password:
        raise UsageError(
            "the address of podman's service holds a password, which ssh is not given",
            tip="leave it out and use a key: `ssh-copy-id`, then ssh-agent or --identity",
        )
    if not complete:
        raise UsageError(
            f"podman's service {url!r} has no address that is known here",
            tip=f"write it as {_FORMS}",
        )
