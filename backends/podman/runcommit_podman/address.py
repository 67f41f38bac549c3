"""Whether podman works itself or talks to a service, and where that is."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import EngineOptions, Place, UsageError, place_at, process

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "podman"
_CLIENT = "podman-remote"
_VALUES = {"--url": "url", "--connection": "connection", "-c": "connection", "--identity": "key"}
_REMOTE = ("--remote", "--remote=true", "-r")


def place_of(engine: EngineOptions) -> Place:
    """Look at what podman looks at, in its order; a default connection becomes a flag.

    The address is empty where podman needs no service.  Raises UsageError for a connection that
    podman does not know.
    """
    given = _given(engine)
    url, name = given.get("url", ""), given.get("connection", "")
    if not url and not name:
        url = os.environ.get("CONTAINER_HOST", "")
        name = "" if url else os.environ.get("CONTAINER_CONNECTION", "")
    if url:
        key = given.get("key") or os.environ.get("CONTAINER_SSHKEY", "")
        return place_at(url, engine, identity=key)
    if name:
        return _connected(_connection(engine, name), engine)
    if not _is_client(engine):
        return Place(engine=engine)
    default = next((each for each in _connections(engine) if each.get("Default")), None)
    if default is None:
        return place_at("unix:", engine)
    return _connected(
        default, replace(engine, flags=(*engine.flags, "--connection", default["Name"]))
    )


def _is_client(engine: EngineOptions) -> bool:
    program = Path(engine.path or PROGRAM).name
    return program == _CLIENT or any(word in _REMOTE for word in engine.flags)


def _given(engine: EngineOptions) -> Mapping[str, str]:
    given = {}
    words = iter(engine.flags)
    for word in words:
        flag, separator, value = word.partition("=")
        if flag in _VALUES:
            given[_VALUES[flag]] = value if separator else next(words, "")
    return given


def _connection(engine: EngineOptions, name: str) -> Mapping[str, str]:
    known = {each["Name"]: each for each in _connections(engine)}
    if name not in known:
        raise UsageError(
            f"podman knows no connection {name!r}; it knows {', '.join(sorted(known)) or 'none'}",
            tip="`podman system connection list` shows them, `… add` makes one",
        )
    return known[name]


def _connections(engine: EngineOptions) -> list[dict[str, str]]:
    program = engine.path or PROGRAM
    with process.for_real():
        words = process.output(program, "system", "connection", "list", "--format", "json")
    found: list[dict[str, str]] = json.loads(words)
    return found


def _connected(connection: Mapping[str, str], engine: EngineOptions) -> Place:
    return place_at(connection["URI"], engine, identity=connection.get("Identity") or "")
