"""What jobs left in a service that was there before them, and the private copies of bases."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from runcommit_core import EngineOptions, Leftover, made_by
from runcommit_podman.inventory import COPIES
from runcommit_podman.unfinished import settled
from runcommit_podman_api.asking import told
from runcommit_podman_api.images import remove_container, remove_image
from runcommit_podman_api.service import Service, service_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def of_jobs(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """Containers first: an image goes only when none needs it."""
    with service_for(engine) as service:
        containers = _listed(service, "/containers/json", "Names")
        images = _listed(service, "/images/json", "RepoTags")
        return [
            _leftover(engine, kind, name, remove)
            for kind, names, remove in (
                ("container", containers, remove_container),
                ("image", images, remove_image),
            )
            for name, _ in names
            if made_by(name, ids)
        ]


def copies_of_bases(engine: EngineOptions) -> list[Leftover]:
    """Sizes are those of the whole images."""
    with service_for(engine) as service:
        return [
            _leftover(engine, "base", name, remove_image, size=entry["Size"])
            for name, entry in _listed(service, "/images/json", "RepoTags")
            if name.startswith(f"{COPIES}:")
        ]


def _listed(service: Service, path: str, names: str) -> Iterator[tuple[str, Any]]:
    for entry in settled(functools.partial(_entries, service, path)):
        for name in entry[names] or ():
            yield name, entry


def _entries(service: Service, path: str) -> list[dict[str, Any]]:
    with told("list what it holds"):
        answer = service.wire.get(path, params={"all": "true"})
        answer.raise_for_status()
        return list(answer.json() or ())


def _leftover(
    engine: EngineOptions,
    kind: str,
    name: str,
    remove: Callable[[Service, str], None],
    *,
    size: int | None = None,
) -> Leftover:
    return Leftover(
        kind=kind, name=name, size=size, remove=functools.partial(_remove, engine, remove, name)
    )


def _remove(engine: EngineOptions, remove: Callable[[Service, str], None], name: str) -> None:
    with service_for(engine) as service:
        remove(service, name)
