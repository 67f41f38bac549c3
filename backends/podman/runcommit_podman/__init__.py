"""The podman backend: Podman through its command line, rootful or rootless."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runcommit_core import (
    Client,
    Container,
    EngineInfo,
    Image,
    Job,
    added_capabilities,
    containers,
    hookimpl,
    images,
    process,
    save_root,
    scratch_environment,
    settled,
    without_a_trace,
)
from runcommit_podman import checks
from runcommit_podman.store import UNFINISHED, at_once, read_store
from runcommit_podman_service.address import PROGRAM, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runcommit_core import (
        Access,
        EngineOptions,
        Entry,
        Finding,
        Lack,
        Leftover,
        Place,
        RuncommitError,
        RunOptions,
        SavedImage,
    )

runcommit_variables = checks.VARIABLES
runcommit_cures = checks.CURES
NO_WORKDIR = 'workdir "'


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask ``podman info``, which fails where the storage or the user's ids are not in order."""
    return EngineInfo.asked(PROGRAM, functools.partial(_described, engine))


@hookimpl
def place(engine: EngineOptions) -> Place:
    """Follow CONTAINER_HOST, connections and flags, as podman does."""
    return place_of(engine)


@hookimpl
def lacks(engine: EngineOptions, run: RunOptions, wanted: Collection[str]) -> list[Lack]:
    """Declare mounts on another machine, limits without cgroups, roots that a service keeps."""
    return checks.lacking(engine, run, wanted)


@hookimpl
def load(job: Job) -> Image:
    """Pull the private copy of the base from the job's registry, unless the store has it."""
    checks.check_platform(job)
    return images.bring_base(job, _images(job))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Run the command with ``podman run``, attached, with the capabilities that docker gives."""
    client = _client(job.engine)
    with without_a_trace("oom"):  # conmon's, where memory ran out
        completed = containers.run_on_base(job, client, _images(job), image, _run_words)
    if completed.returncode:
        raise _failure(job, completed)
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """Commit under the name that a push needs, unless there is a better way to the changes."""
    store = read_store(job, container)
    if not store.compares_rightly:
        checks.check_root(job)
        return Image(container.name)
    if upper := job.transport.upper(lambda: store.upper, enter=_unshared(job)):
        return Image(container.name, upper=upper)
    return containers.commit(job, _client(job.engine, scratch_environment(job)), container)


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Compare the root that ``podman mount`` shows with the base."""
    mount = job.engine.command(PROGRAM)
    return save_root(job, (*mount, "mount", container.name), enter=_unshared(job))


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Push to the job's registry, or ``podman save``; else read what was not committed."""
    if image.upper:
        if saved := containers.read_upper(job, image.upper, enter=_unshared(job)):
            return saved
        image = containers.commit(
            job, _client(job.engine, scratch_environment(job)), Container(image.name)
        )
    if image.name == job.name:
        return root(job, Container(image.name))
    return images.save(job, _images(job), image)


@hookimpl
def resolve(job: Job, reference: str) -> Image:
    """Find a local image, else pull it with the user's own credentials; name it for a push."""
    look = functools.partial(settled, UNFINISHED, images.inspected, *_client(job.engine).look)
    image = images.resolve(job, _images(job), reference, look)
    return replace(image, id=f"sha256:{image.id}")


@hookimpl
def deliver(job: Job, reference: str) -> Image:
    """Pull the result from the job's registry and give it its name."""
    return images.deliver(job, _images(job), reference)


@hookimpl
def enter(job: Job, container: Container) -> Entry:
    """Run a shell in an image of the container, for an ended one cannot be entered."""
    return containers.entry_by_image(job, _client(job.engine), container, _run_words)


@hookimpl
def rehearse(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """An image is not there; the container is on the store's own driver, else on overlay."""
    driver = engine.storage or "overlay"
    facts = {"driver": driver, "data": {"UpperDir": "/UPPER"}, "mapped": None}
    answers = {"image": "[]", "container": json.dumps(facts), "info": "{}"}
    native = str(driver == "overlay").lower()
    return process.rehearsed_answer(argv, answers, errors=f"useNativeDiff={native}")


@hookimpl
def leftovers(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """Find containers and images by the job's id, which is in all their names."""
    from runcommit_core import inventory

    return inventory.of_client(_client(engine), ids)


@hookimpl
def diagnose(engine: EngineOptions) -> list[Finding]:
    """Look at version, storage and runtime."""
    from runcommit_podman.diagnosis import findings

    return findings(engine)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:
    """List the images called ``localhost/runcommit/base``."""
    from runcommit_core import inventory

    return inventory.bases_of_client(_client(engine))


def _described(engine: EngineOptions) -> dict[str, Any]:
    template = (
        '{"version": {{json .Version.Version}}, "storage": {{json .Store.GraphDriverName}},'
        ' "rootless": {{json .Host.Security.Rootless}}}'
    )
    return checks.info(engine, template)


def _run_words(job: Job, image: Image, *more: str) -> tuple[str, ...]:
    """All words of the command that runs the container; a tmpfs begins empty, as docker's do.

    What a user's containers.conf says of other containers does not hold for it.
    """
    added = added_capabilities(job.run.flags, user=job.run.user)
    own = ["--http-proxy=false", "--passwd=false", "--umask=0022", *more]
    own += [f"--cap-add={name}" for name in added]
    options = containers.run_words(job, *own, tmpfs=",notmpcopyup")
    return (*job.engine.command(PROGRAM), "run", *options, image.name, *job.argv)


def _unshared(job: Job) -> tuple[str, ...]:
    by_service = job.place is not None and bool(job.place.address)
    return () if by_service or os.geteuid() == 0 else (*job.engine.command(PROGRAM), "unshare")


def _client(engine: EngineOptions, env: Mapping[str, str] | None = None) -> Client:
    return Client(
        program=engine.command(PROGRAM),
        env=env,
        remove=("rm", "--force", "--ignore", "--volumes", "--time=0"),
        remove_image=("rmi",),
        containers=("ps", "--all", "--external", "--format", "{{.Names}} {{.Labels}}"),
        commit=("commit", "--quiet"),
        remove_commit=("rmi", "--force"),
        save=("save", "--quiet"),
        untag=lambda name: ("untag", name, name),
        ask=functools.partial(settled, UNFINISHED, process.output),
    )


def _images(job: Job) -> images.Images:
    client = _client(job.engine, scratch_environment(job))
    look = functools.partial(at_once, functools.partial(images.inspected, *client.look))
    return images.by_client(client, functools.partial(_transfer, job), look)


def _transfer(job: Job, verb: str, access: Access, reference: str) -> None:
    words = (verb, "--quiet", "--tls-verify=false", "--authfile", str(access.authfile), reference)
    process.output(*job.engine.command(PROGRAM), *words, env=scratch_environment(job))


def _failure(job: Job, completed: process.Completed) -> RuncommitError:
    """Tell the command's failure from podman's, which makes no working directory."""
    outcome = containers.outcome(job, _client(job.engine))
    if job.run.workdir and not outcome.begun and NO_WORKDIR in completed.output:
        return containers.missing_workdir(PROGRAM, job.run.workdir)
    # podman misses some kills for want of memory
    outcome = replace(outcome, out_of_memory=outcome.out_of_memory or None)
    return containers.failed(job, completed, outcome)
