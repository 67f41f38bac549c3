"""What jobs left in a docker daemon, and the private copies of bases that it holds."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from runcommit_core import Leftover, await_orphans, made_by, process

if TYPE_CHECKING:
    from collections.abc import Sequence

COPIES = "localhost/runcommit/base"
_NAME = "{{.Repository}}:{{.Tag}}"


def of_jobs(docker: tuple[str, ...], ids: Sequence[str]) -> list[Leftover]:
    """Containers first: an image goes only when none needs it.

    The daemon ends a commit whose client is gone, so its image may be on the way.
    """
    await_orphans(ids, *docker, "commit")
    listed = process.output(*docker, "ps", "--all", "--format", "{{.Names}}").split()
    images = process.output(*docker, "images", "--format", _NAME).split()
    containers = [
        _leftover("container", name, *docker, "rm", "--force", "--volumes", name)
        for name in listed
        if made_by(name, ids)
    ]
    return containers + [
        _leftover("image", name, *docker, "rmi", "--no-prune", name)
        for name in images
        if made_by(name, ids)
    ]


def copies_of_bases(docker: tuple[str, ...]) -> list[Leftover]:
    """Sizes are those of the whole images."""
    names = process.output(*docker, "images", "--format", _NAME, COPIES).split()
    if not names:
        return []
    sizes = process.output(*docker, "image", "inspect", "--format", "{{.Size}}", *names).split()
    return [
        _leftover("base", name, *docker, "rmi", "--no-prune", name, size=int(size))
        for name, size in zip(names, sizes, strict=True)
    ]


def _leftover(kind: str, name: str, *command: str, size: int | None = None) -> Leftover:
    remove = functools.partial(process.remove, *command)
    return Leftover(kind=kind, name=name, size=size, remove=remove)
