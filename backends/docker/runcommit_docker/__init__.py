"""The docker backend: Docker Engine through its command line."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import (
    Access,
    Client,
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
    await_orphans,
    check_emulation,
    containers,
    hookimpl,
    images,
    inventory,
    process,
    save_root,
)
from runcommit_docker import daemon

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runcommit_core import Finding, Lack, Leftover, RunOptions

PROGRAM = daemon.PROGRAM
runcommit_variables = daemon.VARIABLES
runcommit_cures = daemon.CURES
_COMMIT_SECONDS = 120.0
_NAIVE = frozenset(("vfs", "btrfs", "zfs", "devicemapper", "fuse-overlayfs"))


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask the daemon, not only the client: without a daemon nothing works."""
    return EngineInfo.asked(PROGRAM, functools.partial(daemon.described, engine))


@hookimpl
def place(engine: EngineOptions) -> Place:
    """Follow DOCKER_HOST, contexts and flags, as docker's client does."""
    return daemon.place_of(engine)


@hookimpl
def lacks(engine: EngineOptions, run: RunOptions, wanted: Collection[str]) -> list[Lack]:
    """Declare mounts on another machine, limits without cgroups, roots that cannot be shown."""
    return list(daemon.lacking(engine, run, wanted))


@hookimpl
def load(job: Job) -> Image:
    """Pull the private copy of the base from the job's registry, unless the daemon has it."""
    machine = functools.partial(daemon.info, job.engine, "{{.Architecture}}")
    check_emulation(job.run.platform, job.folder, host=machine)
    return images.bring_base(job, _images(job))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Run the command with ``docker run``, attached, without the daemon's log."""
    client = _client(job.engine)
    completed = containers.run_on_base(job, client, _images(job), image, _run_words)
    if completed.returncode:
        raise containers.failed(job, completed, containers.outcome(job, client))
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
    return containers.commit(job, _client(job.engine), container, patience=_COMMIT_SECONDS)


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Push to the job's registry; ``docker save`` where the daemon cannot reach it."""
    return images.save(job, _images(job), image)


@hookimpl
def deliver(job: Job, reference: str) -> Image:
    """Pull the result from the job's registry and give it its name."""
    return images.deliver(job, _images(job), reference)


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Mount the finished container's layers once more and compare that root with the base.

    What docker put between the base and the container for itself, the uppermost of the lower
    layers, is left out: devices and files of its own, and directories in the place of links.
    """
    _, upper = _storage(job, container)
    if os.geteuid() != 0 or not upper or not Path(upper).is_dir() or Path(upper).stat().st_uid:
        raise UsageError(daemon.NO_ROOT.reason, tip=daemon.NO_ROOT.tip)
    place = job.folder / f"root-{job.id}"
    place.mkdir()
    job.cleanup.callback(process.undo, "umount", str(place))
    # relative names, as the daemon has them: all the full ones may exceed what mount takes
    store = Path(upper).parents[1]
    _, _, lower = Path(upper).with_name("lower").read_text().partition(":")
    script = 'cd "$0" && mount -t overlay overlay -o "ro,lowerdir=$1" "$2" && echo "$2"'
    layers = f"{Path(upper).relative_to(store)}:{lower}"
    return save_root(job, ("/bin/sh", "-c", script, str(store), layers, str(place)))


@hookimpl
def resolve(job: Job, reference: str) -> Image:
    """Find a local image, else pull it with the user's own credentials; name it for a push."""
    return images.resolve(job, _images(job), reference)


@hookimpl
def rehearse(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """An image is not there; the container is on the daemon's own storage, else on overlay2."""
    storage = engine.storage or "overlay2"
    inspected = f"{storage} {'/UPPER' if storage == 'overlay2' else ''}"
    answers = {"image": "[]", "info": os.uname().machine, "inspect": inspected}
    return process.rehearsed_answer(argv, answers)


@hookimpl
def enter(job: Job, container: Container) -> Entry:
    """Run a shell in an image of the container, for an ended one cannot be entered."""
    return containers.entry_by_image(job, _client(job.engine), container, _run_words)


@hookimpl
def leftovers(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """Find containers and images by the job's id, which is in all their names."""
    # the daemon ends a commit whose client is gone, so its image may be on the way
    await_orphans(ids, *engine.command(PROGRAM), "commit")
    return inventory.of_client(_client(engine), ids)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:
    """List the images called ``localhost/runcommit/base``, with the sizes of whole images."""
    return inventory.bases_of_client(_client(engine))


@hookimpl
def diagnose(engine: EngineOptions) -> list[Finding]:
    """Look at version, storage and runtime."""
    return daemon.findings(engine, _NAIVE)


def _run_words(job: Job, image: Image, *own: str) -> tuple[str, ...]:
    """All words of the command that runs the container, without the proxies that a user set up."""
    docker = job.engine.command(PROGRAM)
    if "proxies" in daemon.client_config(job.engine)[1]:
        docker += ("--config", str(_client_config(job, "run")))
    return (*docker, "run", *containers.run_words(job, *own), image.name, *job.argv)


def _storage(job: Job, container: Container) -> tuple[str, str]:
    """The storage driver, and where overlay2 keeps the container's changes."""
    words = '{{.Driver}} {{if eq .Driver "overlay2"}}{{.GraphDriver.Data.UpperDir}}{{end}}'
    facts = process.output(
        *job.engine.command(PROGRAM), "inspect", "--format", words, container.name
    )
    driver, _, upper = facts.partition(" ")
    return driver, upper


def _client(engine: EngineOptions) -> Client:
    return Client(
        program=engine.command(PROGRAM),
        remove=("rm", "--force", "--volumes"),
        remove_image=("rmi", "--no-prune"),
    )


def _images(job: Job) -> images.Images:
    return images.by_client(_client(job.engine), functools.partial(_transfer, job))


def _transfer(job: Job, verb: str, access: Access, name: str) -> None:
    known = json.loads(access.authfile.read_text())
    config = ("--config", str(_client_config(job, access.authfile.stem, known)))
    process.output(*job.engine.command(PROGRAM), *config, verb, "--quiet", name)


def _client_config(job: Job, name: str, more: Mapping[str, Any] | None = None) -> Path:
    """A client configuration with ``more`` settings that honours the user's contexts.

    Credential helpers of the user's would be asked instead of the file, so they are left out, and
    proxies would become variables of every container.
    """
    folder = job.folder / f"docker-{name}"
    if folder.exists():
        return folder
    users, config = daemon.client_config(job.engine)
    kept = {key: config[key] for key in ("currentContext", "HttpHeaders") if key in config}
    folder.mkdir(mode=0o700)
    (folder / "config.json").write_text(json.dumps({**kept, **(more or {})}))
    for item in ("contexts", "ca.pem", "cert.pem", "key.pem"):
        if (users / item).exists():
            (folder / item).symlink_to((users / item).absolute())
    return folder
