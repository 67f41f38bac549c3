"""What jobs left in an engine, and the private copies of bases, from the engine's own lists."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.housekeeping.orphans import end_orphans, made_by
from runcommit_core.interface.values import Leftover
from runcommit_core.registry import served

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runcommit_core.engine.client import Client

Remove = Callable[[str], object]
"""What takes a container away; raises EngineError where it cannot."""

BASE_COPIES = served.BASE_COPIES
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def of_jobs(
    ids: Sequence[str],
    *,
    containers: Iterable[str],
    images: Iterable[str],
    remove: Callable[[str], object],
    remove_image: Callable[[str], object],
) -> list[Leftover]:
    """Those of the names that jobs of these ids gave, each with its removal.

    Containers come first: an image goes only when none needs it.
    """
    return [
        _leftover(kind, name, remove_it)
        for kind, names, remove_it in (
            ("container", containers, remove),
            ("image", images, remove_image),
        )
        for name in names
        if made_by(name, ids)
    ]


def of_bases(
    sizes: Iterable[tuple[str, int | None]], remove: Callable[[str], object]
) -> list[Leftover]:
    """Those images, with their sizes in bytes, that are private copies of bases."""
    return [
        _leftover("base", name, remove, size)
        for name, size in sizes
        if name.startswith(f"{BASE_COPIES}:")
    ]


def of_client(
    client: Client,
    ids: Sequence[str],
    completed: Callable[[Sequence[str], Remove], Remove] = lambda _, remove: remove,
) -> list[Leftover]:
    """What ``leftovers`` returns where the engine's client lists and removes all of it.

    ``completed`` makes of the client's removal of a container a whole one: :func:`orphans_first`.
    """
    return of_jobs(
        ids,
        containers=process.output(*client.words(*client.containers)).split(),
        images=client.ask(*client.words(*client.images)).split(),
        remove=completed(ids, functools.partial(process.remove, *client.words(*client.remove))),
        remove_image=functools.partial(process.remove, *client.words(*client.remove_image)),
    )


def bases_of_client(client: Client) -> list[Leftover]:
    """What ``base_copies`` returns where the engine's client tells the sizes of whole images."""
    remove = functools.partial(process.remove, *client.words(*client.remove_image))
    if client.sizes:
        rows = client.ask(*client.words(*client.sizes)).splitlines()
        return of_bases(((row[0], size_in_bytes(*row[1:])) for row in map(str.split, rows)), remove)
    names = client.ask(*client.words(*client.images, BASE_COPIES)).split()
    inspect = (*client.look, "--format", "{{.Size}}")
    sizes = map(int, client.ask(*inspect, *names).split() if names else ())
    return of_bases(zip(names, sizes, strict=True), remove)


def size_in_bytes(number: str, unit: str = "B") -> int | None:
    """A size as engines write it for people, such as ``4.42 MB``; None where it is none."""
    try:
        return int(float(number) * _UNITS[unit.upper()])
    except (KeyError, ValueError):
        return None


def orphans_first(ids: Sequence[str], remove: Remove) -> Remove:
    """The same removal, after what the job that gave the name left running has been ended.

    For engines whose containers' processes outlive their removal.
    """

    def end_and_remove(name: str) -> None:
        for job_id in ids:
            if made_by(name, (job_id,)):
                end_orphans(job_id)
        remove(name)

    return end_and_remove


def _leftover(
    kind: str, name: str, remove: Callable[[str], object], size: int | None = None
) -> Leftover:
    return Leftover(kind=kind, name=name, size=size, remove=functools.partial(remove, name))
