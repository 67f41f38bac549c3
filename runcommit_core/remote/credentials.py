"""Credentials for a registry, from the files that docker and podman keep them in.

Source: containers-auth.json(5), and the documentation of ``docker login``.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.errors import ArchiveError, EngineError
from runcommit_core.oci.jsondoc import object_at, parse_object, text_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.oci.jsondoc import JsonObject


_LARGEST = 4 << 20
_HELPER = re.compile(r"[A-Za-z0-9._-]+")


def find_credentials(host: str, repository: str) -> tuple[str, str] | None:
    """User and password for a repository: the most specific of the first file that has any."""
    for path in auth_files():
        try:
            said = parse_object(_read(path), str(path))
            credentials = _in_file(said, host, repository)
        except (OSError, ArchiveError):
            continue
        if credentials:
            return credentials
    return None


def _read(path: Path) -> bytes:
    """A file's bytes; OSError for what is no regular file, or too large for credentials."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def login_tip(host: str) -> str:
    """How a user comes to have credentials."""
    return f"docker login {host}, or podman login {host}"


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


def _in_file(said: JsonObject, host: str, repository: str) -> tuple[str, str] | None:
    auths = object_at(said, "auths", "")
    for name in _names(host, repository):
        auth = text_at(object_at(auths, name, "auths"), "auth", name)
        if auth and (credentials := _decoded(auth)):
            return credentials
    helpers = object_at(said, "credHelpers", "")
    helper = text_at(helpers, host, "credHelpers") or text_at(said, "credsStore", "")
    return _from_helper(helper, host) if _HELPER.fullmatch(helper) else None


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
    except ValueError:
        return None
    return (user, password) if separator else None


def _from_helper(helper: str, host: str) -> tuple[str, str] | None:
    try:
        answer = process.output(f"docker-credential-{helper}", "get", stdin=[host.encode()])
        said = parse_object(answer.encode(), helper)
    except (EngineError, ArchiveError, ValueError):
        return None
    user, secret = said.get("Username"), said.get("Secret")
    return (user, secret) if isinstance(user, str) and isinstance(secret, str) else None
