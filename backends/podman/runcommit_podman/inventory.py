"""What jobs left in podman's store, and the private copies of bases that it holds."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from runcommit_core import Leftover, made_by, process
from runcommit_podman.unfinished import settled

if TYPE_CHECKING:
    from collections.abc import Sequence

COPIES = "localhost/runcommit/base"
_NAME = "{{.Repository}}:{{.Tag}}"


def of_jobs(podman: tuple[str, ...], ids: Sequence[str]) -> list[Leftover]:
    """Containers first: an image goes only when none needs it."""
    listed = process.output(*podman, "ps", "--all", "--format", "{{.Names}}").split()
    images = _asked(*podman, "images", "--format", _NAME)
    remove_container = ("rm", "--force", "--volumes", "--time=0")
    containers = [
        _leftover("container", name, *podman, *remove_container, name)
        for name in listed
        if made_by(name, ids)
    ]
    return containers + [
        _leftover("image", name, *podman, "rmi", name) for name in images if made_by(name, ids)
    ]


def copies_of_bases(podman: tuple[str, ...]) -> list[Leftover]:
    """Sizes are those of the whole images."""
    names = _asked(*podman, "images", "--format", _NAME, COPIES)
    if not names:
        return []
    sizes = _asked(*podman, "image", "inspect", "--format", "{{.Size}}", *names)
    return [
        _leftover("base", name, *podman, "rmi", name, size=int(size))
        for name, size in zip(names, sizes, strict=True)
    ]


def _asked(*command: str) -> list[str]:
    return settled(lambda: process.output(*command)).split()


def _leftover(kind: str, name: str, *command: str, size: int | None = None) -> Leftover:
    remove = functools.partial(process.remove, *command)
    return Leftover(kind=kind, name=name, size=size, remove=remove)
