"""Which service a job talks to: the one that is named, or none, which means one of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runcommit_core import EngineOptions, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAGS = {"--url": "url", "--connection": "connection", "-c": "connection", "--identity": "key"}
_SCHEMES = ("unix", "tcp", "ssh")
_FILES = ("PODMAN_CONNECTIONS_CONF", "CONTAINERS_CONF")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens: ``unix:``, ``tcp:`` or ``ssh:``, and the key for the last."""

    url: str
    identity: str = ""

    @property
    def here(self) -> bool:
        """Whether its containers surely have the files of this machine."""
        return self.url.startswith("unix:")


def address_of(engine: EngineOptions) -> Address | None:
    """The service that flags or variables name, in the order of podman's own command line.

    Raises UsageError for a name that stands for nothing, and for flags that only a program has.
    """
    given = _given(engine)
    url, name = given.get("url", ""), given.get("connection", "")
    if not url and not name:
        url = os.environ.get("CONTAINER_HOST", "")
        name = "" if url else os.environ.get("CONTAINER_CONNECTION", "")
    if not url and not name:
        return None
    if others := given.get("others"):
        raise UsageError(
            f"the flag {others} is for the program podman; a service that runs already has its own",
            tip="leave it out, or leave --url, --connection, CONTAINER_HOST and"
            " CONTAINER_CONNECTION out",
        )
    found = _connection(name) if name else Address(url)
    scheme = urlsplit(found.url).scheme
    if scheme not in _SCHEMES:
        raise UsageError(
            f"podman's service {found.url!r} has no address that is known here",
            tip=f"write it as {', '.join(f'{known}://…' for known in _SCHEMES)}",
        )
    key = given.get("key") or found.identity or os.environ.get("CONTAINER_SSHKEY", "")
    return Address(found.url, key)


def _given(engine: EngineOptions) -> dict[str, str]:
    given: dict[str, str] = {}
    words = iter(engine.flags)
    for word in words:
        flag, separator, value = word.partition("=")
        if flag in _FLAGS:
            given[_FLAGS[flag]] = value if separator else next(words, "")
        elif flag != "--remote" and not flag.startswith("--log-level"):
            given.setdefault("others", word)
    return given


def _connection(name: str) -> Address:
    known = dict(_connections())
    if name not in known:
        raise UsageError(
            f"podman knows no connection {name!r}; it knows {', '.join(sorted(known)) or 'none'}",
            tip="`podman system connection list` shows them, `… add` makes one",
        )
    settings = {key.lower(): value for key, value in known[name].items()}
    return Address(settings.get("uri", ""), settings.get("identity") or "")


def _connections() -> Iterator[tuple[str, dict[str, Any]]]:
    """All connections, later ones win.

    podman-py's own list fails on a containers.conf without connections, and on a connection
    without a key; it does not look where variables point.
    """
    from podman.domain.config import PodmanConfig

    files = [path for name in _FILES if (path := os.environ.get(name))]
    for config in (*(PodmanConfig(path) for path in reversed(files)), PodmanConfig()):
        yield from (config.attrs.get("engine", {}).get("service_destinations") or {}).items()
        yield from (config.attrs.get("Connection", {}).get("Connections") or {}).items()
