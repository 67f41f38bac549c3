"""What podman cannot do, or would pass over in silence, told before anything runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core import EngineOptions, Lack, rootless_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core import RunOptions

_ADDRESSES = ("--url", "--connection", "-c")
_VARIABLES = ("CONTAINER_HOST", "CONTAINER_CONNECTION")


def lacking(engine: EngineOptions, run: RunOptions) -> list[Lack]:
    """Mounts on another machine, and limits without cgroups."""
    mounts = [mounts_elsewhere(address, run) for address in _elsewhere(engine)]
    return [*mounts[:1], *rootless_limits("podman")]


def mounts_elsewhere(address: str, run: RunOptions) -> Lack:
    """Mounts at a service that has not the files of this machine."""
    kinds = [mount.kind for mount in run.mounts if mount.source] or ["bind"]
    return Lack(
        "mount",
        f"podman's service is on another machine ({address}), which has not the files"
        f" of this one: a mount of type {kinds[0]} cannot be made",
        "choose podman on this machine",
    )


def _elsewhere(engine: EngineOptions) -> Iterator[str]:
    """The service that podman is told to use, unless it is one on this machine."""
    words = iter(engine.flags)
    found = [os.environ[name] for name in _VARIABLES if os.environ.get(name)]
    for word in words:
        flag, separator, value = word.partition("=")
        if flag in _ADDRESSES:
            found.append(value if separator else next(words, ""))
    yield from (address for address in found if not address.startswith("unix:"))
