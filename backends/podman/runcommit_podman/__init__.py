"""The podman backend: Podman through its command line, rootful or rootless."""

from __future__ import annotations

import functools
import json
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from runcommit_core import (
    Access,
    Container,
    EngineError,
    EngineInfo,
    EngineOptions,
    Entry,
    Image,
    Job,
    Place,
    SavedImage,
    added_capabilities,
    client_environment,
    forget_copy,
    found_copy,
    hookimpl,
    process,
    recalled_copy,
    save_root,
    save_upper,
    variable_words,
)
from runcommit_podman.address import place_of
from runcommit_podman.checks import check_platform, check_root, lacking
from runcommit_podman.oom import without_a_trace
from runcommit_podman.store import read_store
from runcommit_podman.unfinished import for_an_unfinished_image, settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from runcommit_core import Finding, Lack, Leftover, RunOptions

log = logging.getLogger("runcommit")

PROGRAM = "podman"
_ENGINE_FAILED = 125
_COMMAND_NOT_FOUND = 127
_KILLED = 128 + 9
_NOT_STARTED = "created"
_ENDED = ("exited", "stopped")


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask ``podman info``, which fails where the storage or the user's ids are not in order."""
    template = (
        '{"version": {{json .Version.Version}}, "storage": {{json .Store.GraphDriverName}},'
        ' "rootless": {{json .Host.Security.Rootless}}}'
    )
    try:
        completed = process.attempt(*engine.command(PROGRAM), "info", "--format", template)
    except EngineError as error:
        return EngineInfo(name=PROGRAM, problem=str(error).splitlines()[0])
    if completed.returncode:
        return EngineInfo(name=PROGRAM, problem=completed.words.strip().splitlines()[-1])
    return EngineInfo(name=PROGRAM, **json.loads(completed.output))


@hookimpl
def place(engine: EngineOptions) -> Place:
    """Follow CONTAINER_HOST, connections and flags, as podman does."""
    return place_of(engine)


@hookimpl
def lacks(engine: EngineOptions, run: RunOptions, wanted: Collection[str]) -> list[Lack]:
    """Declare mounts on another machine, limits without cgroups, roots that a service keeps."""
    return list(lacking(engine, run, wanted))


@hookimpl
def load(job: Job) -> Image:
    """Pull the private copy of the base from the job's registry, unless the store has it."""
    check_platform(job)
    if known := recalled_copy(job):
        return Image(known)
    name = job.transport.name
    if not _has(job, name):
        if not job.keep_base:
            job.cleanup.callback(process.undo, *_podman(job), "rmi", name)
        job.transport.deliver(
            pull=functools.partial(_pull, job, name), load=functools.partial(_load, job)
        )
    return Image(name)


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Run the command with ``podman run``, attached, with the capabilities that docker gives."""
    job.containers.callback(
        process.undo, *_podman(job), "rm", "--force", "--ignore", "--volumes", "--time=0", job.name
    )
    with without_a_trace():
        completed = process.attached(
            *_run_words(job, image), console=job.console, env=client_environment(job),
            timeout=job.run.timeout, end=(*_podman(job), "kill", job.name),
        )  # fmt: skip
    if completed.returncode:
        if completed.returncode == _ENGINE_FAILED and _has_lost(job, image):
            forget_copy(job)
            return run(job, load(job))
        _raise_failure(job, completed)
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """Commit under the name that a push needs, unless there is a better way to the changes."""
    store = read_store(job, container)
    if not store.compares_rightly:
        check_root(job)
        return Image(container.name)
    if upper := job.transport.upper(lambda: store.upper, enter=_unshared(job)):
        return Image(container.name, upper=upper)
    return _committed(job, container)


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Push to the job's registry, or ``podman save``; else read what was not committed."""
    if image.upper:
        try:
            return save_upper(job, image.upper, enter=_unshared(job))
        except EngineError as error:
            log.warning("cannot read the container's changes, so committing them: %s", error)
            image = _committed(job, Container(image.name))
    if image.name == job.name:
        return root(job, Container(image.name))
    return job.transport.collect(
        job.id,
        push=lambda access: _transfer(job, access, "push", image.name),
        save=lambda: process.streaming(*_podman(job), "save", "--quiet", image.name),
    )


@hookimpl
def deliver(job: Job, reference: str) -> Image:
    """Pull the result from the job's registry and give it its name."""
    job.transport.deliver(
        pull=functools.partial(_pull, job, reference),
        load=functools.partial(_load_as, job, reference),
    )
    return Image(reference)


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Compare the root that ``podman mount`` shows with the base."""
    return save_root(job, (*_podman(job), "mount", container.name), enter=_unshared(job))


@hookimpl
def resolve(job: Job, reference: str) -> Image:
    """Find a local image, else pull it with the user's own credentials; name it for a push."""
    inspect = (*_podman(job), "image", "inspect", "--format", "{{.Id}}", reference)
    found = settled(lambda: process.found(*inspect))
    if not found:
        process.output(*_podman(job), "pull", "--quiet", reference)
        found = settled(lambda: process.checked(process.attempt(*inspect)))
    name = job.transport.tag(job.id)
    job.cleanup.callback(process.undo, *_podman(job), "untag", name, name)
    process.output(*_podman(job), "tag", reference, name)
    return Image(name, f"sha256:{found.output.strip()}")


@hookimpl
def rehearse(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """An image is not there; the container is on the store's own driver, else on overlay."""
    driver = engine.storage or "overlay"
    facts = {"driver": driver, "data": {"UpperDir": "/UPPER"}, "mapped": None}
    answers = {"image": "[]", "container": json.dumps(facts), "info": "{}"}
    answer = next((answers[word] for word in argv if word in answers), "")
    native = str(driver == "overlay").lower()
    return process.Completed(tuple(argv), 0, answer, f"useNativeDiff={native}")


@hookimpl
def enter(job: Job, container: Container) -> Entry:
    """Run a shell in an image of the container, for an ended one cannot be entered."""
    image = f"localhost/runcommit/kept:{job.id}"
    flags = ("--rm", "--interactive", "--tty", *job.run.flags)
    shell = replace(job, id=f"{job.id}-shell", run=replace(job.run, flags=flags))
    return Entry(
        before=((*_podman(job), "commit", container.name, image),),
        enter=_run_words(shell, Image(image)),
        after=(
            (*_podman(job), "rm", "--force", "--ignore", "--volumes", "--time=0", shell.name),
            (*_podman(job), "rmi", image),
        ),
    )


@hookimpl
def leftovers(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """Find containers and images by the job's id, which is in all their names."""
    from runcommit_podman.inventory import of_jobs

    return of_jobs(engine.command(PROGRAM), ids)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:
    """List the images called ``localhost/runcommit/base``."""
    from runcommit_podman.inventory import copies_of_bases

    return copies_of_bases(engine.command(PROGRAM))


@hookimpl
def diagnose(engine: EngineOptions) -> list[Finding]:
    """Look at version, storage and runtime."""
    from runcommit_podman.diagnosis import findings

    return findings(engine.command(PROGRAM))


def _run_words(job: Job, image: Image) -> tuple[str, ...]:
    """All words of the command that runs the container."""
    options = ["--name", job.name, "--label", f"runcommit.job={job.id}"]
    options += ["--pull=never", "--log-driver=none", "--hostname=runcommit", "--http-proxy=false"]
    options += [f"--cap-add={name}" for name in added_capabilities(job.run.flags)]
    options += [*job.run.words(), *variable_words(job), *job.run.limits()]
    options += ["--platform", job.run.platform] if job.run.platform else []
    # a tmpfs begins empty, as docker's do
    mounts = [mount.words(tmpfs=",notmpcopyup") for mount in job.run.mounts]
    options += [word for words in mounts for word in words]
    return (*_podman(job), "run", *options, *job.run.flags, image.name, *job.argv)


def _committed(job: Job, container: Container) -> Image:
    name = job.transport.tag(job.id)
    job.cleanup.callback(process.undo, *_podman(job), "rmi", "--force", name)
    return Image(name, process.output(*_podman(job), "commit", "--quiet", container.name, name))


def _podman(job: Job) -> tuple[str, ...]:
    return job.engine.command(PROGRAM)


def _unshared(job: Job) -> tuple[str, ...]:
    by_service = job.place is not None and bool(job.place.address)
    return () if by_service or os.geteuid() == 0 else (*_podman(job), "unshare")


def _has(job: Job, name: str) -> bool:
    template = "{{.Id}} {{json .RootFS.Layers}}"
    try:
        found = process.found(*_podman(job), "image", "inspect", "--format", template, name)
    except EngineError as error:
        if not for_an_unfinished_image(error):
            raise
        return False  # a pull of what is there takes no longer than waiting would
    image_id, _, layers = found.output.partition(" ") if found else ("", "", "")
    return found_copy(job, image_id, json.loads(layers or "[]") or ())


def _has_lost(job: Job, image: Image) -> bool:
    """Whether there is no image any more of an id that was recalled."""
    exists = (*_podman(job), "image", "exists", image.name)
    return image.name == recalled_copy(job) and process.attempt(*exists).returncode == 1


def _pull(job: Job, name: str, access: Access) -> None:
    reference = access.reference("base")
    _transfer(job, access, "pull", reference)
    _rename(job, reference, name)


def _load_as(job: Job, name: str, archive: Iterator[bytes]) -> None:
    _load(job, archive)
    _rename(job, job.transport.name, name)


def _rename(job: Job, reference: str, name: str) -> None:
    try:
        process.output(*_podman(job), "tag", reference, name)
    finally:
        process.undo(*_podman(job), "untag", reference, reference)


def _load(job: Job, archive: Iterator[bytes]) -> None:
    process.output(*_podman(job), "load", "--quiet", stdin=archive)


def _transfer(job: Job, access: Access, verb: str, reference: str) -> None:
    process.output(
        *_podman(job), verb, "--quiet", "--tls-verify=false", "--authfile", str(access.authfile),
        reference,
    )  # fmt: skip


def _raise_failure(job: Job, completed: process.Completed) -> None:
    """Tell the command's failure from the engine's: ``podman run`` has one exit code for both.

    Where the connection to a service was cut, the command goes on, or ended otherwise than podman.
    """
    state = process.attempt(
        *_podman(job), "container", "inspect", "--format",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", job.name,
    ).output.split()  # fmt: skip
    started = bool(state) and state[0] != _NOT_STARTED
    ended = started and state[0] in _ENDED and state[1] == str(completed.returncode)
    if job.run.workdir and not started and "workdir" in completed.output:
        raise EngineError(
            f"podman makes no working directory, and the base has no {job.run.workdir}",
            tip=f"make it first: -c 'mkdir -p {job.run.workdir}', then cd there",
        )
    # the engine's own helpers can be missing as well
    not_found = completed.returncode == _COMMAND_NOT_FOUND and job.argv[0] in completed.output
    if not ended and (started or not not_found):
        raise process.failure(completed.argv, completed.returncode, completed.output)
    hint = " (probably out of memory)" if job.run.memory and completed.returncode == _KILLED else ""
    reason = " (out of memory)" if state[2:] == ["true"] else hint
    raise process.command_failure(completed, reason=reason)
