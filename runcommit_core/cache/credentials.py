"""Credentials for a registry, from the files that docker and podman keep them in.

Source: containers-auth.json(5), and the documentation of ``docker login``.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core.engine import process
from runcommit_core.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator


def find_credentials(host: str, repository: str) -> tuple[str, str] | None:
    """User and password for a repository: the most specific of the first file that has any."""
    for path in auth_files():
        try:
            said = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and (found := _in_file(said, host, repository)):
            return found
    return None


def auth_files() -> Iterator[Path]:
    """The files in the order in which they count; a chosen one is the only one."""
    if chosen := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(chosen)
        return
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"
    home = os.environ.get("HOME", "")
    yield Path(os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config") / "containers/auth.json"
    yield Path(os.environ.get("DOCKER_CONFIG") or f"{home}/.docker") / "config.json"


def _in_file(said: dict[str, Any], host: str, repository: str) -> tuple[str, str] | None:
    auths = said.get("auths") or {}
    for name in _names(host, repository):
        auth = (auths.get(name) or {}).get("auth")
        if auth and (found := _decoded(auth)):
            return found
    helper = (said.get("credHelpers") or {}).get(host) or said.get("credsStore")
    return _from_helper(helper, host) if helper else None


def _names(host: str, repository: str) -> Iterator[str]:
    """``host/a/b``, ``host/a``, ``host``, and the form that docker wrote in older days."""
    name = f"{host}/{repository}"
    while name != host:
        yield name
        name = name.rpartition("/")[0]
    yield host
    yield f"https://{host}"
    yield f"https://{host}/v1/"


def _decoded(auth: str) -> tuple[str, str] | None:
    try:
        user, separator, password = base64.b64decode(auth).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if separator else None


def _from_helper(helper: str, host: str) -> tuple[str, str] | None:
    try:
        answer = process.output(f"docker-credential-{helper}", "get", stdin=[host.encode()])
        said = json.loads(answer)
        return str(said["Username"]), str(said["Secret"])
    except (EngineError, ValueError, KeyError, TypeError):
        return None
