"""The connections that podman knows by name, from its own files.

podman-py's list fails on a containers.conf without connections and on a connection without a key,
and looks neither where variables point nor at the machine's own files.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MACHINES = (Path("/usr/share/containers"), Path("/etc/containers"))


def default_connection() -> str:
    """The name of the connection that podman takes by itself; empty where there is none."""
    return _known()[0]


def connection(name: str) -> tuple[str, str]:
    """The address of that connection (the default one for an empty name), and its key's file.

    podman 5 writes connections to podman-connections.json, older ones to containers.conf; all
    read both, and the first wins.  Raises UsageError for one that is not there, or without an
    address, and for a file that cannot be read.
    """
    default, known = _known()
    wanted = name or default
    if wanted not in known:
        asked = f"no connection {name!r}" if name else "no default connection"
        raise UsageError(
            f"podman knows {asked}; it knows {', '.join(sorted(known)) or 'none'}",
            tip="`podman system connection list` shows them, `… add` makes one",
        )
    settings = {key.lower(): str(value) for key, value in known[wanted].items()}
    if not settings.get("uri"):
        raise UsageError(
            f"podman's connection {wanted!r} has no address",
            tip=f"make it anew: `podman system connection remove {wanted}`, then `… add`",
        )
    return settings["uri"], settings.get("identity", "")


def _known() -> tuple[str, dict[str, dict[str, Any]]]:
    """The default's name, and all connections."""
    default = ""
    known: dict[str, dict[str, Any]] = {}
    for path in _settings_files():
        engine = _read(path, tomllib.loads).get("engine", {})
        default = engine.get("active_service") or default
        known |= engine.get("service_destinations") or {}
    listed = _read(_connections_file(), json.loads).get("Connection") or {}
    known |= listed.get("Connections") or {}
    return listed.get("Default") or default, known


def _settings_files() -> Iterator[Path]:
    """Every containers.conf, as podman reads them; later ones win."""
    if named := os.environ.get("CONTAINERS_CONF"):
        yield Path(named)
    else:
        for folder in (*_MACHINES, _users_folder()):
            yield folder / "containers.conf"
            yield from sorted((folder / "containers.conf.d").glob("*.conf"))
    if last := os.environ.get("CONTAINERS_CONF_OVERRIDE"):
        yield Path(last)


def _connections_file() -> Path:
    named = os.environ.get("PODMAN_CONNECTIONS_CONF")
    return Path(named) if named else _users_folder() / "podman-connections.json"


def _users_folder() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "containers"


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        return dict(parse(path.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"podman's file {path} cannot be read: {error}") from error
