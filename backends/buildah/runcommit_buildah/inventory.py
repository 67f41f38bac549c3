"""What jobs left in buildah's store, and the private copies of bases that it holds."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from runcommit_core import Leftover, end_orphans, made_by, process

if TYPE_CHECKING:
    from collections.abc import Sequence

COPIES = "localhost/runcommit/base"
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def of_jobs(buildah: tuple[str, ...], ids: Sequence[str]) -> list[Leftover]:
    """Containers first: an image goes only when none needs it."""
    listed = process.output(*buildah, "containers", "--format", "{{.ContainerName}}").split()
    images = process.output(*buildah, "images", "--format", "{{.Name}}:{{.Tag}}").split()
    containers = [
        Leftover(kind="container", name=name, remove=functools.partial(_remove, buildah, name, ids))
        for name in listed
        if made_by(name, ids)
    ]
    return containers + [
        Leftover(
            kind="image", name=name, remove=functools.partial(process.remove, *buildah, "rmi", name)
        )
        for name in images
        if made_by(name, ids)
    ]


def copies_of_bases(buildah: tuple[str, ...]) -> list[Leftover]:
    """Buildah tells sizes in words alone, such as ``4.42 MB``."""
    rows = process.output(*buildah, "images", "--format", "{{.Name}}:{{.Tag}} {{.Size}}")
    return [
        Leftover(
            kind="base",
            name=name,
            size=_bytes(*size),
            remove=functools.partial(process.remove, *buildah, "rmi", name),
        )
        for name, *size in map(str.split, rows.splitlines())
        if name.startswith(f"{COPIES}:")
    ]


def _remove(buildah: tuple[str, ...], name: str, ids: Sequence[str]) -> None:
    """Remove a working container, after what runs in it.

    ``buildah rm`` takes the storage of a running container away and lets its processes go on.
    """
    for job_id in ids:
        if made_by(name, (job_id,)):
            end_orphans(job_id)
    process.remove(*buildah, "rm", name)


def _bytes(number: str, unit: str = "B") -> int | None:
    try:
        return int(float(number) * _UNITS[unit.upper()])
    except (KeyError, ValueError):
        return None
