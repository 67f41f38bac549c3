"""The podman-api backend: Podman through its service, by podman-py, rootful or rootless."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runcommit_podman
from runcommit_core import (
    Container,
    EngineError,
    EngineInfo,
    EngineOptions,
    Finding,
    Image,
    Job,
    Lack,
    RuncommitError,
    SavedImage,
    UsageError,
    containers,
    hookimpl,
    images,
    process,
    save_root,
    without_a_trace,
)
from runcommit_podman import NO_WORKDIR, checks
from runcommit_podman.store import Store, store_from
from runcommit_podman_api import held
from runcommit_podman_api.container import create, run_attached
from runcommit_podman_api.service import Service, check_installed, service_for, service_of
from runcommit_podman_api.wire import imagine
from runcommit_podman_service.address import address_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core import Entry, Leftover, RunOptions

NAME = "podman-api"
runcommit_variables = checks.VARIABLES
runcommit_cures = checks.CURES


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask the service that is named, else the program that would start one."""
    try:
        check_installed()
        if address_of(engine) is None:
            return replace(runcommit_podman.describe(engine), name=NAME)
        with service_for(engine) as service:
            told = held.info(service.wire)
    except RuncommitError as error:
        return EngineInfo(name=NAME, problem=" ".join(str(error).split("\n  | ")[:2]))
    version, storage = told["version"]["Version"], told["store"]["graphDriverName"]
    rootless = told["host"]["security"]["rootless"]
    return EngineInfo(name=NAME, version=version, storage=storage, rootless=rootless)


@hookimpl
def lacks(engine: EngineOptions, run: RunOptions) -> list[Lack]:
    """Declare mounts on another machine, and limits where podman is this user's own."""
    address = address_of(engine)
    if address is None:
        return checks.lacking(engine, run)
    lacks = [] if address.here else [checks.no_mounts(address.url, run)]
    if not address.here or os.geteuid():
        said = f"the root of a container of podman's service at {address.url} can be read by root"
        tip = "leave --verify out, or let the job start a service of its own"
        lacks.append(Lack("verify", f"{said} alone, beside the service", tip))
    return lacks


@hookimpl
def load(job: Job) -> Image:
    """Pull the private copy of the base from the job's registry, unless the service has it."""
    if service_of(job).here:
        checks.check_platform(job)
    return images.bring_base(job, _images(job))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Create the container, attach to it and start it."""
    wire = service_of(job).wire
    remove = functools.partial(held.remove_container, wire, job.name)
    job.containers.callback(process.taken_back, f"container {job.name}", remove)
    images.on_base(job, _images(job), image, functools.partial(create, wire, job))
    try:
        with without_a_trace("oom"):
            completed = run_attached(wire, job)
    except EngineError as error:
        raise _start_failure(job, error) from error
    if completed.returncode:
        killed = held.inspected(wire, job.name)["State"].get("OOMKilled")
        raise containers.command_error(job, completed, out_of_memory=killed or None)
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """Commit under the name that a push needs, unless there is a better way to the changes.

    A service of the job's own shares its store with the program, which knows the best way.
    """
    service = service_of(job)
    if service.address is None:
        return runcommit_podman.commit(job, container)
    store = _store(service, container)
    if not store.compares_rightly:
        return Image(container.name)
    if upper := job.transport.upper(lambda: store.upper):
        return Image(container.name, upper=upper)
    name = job.transport.tag(job.id)
    job.cleanup.callback(_images(job).remove, name)
    params = {"container": job.name, **held.split(name)}
    answer = service.wire.ask("commit the container", "post", "/commit", params)
    return Image(name, answer.json()["Id"])


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Push to the job's registry, or stream an archive; else read what was not committed."""
    if service_of(job).address is None:
        return runcommit_podman.save(job, image)
    if image.name == job.name and not image.upper:
        return root(job, Container(image.name))
    return images.save(job, _images(job), image)


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Compare the container's root with the base; a service of the job's own shares its store."""
    service = service_of(job)
    if service.address is None:
        return runcommit_podman.root(job, container)
    path = _mounted(service, container)
    # what is mounted for other processes alone looks empty
    if path is None or not path.is_dir() or not any(path.iterdir()):
        raise UsageError(
            "the container's root cannot be read: the service's store is another user's, or on"
            " another machine",
            tip="use podman's own overlay storage there, or run as root beside root's service",
        )
    return save_root(job, ("echo", str(path)))


@hookimpl
def deliver(job: Job, reference: str) -> Image:
    """Pull the result from the job's registry and give it its name."""
    return images.deliver(job, _images(job), reference)


@hookimpl
def resolve(job: Job, reference: str) -> Image:
    """Find a local image, else pull it with the service's credentials; name it for a push."""
    look = functools.partial(held.look, service_of(job).wire)
    image = images.resolve(job, _images(job), reference, look)
    return replace(image, id=f"sha256:{image.id}")


@hookimpl
def rehearse(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """Requests are told as calls of curl; the program podman answers as it does on its own."""
    if argv[0] != "curl":
        return runcommit_podman.rehearse(engine, argv)
    return imagine(engine, argv)


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
    return held.left_by_jobs(engine, ids)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:
    """List the images called ``localhost/runcommit/base``, with the sizes of whole images."""
    if address_of(engine) is None:
        return runcommit_podman.base_copies(engine)
    return held.left_by_loads(engine)


@hookimpl
def diagnose(engine: EngineOptions) -> list[Finding]:
    """Look at the service, else at what one of a job's own would have."""
    if (address := address_of(engine)) is None:
        return runcommit_podman.diagnose(engine)
    from runcommit_podman.diagnosis import ELSEWHERE, judged

    near = Finding("ok", "service", f"one that runs already, at {address.url}")
    with service_for(engine) as service:
        said = near if service.here else ELSEWHERE
        return judged(held.info(service.wire), said, here=service.here)


def _images(job: Job) -> images.Images:
    return held.images_of(service_of(job).wire, job.transport.name)


def _store(service: Service, container: Container) -> Store:
    """What podman's own command line would tell, which sees no service's store."""
    facts, described = held.inspected(service.wire, container.name), held.info(service.wire)
    graph, status = facts["GraphDriver"], described["store"]["graphStatus"]
    mapped = facts["HostConfig"].get("IDMappings")
    store = store_from(graph["Name"], graph["Data"], mapped=mapped, said="", ask=lambda: status)
    return store if _is_ours(service, described) else store._replace(upper="")


def _mounted(service: Service, container: Container) -> Path | None:
    """Where root sees the container's root, if it does; podman 5 answers without quotes."""
    if os.geteuid() or not _is_ours(service, held.info(service.wire)):
        return None
    path = f"/containers/{container.name}/mount"
    said = service.wire.ask("mount the container", "post", path).text
    return Path(said.strip().strip('"'))


def _is_ours(service: Service, described: dict[str, Any]) -> bool:
    """Whether root here sees the store's files as containers do, which have no ids of their own."""
    return service.here and not described["host"]["security"]["rootless"]


def _start_failure(job: Job, error: EngineError) -> RuncommitError:
    """Tell a command that cannot be started from a service that cannot."""
    said = error.output
    if job.run.workdir and NO_WORKDIR in said:
        return containers.missing_workdir("podman", job.run.workdir)
    code = containers.unstarted_code(job.argv, said)
    if not code:
        return error
    job.console(f"{said}\n".encode())
    return process.command_failure(process.Completed(job.argv, code, said, ""))
