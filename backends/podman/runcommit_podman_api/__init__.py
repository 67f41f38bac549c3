"""The podman-api backend: Podman through its service, by podman-py, rootful or rootless."""

from __future__ import annotations

import functools
import importlib.util
import io
import os
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import runcommit_podman
from runcommit_core import (
    Container,
    EngineError,
    EngineInfo,
    EngineOptions,
    Entry,
    Finding,
    Image,
    Job,
    Lack,
    RuncommitError,
    SavedImage,
    UsageError,
    check_emulation,
    hookimpl,
    process,
    save_root,
)
from runcommit_podman.checks import lacking, mounts_elsewhere
from runcommit_podman.oom import without_a_trace
from runcommit_podman.store import Store, store_from
from runcommit_podman_api.address import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, BinaryIO

    from runcommit_core import Leftover, RunOptions
    from runcommit_podman_api.address import Address
    from runcommit_podman_api.service import Service

NAME = "podman-api"
_MISSING = (
    "the Python package podman (podman-py) is not installed: pip install runcommit[podman-api]"
)
_NOT_THERE = ("no such file or directory", "executable file not found")
_COMMAND_NOT_FOUND, _NOT_EXECUTABLE, _KILLED = 127, 126, 128 + 9


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask the service that is named, else the program that would start one."""
    if not _installed():
        return EngineInfo(name=NAME, problem=_MISSING)
    try:
        if address_of(engine) is None:
            return replace(runcommit_podman.describe(engine), name=NAME)
        from runcommit_podman_api.asking import info
        from runcommit_podman_api.service import service_for

        with service_for(engine) as service:
            told = info(service.wire)
    except RuncommitError as error:
        return EngineInfo(name=NAME, problem=" ".join(str(error).split("\n  | ")[:2]))
    return EngineInfo(
        name=NAME,
        version=told["version"]["Version"],
        storage=told["store"]["graphDriverName"],
        rootless=told["host"]["security"]["rootless"],
    )


@hookimpl
def lacks(engine: EngineOptions, run: RunOptions) -> list[Lack]:
    """Declare mounts on another machine, and limits where podman is this user's own."""
    address = address_of(engine)
    if address is None:
        return lacking(engine, run)
    elsewhere = [] if address.here else [mounts_elsewhere(address.url, run)]
    return [*elsewhere, *_unreadable_root(address)]


@hookimpl
def load(job: Job) -> Image:
    """Pull the private copy of the base from the job's registry, unless the service has it."""
    from runcommit_podman_api import images

    service, name = _service(job), job.transport.name
    if service.here:
        check_emulation(job.run.platform, job.folder)
    if images.layers_of(service, name) != job.transport.diff_ids:
        if not job.keep_base:
            images.remove_later(job, service, name)
        job.transport.deliver(
            pull=functools.partial(images.pull_as, service, name),
            load=functools.partial(images.load, service),
        )
    return Image(name)


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Create the container, attach to it and start it."""
    from runcommit_podman_api.asking import told
    from runcommit_podman_api.creation import container_spec, without_values
    from runcommit_podman_api.running import run_attached

    wire = _service(job).wire
    body = container_spec(job, image)
    job.containers.callback(process.taken_back, f"container {job.name}", _removal(job))
    with told("create the container"):
        headers = {"Content-Type": "application/json"}
        shown = without_values(body)
        answer = wire.post("/containers/create", data=body, shown=shown, headers=headers)
        answer.raise_for_status()
    try:
        with without_a_trace():
            code, said = run_attached(wire, job.name, job.console, job.run.timeout)
    except EngineError as error:
        raise _start_failure(job, error) from error
    if code:
        raise _command_failure(job, code, said)
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """Commit under the name that a push needs, unless there is a better way to the changes.

    A service of the job's own shares its store with the program, which knows the best way.
    """
    from runcommit_podman_api import images
    from runcommit_podman_api.asking import split, told

    service = _service(job)
    if service.address is None:
        return runcommit_podman.commit(job, container)
    store = _store(service, container)
    if not store.compares_rightly:
        return Image(container.name)
    if upper := job.transport.upper(lambda: store.upper):
        return Image(container.name, upper=upper)
    name = job.transport.tag(job.id)
    images.remove_later(job, service, name)
    with told("commit the container"):
        answer = service.wire.post("/commit", params={"container": job.name, **split(name)})
        answer.raise_for_status()
    return Image(name, answer.json()["Id"])


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Push to the job's registry, or stream an archive; else read what was not committed."""
    from runcommit_podman_api.asking import transfer

    service = _service(job)
    if service.address is None:
        return runcommit_podman.save(job, image)
    if image.upper:
        return job.transport.collect_upper(image.upper)
    if image.name == job.name:
        return root(job, Container(image.name))
    return job.transport.collect(
        job.id,
        push=lambda access: transfer(service.wire, access, "push", image.name),
        save=lambda: _archive(service, image.name),
    )


@hookimpl
def deliver(job: Job, reference: str) -> Image:
    """Pull the result from the job's registry and give it its name."""
    from runcommit_podman_api import images

    service = _service(job)
    job.transport.deliver(
        pull=functools.partial(images.pull_as, service, reference),
        load=functools.partial(images.load_as, service, job.transport.name, reference),
    )
    return Image(reference)


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Compare the container's root with the base; a service of the job's own shares its store."""
    from runcommit_podman_api.asking import info
    from runcommit_podman_api.images import mounted

    service = _service(job)
    if service.address is None:
        return runcommit_podman.root(job, container)
    readable = os.geteuid() == 0 and _is_ours(service, info(service.wire))
    path = mounted(service, container.name) if readable else None
    # what is mounted for other processes alone looks empty
    if path is None or not path.is_dir() or not any(path.iterdir()):
        raise UsageError(
            "the container's root cannot be read: the service's store is another user's, or on"
            " another machine",
            tip="use podman's own overlay storage there, or run as root beside root's service",
        )
    return save_root(job, ("echo", str(path)))


@hookimpl
def resolve(job: Job, reference: str) -> Image:
    """Find a local image, else pull it with the service's credentials; name it for a push."""
    from runcommit_podman_api import asking, images

    service = _service(job)
    if not (found := images.id_of(service, reference)):
        asking.pull(service.wire, reference)
        found = images.id_of(service, reference)
    name = job.transport.tag(job.id)
    job.cleanup.callback(
        process.taken_back, f"name {name}", functools.partial(images.untag, service, name)
    )
    images.tag(service, reference, name)
    return Image(name, f"sha256:{found}")


@hookimpl
def rehearse(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """Requests are told as calls of curl; the program podman answers as it does on its own."""
    if argv[0] != "curl":
        return runcommit_podman.rehearse(engine, argv)
    from runcommit_podman_api.imagined import answer

    return answer(engine, argv)


@hookimpl
def enter(job: Job, container: Container) -> Entry:
    """Let the program podman open the shell, in its own store or as the service's client."""
    address = address_of(job.engine)
    flags = job.engine.flags if address is None else address.flags
    return runcommit_podman.enter(replace(job, engine=replace(job.engine, flags=flags)), container)


@hookimpl
def leftovers(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """Find containers and images by the job's id, which is in all their names."""
    if address_of(engine) is None:
        return runcommit_podman.leftovers(engine, ids)
    from runcommit_podman_api.inventory import of_jobs

    return of_jobs(engine, ids)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:
    """List the images called ``localhost/runcommit/base``."""
    if address_of(engine) is None:
        return runcommit_podman.base_copies(engine)
    from runcommit_podman_api.inventory import copies_of_bases

    return copies_of_bases(engine)


@hookimpl
def diagnose(engine: EngineOptions) -> list[Finding]:
    """Look at the service, else at what one of a job's own would have."""
    if (address := address_of(engine)) is None:
        return runcommit_podman.diagnose(engine)
    from runcommit_podman.diagnosis import ELSEWHERE, judged
    from runcommit_podman_api.asking import info
    from runcommit_podman_api.service import service_for

    near = Finding("ok", "service", f"one that runs already, at {address.url}")
    with service_for(engine) as service:
        return judged(info(service.wire), near if service.here else ELSEWHERE, here=service.here)


def _unreadable_root(address: Address) -> Iterator[Lack]:
    if not address.here or os.geteuid():
        yield Lack(
            "verify",
            f"the root of a container of podman's service at {address.url} can be read by root"
            " alone, beside the service",
            "leave --verify out, or let the job start a service of its own",
        )


def _installed() -> bool:
    return importlib.util.find_spec("podman") is not None


def _service(job: Job) -> Service:
    if not _installed():
        raise EngineError(_MISSING)
    from runcommit_podman_api.service import service_of

    return service_of(job)


def _removal(job: Job) -> functools.partial[None]:
    from runcommit_podman_api.images import remove_container

    return functools.partial(remove_container, _service(job), job.name)


def _store(service: Service, container: Container) -> Store:
    """What podman's own command line would tell, which sees no service's store."""
    from runcommit_podman_api.asking import info
    from runcommit_podman_api.images import inspected

    facts = inspected(service, container.name)
    described = info(service.wire)
    store = store_from(
        facts["GraphDriver"]["Name"],
        facts["GraphDriver"]["Data"],
        mapped=facts["HostConfig"].get("IDMappings"),
        said="",
        ask=lambda: described["store"]["graphStatus"],
    )
    return store if _is_ours(service, described) else store._replace(upper="")


def _is_ours(service: Service, described: dict[str, Any]) -> bool:
    """Whether root here sees the store's files as containers do, which have no ids of their own."""
    return service.here and not described["host"]["security"]["rootless"]


@contextmanager
def _archive(service: Service, name: str) -> Iterator[BinaryIO]:
    """A docker-archive as it comes; the service has written it to a file of its own before."""
    from runcommit_podman_api.asking import image_path, told

    params = {"format": "docker-archive"}
    with told("save the image"):
        answer = service.wire.get(image_path(name, "get"), params=params, stream=True)
        answer.raise_for_status()
        answer.raw.auto_close = False  # its end may be asked for twice
        with closing(answer), io.BufferedReader(answer.raw) as stream:
            yield cast("BinaryIO", stream)


def _start_failure(job: Job, error: EngineError) -> RuncommitError:
    """Tell a command that cannot be started from a service that cannot."""
    said = error.output
    if job.run.workdir and "workdir" in said:
        return EngineError(
            f"podman makes no working directory, and the base has no {job.run.workdir}",
            tip=f"make it first: -c 'mkdir -p {job.run.workdir}', then cd there",
        )
    if job.argv[0] not in said:
        return error
    not_there = any(words in said for words in _NOT_THERE)
    job.console(f"{said}\n".encode())
    code = _COMMAND_NOT_FOUND if not_there else _NOT_EXECUTABLE
    return process.command_failure(process.Completed(job.argv, code, said, ""))


def _command_failure(job: Job, code: int, said: str) -> RuncommitError:
    from runcommit_podman_api.images import inspected

    state = inspected(_service(job), job.name)["State"]
    hint = " (probably out of memory)" if job.run.memory and code == _KILLED else ""
    reason = " (out of memory)" if state.get("OOMKilled") else hint
    return process.command_failure(process.Completed(job.argv, code, said, ""), reason=reason)
