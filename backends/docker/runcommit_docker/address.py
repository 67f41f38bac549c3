"""Which daemon the docker command line would talk to, and where that is."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import EngineOptions, Place, UsageError, place_at, process

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "docker"
_CHOOSING = ("-H", "--host", "-c", "--context")
_DEFAULT = "unix:///var/run/docker.sock"
_ADDRESS = ("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")


def place_of(engine: EngineOptions) -> Place:
    """Look at what docker's client looks at, in its order; a current context becomes a flag.

    Raises UsageError for a context that docker does not know.
    """
    if any(flag in _CHOOSING for flag, _ in _words(engine)):
        return _asked(engine)
    if address := os.environ.get("DOCKER_HOST"):
        return place_at(address, engine)
    context = os.environ.get("DOCKER_CONTEXT") or client_config(engine).get("currentContext")
    if not context or context == "default":
        return place_at(_DEFAULT, engine)
    return _asked(replace(engine, flags=(*engine.flags, "--context", context)))


def client_config(engine: EngineOptions) -> dict[str, Any]:
    """What the user's ``config.json`` says; nothing where there is none."""
    try:
        found = json.loads((config_folder(engine) / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def config_folder(engine: EngineOptions) -> Path:
    """The folder of the client's configuration."""
    chosen = [value for flag, value in _words(engine) if flag == "--config"]
    named = chosen[-1] if chosen else os.environ.get("DOCKER_CONFIG")
    return Path(named) if named else Path.home() / ".docker"


def _asked(engine: EngineOptions) -> Place:
    with process.for_real():
        answer = process.attempt(*engine.command(PROGRAM), *_ADDRESS)
    if answer.returncode:
        raise UsageError(
            f"docker cannot tell where its daemon is: {answer.words.strip()}",
            tip="`docker context ls` shows the contexts",
        )
    return place_at(answer.output.strip(), engine)


def _words(engine: EngineOptions) -> Iterator[tuple[str, str]]:
    """The flags before the verb that choose a daemon or a configuration, with their values."""
    words = iter(engine.flags)
    for word in words:
        flag, separator, value = word.partition("=")
        if flag in (*_CHOOSING, "--config"):
            yield flag, value if separator else next(words, "")
        elif word[:2] in ("-H", "-c"):
            yield word[:2], word[2:]
