"""Images and containers of a service by name: what is there, naming, loading, removing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import Access, EngineError, Job, process
from runcommit_podman.unfinished import for_an_unfinished_image, settled
from runcommit_podman_api.asking import image_path, split, told, transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_podman_api.service import Service

_GONE = 404


def layers_of(service: Service, name: str) -> tuple[str, ...] | None:
    """The diff_ids of an image, None where the service has none of that name, or cannot tell."""
    try:
        found = _inspected(service, name)
    except EngineError as error:
        if not for_an_unfinished_image(error):
            raise
        return None
    return tuple(found["RootFS"]["Layers"] or ()) if found else None


def id_of(service: Service, name: str) -> str:
    """The id of an image, empty where the service has none of that name."""
    found = settled(functools.partial(_inspected, service, name))
    return str(found["Id"]) if found else ""


def pull_as(service: Service, name: str, access: Access) -> None:
    """Pull what the job's registry serves and give it its name, and no other."""
    reference = access.reference("base")
    transfer(service.wire, access, "pull", reference)
    _rename(service, reference, name)


def load(service: Service, archive: Iterator[bytes]) -> None:
    """Stream an archive to the service, which keeps it in a file until it is complete."""
    with told("load the image"):
        headers = {"Content-Type": "application/x-tar"}
        answer = service.wire.post("/images/load", data=archive, headers=headers)
        answer.raise_for_status()


def load_as(service: Service, loaded: str, name: str, archive: Iterator[bytes]) -> None:
    """Stream an archive of the image ``loaded`` and rename that."""
    load(service, archive)
    _rename(service, loaded, name)


def tag(service: Service, reference: str, name: str) -> None:
    """Give an image one more name."""
    with told(f"tag {reference}"):
        answer = service.wire.post(image_path(reference, "tag"), params=split(name))
        answer.raise_for_status()


def untag(service: Service, name: str) -> None:
    """Take a name from an image, which stays; podman-py has no such call."""
    with told(f"untag {name}"):
        answer = service.wire.post(image_path(name, "untag"), params=split(name))
        _raise_unless_gone(answer)


def remove_image(service: Service, name: str, *, force: bool = False) -> None:
    """Remove an image by its name."""
    with told(f"remove the image {name}"):
        params = {"force": str(force).lower()}
        path = image_path(name, "").removesuffix("/")
        _raise_unless_gone(service.wire.delete(path, params=params))


def remove_later(job: Job, service: Service, name: str) -> None:
    """Remove the image with the job."""
    remove = functools.partial(remove_image, service, name, force=name != job.transport.name)
    job.cleanup.callback(process.taken_back, f"image {name}", remove)


def remove_container(service: Service, name: str) -> None:
    """Remove a container, running or not, at once; podman-py's own waits ten seconds for it."""
    params = {"force": "true", "v": "true", "timeout": "0"}
    with told(f"remove the container {name}"):
        _raise_unless_gone(service.wire.delete(f"/containers/{name}", params=params))


def inspected(service: Service, name: str) -> dict[str, Any]:
    """What the service knows of a container."""
    with told("inspect the container"):
        answer = service.wire.get(f"/containers/{name}/json")
        answer.raise_for_status()
        return dict(answer.json())


def mounted(service: Service, name: str) -> Path:
    """Where the service's machine sees a container's root; podman 5 answers without quotes."""
    with told("mount the container"):
        answer = service.wire.post(f"/containers/{name}/mount")
        answer.raise_for_status()
    return Path(answer.text.strip().strip('"'))


def _rename(service: Service, reference: str, name: str) -> None:
    try:
        tag(service, reference, name)
    finally:
        process.taken_back(f"name {reference}", functools.partial(untag, service, reference))


def _inspected(service: Service, name: str) -> dict[str, Any] | None:
    with told(f"look for the image {name}"):
        answer = service.wire.get(image_path(name, "json"))
        if answer.status_code == _GONE:
            return None
        answer.raise_for_status()
        return dict(answer.json())


def _raise_unless_gone(answer: Any) -> None:
    if answer.status_code != _GONE:
        answer.raise_for_status()
