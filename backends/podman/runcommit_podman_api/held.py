"""What a service holds: its images and containers by name, moving, naming and removing them."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from runcommit_core import Access, images, inventory, process, settled
from runcommit_podman.store import UNFINISHED, at_once
from runcommit_podman_api.service import service_for
from runcommit_podman_api.wire import NOT_FOUND, failed, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from runcommit_core import EngineOptions, Leftover
    from runcommit_podman_api.wire import Wire


def images_of(wire: Wire, ours: str) -> images.Images:
    """The service's images; ``ours`` is the name of the private copy, of which others may run."""

    def remove(name: str) -> None:
        take_back = functools.partial(remove_image, wire, name, force=name != ours)
        process.taken_back(f"image {name}", take_back)

    def untag(name: str) -> None:
        ask = functools.partial(wire.ask, f"untag {name}", "post", _path(name, "untag"))
        process.taken_back(f"name {name}", lambda: ask(split(name), gone=True))

    return images.Images(
        look=functools.partial(at_once, functools.partial(_look, wire)),
        pull=functools.partial(_transfer, wire, "pull"),
        push=functools.partial(_transfer, wire, "push"),
        load=functools.partial(_load, wire),
        save=functools.partial(_archive, wire),
        fetch=functools.partial(_pull, wire),
        tag=lambda old, new: wire.ask(f"tag {old}", "post", _path(old, "tag"), split(new)),
        untag=untag,
        remove=remove,
    )


def info(wire: Wire) -> dict[str, Any]:
    """What ``podman info`` says; it takes the service a fifth of a second."""
    return dict(wire.ask("describe itself", "get", "/info").json())


def inspected(wire: Wire, name: str) -> dict[str, Any]:
    """What the service knows of a container."""
    return dict(wire.ask("inspect the container", "get", f"/containers/{name}/json").json())


def left_by_jobs(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """What jobs left in a service that was there before them."""
    with service_for(engine) as service:
        return inventory.of_jobs(
            ids,
            containers=[name for name, _ in _listed(service.wire, "containers")],
            images=[name for name, _ in _listed(service.wire, "images")],
            remove=functools.partial(_removed, engine, remove_container),
            remove_image=functools.partial(_removed, engine, remove_image),
        )


def left_by_loads(engine: EngineOptions) -> list[Leftover]:
    """The private copies of bases, with the sizes of whole images."""
    with service_for(engine) as service:
        sizes = [(name, entry["Size"]) for name, entry in _listed(service.wire, "images")]
    return inventory.of_bases(sizes, functools.partial(_removed, engine, remove_image))


def _removed(engine: EngineOptions, remove: Callable[[Wire, str], None], name: str) -> None:
    with service_for(engine) as service:
        remove(service.wire, name)


def _listed(wire: Wire, kind: str) -> list[tuple[str, Any]]:
    """All ``containers`` or ``images`` by name, with what the service tells of each."""
    names = {"containers": "Names", "images": "RepoTags"}[kind]
    ask = functools.partial(wire.ask, "list what it holds", "get", f"/{kind}/json", {"all": "true"})
    entries = settled(UNFINISHED, ask).json() or ()
    return [(name, entry) for entry in entries for name in entry[names] or ()]


def remove_image(wire: Wire, name: str, *, force: bool = False) -> None:
    """Remove an image by its name."""
    path, params = _path(name, "").removesuffix("/"), {"force": str(force).lower()}
    wire.ask(f"remove the image {name}", "delete", path, params, gone=True)


def remove_container(wire: Wire, name: str) -> None:
    """Remove a container, running or not, at once; podman-py's own waits ten seconds for it."""
    params = {"force": "true", "v": "true", "timeout": "0"}
    wire.ask(f"remove the container {name}", "delete", f"/containers/{name}", params, gone=True)


def split(reference: str) -> dict[str, str]:
    """A name and its tag, as the service wants them; a port is no tag."""
    repository, separator, tag = reference.rpartition(":")
    if not separator or "/" in tag:
        repository, tag = reference, "latest"
    return {"repo": repository, "tag": tag}


def _path(name: str, verb: str) -> str:
    """The path of an image's verb; podman-py leaves some names as they are, slashes and all."""
    return f"/images/{quote(name, safe='')}/{verb}"


def look(wire: Wire, name: str) -> images.Facts | None:
    """An image's id and layers, once the images that others make are complete."""
    return settled(UNFINISHED, functools.partial(_look, wire), name)


def _look(wire: Wire, name: str) -> images.Facts | None:
    answer = wire.ask(f"look for the image {name}", "get", _path(name, "json"), gone=True)
    if answer.status_code == NOT_FOUND:
        return None
    facts = answer.json()
    return facts["Id"], tuple(facts["RootFS"]["Layers"] or ())


def _transfer(wire: Wire, verb: str, access: Access, reference: str) -> None:
    """Push an image to the job's registry, or pull it from there."""
    login = json.dumps(dict(zip(("username", "password"), access.login, strict=True)))
    headers = {"X-Registry-Auth": base64.urlsafe_b64encode(login.encode()).decode()}
    if verb == "pull":
        _pull(wire, reference, tlsVerify="false", policy="always", headers=headers)
        return
    path, params = _path(reference, "push"), {"tlsVerify": "false", "quiet": "true"}
    _check(verb, wire.ask(f"push {reference}", "post", path, params, headers=headers))


def _pull(wire: Wire, reference: str, *, headers: Any = None, **more: str) -> None:
    """Pull, without headers with the credentials that the service's own user has."""
    path, params = "/images/pull", {"reference": reference, "quiet": "true", **more}
    _check("pull", wire.ask(f"pull {reference}", "post", path, params, headers=headers or {}))


def _check(verb: str, answer: Any) -> None:
    """Raise the errors in the body of a success, which podman-py passes over."""
    for line in answer.text.splitlines():
        with contextlib.suppress(ValueError):
            if error := dict(json.loads(line)).get("error"):
                raise failed(verb, str(error))


def _load(wire: Wire, archive: Iterator[bytes]) -> None:
    """Stream an archive to the service, which keeps it in a file until it is complete."""
    headers = {"Content-Type": "application/x-tar"}
    wire.ask("load the image", "post", "/images/load", data=archive, headers=headers)


@contextlib.contextmanager
def _archive(wire: Wire, name: str) -> Iterator[BinaryIO]:
    """A docker-archive as it comes; the service has written it to a file of its own before."""
    params, task = {"format": "docker-archive"}, "save the image"
    answer = wire.ask(task, "get", _path(name, "get"), params, stream=True)
    answer.raw.auto_close = False  # its end may be asked for twice
    with told(task), contextlib.closing(answer), io.BufferedReader(answer.raw) as stream:
        yield cast("BinaryIO", stream)
