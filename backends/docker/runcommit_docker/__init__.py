"""The docker backend: Docker Engine through its command line."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import replace
from pathlib import Path
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
    UsageError,
    client_environment,
    forget_copy,
    found_copy,
    hookimpl,
    process,
    recalled_copy,
    save_root,
    variable_words,
)
from runcommit_docker.address import client_config, config_folder, place_of
from runcommit_docker.checks import NO_ROOT, check_platform, lacking

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from runcommit_core import Finding, Lack, Leftover, RunOptions

PROGRAM = "docker"
_ENGINE_FAILED = 125
_COMMAND_NOT_FOUND = 127
_COMMIT_SECONDS = 120.0
_NOT_STARTED, _ENDED = "created", "exited"
_NAIVE = frozenset(("vfs", "btrfs", "zfs", "devicemapper", "fuse-overlayfs"))


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask the daemon, not only the client: without a daemon nothing works."""
    template = (
        '{"version": {{json .ServerVersion}}, "storage": {{json .Driver}},'
        ' "security": {{json .SecurityOptions}}, "errors": {{json .ServerErrors}}}'
    )
    try:
        completed = process.attempt(*engine.command(PROGRAM), "info", "--format", template)
    except EngineError as error:
        return EngineInfo(name=PROGRAM, problem=str(error).splitlines()[0])
    try:
        facts = json.loads(completed.output)
    except ValueError:
        facts = {"errors": [completed.words.strip()]}
    if completed.returncode or facts["errors"]:
        words = facts["errors"] or [completed.words.strip()]
        return EngineInfo(name=PROGRAM, problem=words[0])
    rootless = any("rootless" in item for item in facts["security"] or ())
    return EngineInfo(
        name=PROGRAM, version=facts["version"], rootless=rootless, storage=facts["storage"]
    )


@hookimpl
def place(engine: EngineOptions) -> Place:
    """Follow DOCKER_HOST, contexts and flags, as docker's client does."""
    return place_of(engine)


@hookimpl
def lacks(engine: EngineOptions, run: RunOptions, wanted: Collection[str]) -> list[Lack]:
    """Declare mounts on another machine, limits without cgroups, roots that cannot be shown."""
    return list(lacking(engine, run, wanted))


@hookimpl
def load(job: Job) -> Image:
    """Pull the private copy of the base from the job's registry, unless the daemon has it."""
    check_platform(job)
    if known := recalled_copy(job):
        return Image(known)
    name = job.transport.name
    if not _has(job, name):
        if not job.keep_base:
            job.cleanup.callback(process.undo, *_docker(job), "rmi", "--no-prune", name)
        job.transport.deliver(
            pull=functools.partial(_pull, job, name), load=functools.partial(_load, job)
        )
    return Image(name)


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Run the command with ``docker run``, attached, without the daemon's log."""
    job.containers.callback(process.undo, *_docker(job), "rm", "--force", "--volumes", job.name)
    completed = process.attached(
        *_run_words(job, image), console=job.console, env=client_environment(job),
        timeout=job.run.timeout, end=(*_docker(job), "kill", job.name),
    )  # fmt: skip
    if completed.returncode:
        if completed.returncode == _ENGINE_FAILED and _has_lost(job, image):
            forget_copy(job)
            return run(job, load(job))
        _raise_failure(job, completed)
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """Commit under the name that a push needs, unless the upper directory can be read."""
    driver, upper_folder = _storage(job, container)
    if driver in _NAIVE:
        raise EngineError(
            f"docker's storage driver {driver} finds changes by comparing size and time, "
            "and so misses some",
            tip="use the overlay2 driver or the containerd image store",
        )
    if upper := job.transport.upper(lambda: upper_folder):
        return Image(container.name, upper=upper)
    name = job.transport.tag(job.id)
    job.cleanup.callback(process.undo, *_docker(job), "rmi", "--no-prune", name)
    commit = (*_docker(job), "commit", container.name, name)
    return Image(name, process.output(*commit, patience=_COMMIT_SECONDS))


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Push to the job's registry; ``docker save`` where the daemon cannot reach it."""
    if image.upper:
        return job.transport.collect_upper(image.upper)
    return job.transport.collect(
        job.id,
        push=lambda access: _with_credentials(job, access, "push", "--quiet", image.name),
        save=lambda: process.streaming(*_docker(job), "save", image.name),
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
    """Mount the finished container's layers once more and compare that root with the base."""
    _, upper = _storage(job, container)
    if os.geteuid() != 0 or not upper or not Path(upper).is_dir() or Path(upper).stat().st_uid:
        raise UsageError(NO_ROOT.reason, tip=NO_ROOT.tip)
    place = job.folder / f"root-{job.id}"
    place.mkdir()
    job.cleanup.callback(process.undo, "umount", str(place))
    # relative names, as the daemon has them: all the full ones may exceed what mount takes
    store = Path(upper).parents[1]
    lower = (Path(upper).with_name("lower")).read_text()
    script = 'cd "$0" && mount -t overlay overlay -o "ro,lowerdir=$1" "$2" && echo "$2"'
    layers = f"{Path(upper).relative_to(store)}:{lower}"
    return save_root(job, ("/bin/sh", "-c", script, str(store), layers, str(place)))


@hookimpl
def resolve(job: Job, reference: str) -> Image:
    """Find a local image, else pull it with the user's own credentials; name it for a push."""
    inspect = (*_docker(job), "image", "inspect", "--format", "{{.Id}}", reference)
    found = process.found(*inspect)
    if not found:
        process.output(*_docker(job), "pull", "--quiet", reference)
        found = process.checked(process.attempt(*inspect))
    name = job.transport.tag(job.id)
    job.cleanup.callback(process.undo, *_docker(job), "rmi", "--no-prune", name)
    process.output(*_docker(job), "tag", reference, name)
    return Image(name, found.output.strip())


@hookimpl
def rehearse(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """An image is not there; the container is on the daemon's own storage, else on overlay2."""
    storage = engine.storage or "overlay2"
    answers = {
        "image": "[]",
        "info": os.uname().machine,
        "inspect": f"{storage} {'/UPPER' if storage == 'overlay2' else ''}",
    }
    answer = next((answers[word] for word in argv if word in answers), "")
    return process.Completed(tuple(argv), 0, answer, "")


@hookimpl
def enter(job: Job, container: Container) -> Entry:
    """Run a shell in an image of the container, for an ended one cannot be entered."""
    image = f"localhost/runcommit/kept:{job.id}"
    flags = ("--rm", "--interactive", "--tty", *job.run.flags)
    shell = replace(job, id=f"{job.id}-shell", run=replace(job.run, flags=flags))
    return Entry(
        before=((*_docker(job), "commit", container.name, image),),
        enter=_run_words(shell, Image(image)),
        after=(
            (*_docker(job), "rm", "--force", "--volumes", shell.name),
            (*_docker(job), "rmi", "--no-prune", image),
        ),
    )


@hookimpl
def leftovers(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """Find containers and images by the job's id, which is in all their names."""
    from runcommit_docker.inventory import of_jobs

    return of_jobs(engine.command(PROGRAM), ids)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:
    """List the images called ``localhost/runcommit/base``."""
    from runcommit_docker.inventory import copies_of_bases

    return copies_of_bases(engine.command(PROGRAM))


@hookimpl
def diagnose(engine: EngineOptions) -> list[Finding]:
    """Look at version, storage and runtime."""
    from runcommit_docker.diagnosis import findings

    return findings(engine.command(PROGRAM), engine, _NAIVE)


def _run_words(job: Job, image: Image) -> tuple[str, ...]:
    """All words of the command that runs the container."""
    options = ["--name", job.name, "--label", f"runcommit.job={job.id}"]
    options += ["--pull=never", "--log-driver=none", "--hostname=runcommit"]
    options += [*job.run.words(), *variable_words(job), *job.run.limits()]
    options += ["--platform", job.run.platform] if job.run.platform else []
    options += [word for mount in job.run.mounts for word in mount.words()]
    return (*_docker(job), "run", *options, *job.run.flags, image.name, *job.argv)


def _storage(job: Job, container: Container) -> tuple[str, str]:
    """The storage driver, and where overlay2 keeps the container's changes."""
    words = '{{.Driver}} {{if eq .Driver "overlay2"}}{{.GraphDriver.Data.UpperDir}}{{end}}'
    found = process.output(*_docker(job), "inspect", "--format", words, container.name)
    driver, _, upper = found.partition(" ")
    return driver, upper


def _docker(job: Job) -> tuple[str, ...]:
    return job.engine.command(PROGRAM)


def _has(job: Job, name: str) -> bool:
    template = "{{.Id}} {{json .RootFS.Layers}}"
    found = process.found(*_docker(job), "image", "inspect", "--format", template, name)
    image_id, _, layers = found.output.partition(" ") if found else ("", "", "")
    return found_copy(job, image_id, json.loads(layers or "[]") or ())


def _has_lost(job: Job, image: Image) -> bool:
    """Whether there is no image any more of an id that was recalled."""
    inspect = (*_docker(job), "image", "inspect", "--format", "{{.Id}}", image.name)
    return image.name == recalled_copy(job) and process.found(*inspect) is None


def _pull(job: Job, name: str, access: Access) -> None:
    reference = access.reference("base")
    _with_credentials(job, access, "pull", "--quiet", reference)
    _rename(job, reference, name)


def _load_as(job: Job, name: str, archive: Iterator[bytes]) -> None:
    _load(job, archive)
    _rename(job, job.transport.name, name)


def _rename(job: Job, reference: str, name: str) -> None:
    try:
        process.output(*_docker(job), "tag", reference, name)
    finally:
        process.undo(*_docker(job), "rmi", "--no-prune", reference)


def _load(job: Job, archive: Iterator[bytes]) -> None:
    process.output(*_docker(job), "load", "--quiet", stdin=archive)


def _with_credentials(job: Job, access: Access, *words: str) -> None:
    process.output(*_docker(job), "--config", str(_client_config(job, access)), *words)


def _client_config(job: Job, access: Access) -> Path:
    """A client configuration with the job's credentials that honours the user's contexts.

    Credential helpers of the user's would be asked instead of the file, so they are left out.
    """
    folder = job.folder / f"docker-{access.authfile.stem}"
    if folder.exists():
        return folder
    config, users = client_config(job.engine), config_folder(job.engine)
    kept = {key: config[key] for key in ("currentContext", "HttpHeaders") if key in config}
    folder.mkdir(mode=0o700)
    (folder / "config.json").write_text(json.dumps(kept | json.loads(access.authfile.read_text())))
    for name in ("contexts", "ca.pem", "cert.pem", "key.pem"):
        if (users / name).exists():
            (folder / name).symlink_to((users / name).absolute())
    return folder


def _raise_failure(job: Job, completed: process.Completed) -> None:
    """Tell the command's failure from the engine's: ``docker run`` has one exit code for both.

    Where the connection was cut, the command goes on, or ended otherwise than the client.
    """
    state = process.attempt(
        *_docker(job), "inspect", "--format",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", job.name,
    ).output.split()  # fmt: skip
    ended = state[:2] == [_ENDED, str(completed.returncode)]
    # the engine's own helpers can be missing as well
    not_found = completed.returncode == _COMMAND_NOT_FOUND and job.argv[0] in completed.output
    if not ended and not (not_found and state[:1] == [_NOT_STARTED]):
        raise process.failure(completed.argv, completed.returncode, completed.output)
    reason = " (out of memory)" if state[2:] == ["true"] else ""
    raise process.command_failure(completed, reason=reason)
