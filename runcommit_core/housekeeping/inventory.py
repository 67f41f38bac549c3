"""What jobs left in an engine, and the private copies of bases, from the engine's own lists."""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.engine.copies import used_marker
from runcommit_core.errors import EngineError
from runcommit_core.housekeeping.orphans import end_orphans, made_by
from runcommit_core.interface.values import Leftover
from runcommit_core.registry import served

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runcommit_core.engine.client import Client

Remove = Callable[[str], object]
"""What takes a container away; raises EngineError where it cannot."""

BASE_COPIES = served.BASE_COPIES
LABEL = "runcommit.job"
"""The label with the job's id, on its container and on what is committed of that."""

_TAG_LENGTH = 24
_TRANSFERRED = re.compile(r"127\.0\.0\.1:(?P<port>\d{1,5})/runcommit/[0-9a-f]{12}(-\d+)?:[\w.-]+")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def of_jobs(
    ids: Sequence[str],
    *,
    containers: Iterable[str],
    images: Iterable[str],
    remove: Callable[[str], object],
    remove_image: Callable[[str], object],
    renamed: Iterable[str] = (),
    nameless: Iterable[str] = (),
) -> list[Leftover]:
    """Those of the names that jobs of these ids gave, each with its removal.

    ``renamed`` are names of containers, ``nameless`` ids of images, that are known to be of these
    jobs, by their label :data:`LABEL`.  Containers come first: an image goes only when none needs
    it.
    """
    own_containers = [name for name in containers if made_by(name, ids)]
    own_images = [name for name in images if made_by(name, ids)]
    return [
        _leftover(kind, name, remove_it)
        for kind, names, remove_it in (
            ("container", [*own_containers, *renamed], remove),
            ("image", [*own_images, *nameless], remove_image),
        )
        for name in dict.fromkeys(names)
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
    rows = [
        row.partition(" ")[::2]
        for row in process.output(*client.words(*client.containers)).splitlines()
    ]
    labels = [("--filter", f"label={LABEL}={job_id}") for job_id in ids]
    return of_jobs(
        ids,
        containers=[name for name, _ in rows],
        images=client.ask(*client.words(*client.images)).split(),
        remove=completed(ids, functools.partial(process.remove, *client.words(*client.remove))),
        remove_image=functools.partial(process.remove, *client.words(*client.remove_image)),
        renamed=[name for name, labels in rows if name and is_labelled(labels, ids)],
        nameless=[
            image_id
            for label in labels
            for image_id in client.ask(*client.words(*client.nameless, *label)).split()
        ],
    )


def is_labelled(labels: str, ids: Iterable[str]) -> bool:
    """Whether a container's labels, as an engine prints them, say that a job of these ids made it.

    Docker prints ``a=b,c=d``, podman ``map[a:b c:d]``.
    """
    labelled = re.findall(rf"(?:^|[\[,\s]){re.escape(LABEL)}[=:]([0-9a-f]+)(?=[\],\s]|$)", labels)
    return not set(labelled).isdisjoint(ids)


def bases_of_client(client: Client) -> list[Leftover]:
    """What ``base_copies`` returns where the engine's client tells the sizes of whole images."""
    remove = functools.partial(process.remove, *client.words(*client.remove_image))
    if client.sizes:
        rows = client.ask(*client.words(*client.sizes)).splitlines()
        return of_bases(((row[0], size_in_bytes(*row[1:])) for row in map(str.split, rows)), remove)
    listed = client.ask(*client.words(*client.images)).split()
    names = [name for name in listed if name.startswith(f"{BASE_COPIES}:") or _is_stranded(name)]
    ids = {_copy_of(each): each for each in client.ask(*client.words(*client.nameless)).split()}
    nameless = [name for name in sorted(ids) if name and used_marker(name).exists()]
    asked = [*names, *(ids[name] for name in nameless)]
    return [
        _leftover("base", name, functools.partial(_removed_by, remove, each), size)
        for name, each, size in zip([*names, *nameless], asked, _sizes(client, asked), strict=True)
    ]


def _removed_by(remove: Callable[[str], object], image_id: str, _name: str) -> object:
    return remove(image_id)


def _sizes(client: Client, names: Sequence[str]) -> Sequence[int | None]:
    """The sizes of images in bytes; None where somebody takes one of them away meanwhile."""
    if not names:
        return ()
    try:
        sizes = client.ask(*client.look, "--format", "{{.Size}}", *names).split()
    except EngineError as error:
        if not process.missed(error.output):
            raise
        return [None] * len(names)
    return list(map(int, sizes))


def _copy_of(image_id: str) -> str:
    """What a private copy with that id was called before it lost its name: that is in its id."""
    digest = image_id.removeprefix("sha256:")
    return f"{BASE_COPIES}:{digest[:_TAG_LENGTH]}" if len(digest) > _TAG_LENGTH else ""


def _is_stranded(name: str) -> bool:
    """Whether a name leads to the registry of a job that is no more: nobody listens there."""
    transferred = _TRANSFERRED.fullmatch(name)
    if transferred is None:
        return False
    try:
        socket.create_connection(("127.0.0.1", int(transferred["port"])), timeout=1).close()
    except OSError:
        return True
    return False


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
