"""The buildah backend: Buildah through its command line, with any isolation it offers."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_buildah.checks import lacking
from runcommit_core import (
    PUBLIC_VARIABLES,
    Access,
    Container,
    EngineError,
    EngineInfo,
    EngineOptions,
    Entry,
    Image,
    Job,
    SavedImage,
    added_capabilities,
    check_emulation,
    forget_copy,
    found_copy,
    hookimpl,
    process,
    recalled_copy,
    save_root,
    save_upper,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runcommit_core import Finding, Lack, Leftover, RunOptions

log = logging.getLogger("runcommit")

PROGRAM = "buildah"
_COMMAND_NOT_FOUND = 127
_ROOT = "RUNCOMMIT_ROOT"
_CPU_PERIOD = 100_000
_KILLED = 128 + 9
_ENDED = re.compile(r"exit status (\d+)\s*\Z")
_NOT_FOUND = re.compile(r"(executable file not found|no such file or directory)")
_NOT_STARTED = re.compile(
    r"creating container for \[|process failed to start with error|unable to start container"
)


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask ``buildah info``, which fails where the storage or the user's ids are not in order."""
    try:
        version = process.attempt(*engine.command(PROGRAM), "--version")
        info = process.attempt(*engine.command(PROGRAM), "info")
    except EngineError as error:
        return EngineInfo(name=PROGRAM, problem=str(error).splitlines()[0])
    if info.returncode:
        return EngineInfo(name=PROGRAM, problem=info.words.strip().splitlines()[-1])
    facts = json.loads(info.output)
    return EngineInfo(
        name=PROGRAM,
        version=version.output.split()[2],
        rootless=bool(facts["host"]["rootless"]),
        storage=facts["store"]["GraphDriverName"],
    )


@hookimpl
def lacks(run: RunOptions) -> list[Lack]:
    """Declare what the isolation lacks, and limits without cgroups."""
    return lacking(run)


@hookimpl
def load(job: Job) -> Image:
    """Pull the private copy of the base from the job's registry, unless the store has it."""
    check_emulation(job.run.platform, job.folder)
    if known := recalled_copy(job):
        return Image(known)
    name = job.transport.name
    if not _has(job, name):
        if not job.keep_base:
            job.cleanup.callback(process.undo, *_buildah(job), "rmi", name)
        job.transport.deliver(
            pull=functools.partial(_pull, job, name), load=functools.partial(_load, job)
        )
    return Image(name)


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Make a working container and run the command in it."""
    job.containers.callback(process.undo, *_buildah(job), "rm", job.name)
    try:
        process.output(*_from_words(job, image))
    except EngineError:
        if not _has_lost(job, image):
            raise
        forget_copy(job)
        process.output(*_from_words(job, load(job)))
    _set_variables(job)
    completed = process.attached(*_run_words(job), console=job.console, timeout=job.run.timeout)
    if completed.returncode:
        _raise_failure(job, completed)
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """Find the upper directory; without one buildah commits straight to where ``save`` wants it."""
    upper = job.transport.upper(lambda: _upper(job, container), enter=_unshared(job))
    return Image(container.name, upper=upper)


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Send a working container, or the image that ``resolve`` found, out of the engine.

    Where buildah would compare directories by size and time, the container's root is read instead.
    """
    if image.upper:
        try:
            return save_upper(job, image.upper, enter=_unshared(job))
        except EngineError as error:
            log.warning("cannot read the container's changes, so committing them: %s", error)
    if not image.id and not _compares_rightly(job):
        return root(job, Container(image.name))
    verb = "push" if image.id else "commit"
    return job.transport.collect(
        job.id,
        push=lambda access: _transfer(
            job,
            access,
            verb,
            "--disable-compression",
            image.name,
            f"docker://{access.reference(job.id)}",
        ),
        save=lambda: process.streaming(
            *_buildah(job),
            verb,
            "--quiet",
            "--disable-compression",
            image.name,
            f"docker-archive:/dev/stdout:{job.transport.tag(job.id)}",
            env=_scratch(job),
        ),
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
    """Compare the root that ``buildah mount`` shows with the base."""
    return save_root(job, (*_buildah(job), "mount", container.name), enter=_unshared(job))


@hookimpl
def resolve(job: Job, reference: str) -> Image:
    """Find a local image, else pull it with the user's own credentials."""
    inspect = (*_buildah(job), "inspect", "--type", "image", "--format", "{{.FromImageID}}")
    found = process.attempt(*inspect, reference)
    if found.returncode:
        process.output(*_buildah(job), "pull", "--quiet", reference)
        found = process.checked(process.attempt(*inspect, reference))
    return Image(reference, f"sha256:{found.output.strip()}")


@hookimpl
def rehearse(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """An image is not there; the container is on the store's own driver, else on overlay."""
    native = str((engine.storage or "overlay") == "overlay").lower()
    status = json.dumps({"store": {"GraphStatus": {"Native Overlay Diff": native}}})
    answers = {
        "inspect": "[]",
        "info": status,
        "mount": "/UPPER/merged",
        "printenv": "/UPPER/merged",
    }
    answer = next((answers[word] for word in argv if word in answers), "")
    return process.Completed(tuple(argv), 0, answer, f"useNativeDiff={native}")


@hookimpl
def enter(job: Job) -> Entry:
    """Run a shell in the working container itself."""
    return Entry(
        enter=_run_words(replace(job, run=replace(job.run, flags=("--terminal", *job.run.flags))))
    )


@hookimpl
def leftovers(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """Find containers and images by the job's id, which is in all their names."""
    from runcommit_buildah.inventory import of_jobs

    return of_jobs(engine.command(PROGRAM), ids)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:
    """List the images called ``localhost/runcommit/base``."""
    from runcommit_buildah.inventory import copies_of_bases

    return copies_of_bases(engine.command(PROGRAM))


@hookimpl
def diagnose(engine: EngineOptions) -> list[Finding]:
    """Look at version, storage and runtime."""
    from runcommit_buildah.diagnosis import findings

    return findings(engine.command(PROGRAM))


def _from_words(job: Job, image: Image) -> tuple[str, ...]:
    """All words of the command that makes the container, where buildah takes the limits."""
    run = job.run
    options = ["--pull=never", "--name", job.name]
    options += ["--platform", run.platform] if run.platform else []
    options += ["--memory", f"{run.memory}b"] if run.memory else []
    if run.cpus:
        quota = round(run.cpus * _CPU_PERIOD)
        options += [f"--cpu-period={_CPU_PERIOD}", f"--cpu-quota={quota}"]
    return (*_buildah(job), "from", *options, image.name)


def _set_variables(job: Job) -> None:
    """Have the container hold the variables, none of whose values stands in a command line.

    ``run`` takes values from its words alone; ``config`` takes them from its environment, where
    names of our own cannot change buildah itself, and expands them.
    """
    own = {name: value for name, value in job.run.env.items() if name not in PUBLIC_VARIABLES}
    if not own:
        return
    stand_ins = {name: f"RUNCOMMIT_{job.id}_{n}" for n, name in enumerate(own)}
    values = {stand_ins[name]: value for name, value in own.items() if value}
    words = [f"--env={name}" for name in values]
    # an empty value would be taken for none
    words += [
        f"--env={name}=${{{stand_ins[name]}}}" if value else f"--env={name}="
        for name, value in own.items()
    ]
    words += [f"--env={name}-" for name in values]
    environment = process.environment() | values
    process.output(*_buildah(job), "config", *words, job.name, env=environment)


def _run_words(job: Job) -> tuple[str, ...]:
    """All words of the command that runs the user's in it."""
    options = ["--hostname=runcommit"]
    options += [f"--cap-add=CAP_{name}" for name in added_capabilities(job.run.flags)]
    options += job.run.words(workdir="--workingdir")
    public = job.run.env.keys() & PUBLIC_VARIABLES
    options += [f"--env={name}={job.run.env[name]}" for name in sorted(public)]
    for mount in job.run.mounts:
        if mount.source:
            mode = "ro" if mount.read_only else "rw"
            options += ["--volume", f"{mount.source}:{mount.target}:{mode}"]
        else:
            options += mount.words()
    return (*_buildah(job), "run", *options, *job.run.flags, job.name, "--", *job.argv)


def _buildah(job: Job) -> tuple[str, ...]:
    return job.engine.command(PROGRAM)


def _upper(job: Job, container: Container) -> str:
    """Where native overlay keeps the changes: beside the mount point.

    With some 50 layers and more buildah fails to mount a container that has run.
    """
    mount: tuple[str, ...] = ("mount", container.name)
    if enter := _unshared(job):
        mount = (*enter[-1:], "--mount", f"{_ROOT}={container.name}", "printenv", _ROOT)
    # every call tells at this level whether overlay itself, and no comparison, tells the changes
    done = process.attempt(*_buildah(job), "--log-level=debug", *mount)
    if "useNativeDiff=true" not in done.errors:
        return ""
    mounted = Path(done.output.strip())
    return str(mounted.with_name("diff")) if mounted.name == "merged" else ""


def _compares_rightly(job: Job) -> bool:
    """Whether overlay itself, and no comparison, tells the changes; vfs has no such status."""
    status = json.loads(process.output(*_buildah(job), "info"))["store"]["GraphStatus"]
    return (status or {}).get("Native Overlay Diff") == "true"


def _unshared(job: Job) -> tuple[str, ...]:
    return () if os.geteuid() == 0 else (*_buildah(job), "unshare")


def _has(job: Job, name: str) -> bool:
    # buildah 1.28 has no json function in templates; a list is printed as [one two]
    template = "{{.FromImageID}} {{.OCIv1.RootFS.DiffIDs}}"
    inspect = (*_buildah(job), "inspect", "--type", "image", "--format", template, name)
    image_id, _, layers = process.attempt(*inspect).output.strip().partition(" ")
    return found_copy(job, image_id, layers.strip("[]").split())


def _has_lost(job: Job, image: Image) -> bool:
    """Whether there is no image any more of an id that was recalled."""
    inspect = (*_buildah(job), "inspect", "--type", "image", "--format", "{{.FromImageID}}")
    known = image.name == recalled_copy(job)
    return known and bool(process.attempt(*inspect, image.name).returncode)


def _pull(job: Job, name: str, access: Access) -> None:
    reference = access.reference("base")
    _transfer(job, access, "pull", reference)
    _rename(job, reference, name)


def _load_as(job: Job, name: str, archive: Iterator[bytes]) -> None:
    _load(job, archive)
    _rename(job, job.transport.name, name)


def _rename(job: Job, reference: str, name: str) -> None:
    try:
        process.output(*_buildah(job), "tag", reference, name)
    finally:
        process.undo(*_buildah(job), "rmi", reference)


def _load(job: Job, archive: Iterator[bytes]) -> None:
    """Buildah seeks in archives and so takes none from a pipe: this one goes through a file."""
    path = job.folder / "base.tar"
    with path.open("wb") as file:
        for chunk in archive:
            file.write(chunk)
    process.output(*_buildah(job), "pull", "--quiet", f"docker-archive:{path}")
    path.unlink()


def _transfer(job: Job, access: Access, verb: str, *words: str) -> None:
    process.output(
        *_buildah(job), verb, "--quiet", "--tls-verify=false", "--authfile", str(access.authfile),
        *words, env=_scratch(job),
    )  # fmt: skip


def _scratch(job: Job) -> dict[str, str]:
    """Have buildah's temporary files in the job's folder: one that is ended leaves them.

    Without XDG_RUNTIME_DIR a user's buildah keeps its state below TMPDIR, which then must stay.
    """
    environment = process.environment()
    if os.geteuid() == 0 or "XDG_RUNTIME_DIR" in environment:
        environment["TMPDIR"] = str(job.folder)
    return environment


def _raise_failure(job: Job, completed: process.Completed) -> None:
    """Tell the command's failure from the engine's: buildah's last words are all there is."""
    ended = _ENDED.search(completed.output)
    if ended is None or int(ended[1]) != completed.returncode:
        raise process.failure(completed.argv, completed.returncode, completed.output)
    code = completed.returncode
    if _NOT_STARTED.search(completed.output):
        if not _NOT_FOUND.search(completed.output):
            raise process.failure(completed.argv, code, completed.output)
        code = _COMMAND_NOT_FOUND
    if "container exited on killed" in completed.output:
        code = _KILLED
    reason = " (probably out of memory)" if job.run.memory and code == _KILLED else ""
    raise process.command_failure(completed, code=code, reason=reason)
