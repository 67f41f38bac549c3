"""Which service a job talks to: the one that is named, or none, which means one of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from runcommit_core import EngineOptions, UsageError
from runcommit_podman_api.connections import connection

if TYPE_CHECKING:
    from collections.abc import Callable

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


def address_of(engine: EngineOptions) -> Address | None:
    """The service that flags or variables name, in the order of podman's own command line.

    Raises UsageError for a name that stands for nothing, for an address that is none, and for
    flags that only a program has.
    """
    given = _given(engine)
    url, name = given.get("url", ""), given.get("connection", "")
    if not url and not name:
        url = os.environ.get("CONTAINER_HOST", "")
        name = "" if url else os.environ.get("CONTAINER_CONNECTION", "")
    if not url and not name and "default" not in given:
        return None
    if others := given.get("others"):
        raise UsageError(
            f"the flag {others} is for the program podman; a service that runs already has its own",
            tip="leave it out, or leave --url, --connection, CONTAINER_HOST and"
            " CONTAINER_CONNECTION out",
        )
    key = given.get("key", "")
    if not url:
        found = connection(name)
        url, key = found.url, key or found.identity
    _check(url)
    return Address(url, key or os.environ.get("CONTAINER_SSHKEY", ""))


def _given(engine: EngineOptions) -> dict[str, str]:
    given: dict[str, str] = {}
    words = iter(engine.flags)
    for word in words:
        flag, separator, value = word.partition("=")
        if flag in _FLAGS:
            given[_FLAGS[flag]] = value if separator else next(words, "")
        elif word in ("--remote", "-r"):
            given["default"] = word
        elif flag != "--log-level":
            given.setdefault("others", word)
        elif not separator:
            next(words, "")
    return given


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
