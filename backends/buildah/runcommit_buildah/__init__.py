"""The buildah backend: Buildah through its command line, with any isolation it offers."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_buildah import checks
from runcommit_buildah.ending import exit_code
from runcommit_core import (
    PUBLIC_VARIABLES,
    Access,
    Client,
    Container,
    EngineInfo,
    Entry,
    Image,
    SavedImage,
    added_capabilities,
    check_emulation,
    containers,
    hookimpl,
    images,
    inventory,
    overlays,
    process,
    save_root,
    scratch_environment,
    variable_stand_ins,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runcommit_core import EngineOptions, Finding, Job, Lack, Leftover, RunOptions

PROGRAM = "buildah"
runcommit_variables = ("BUILDAH_ISOLATION",)
_CPU_PERIOD = 100_000
_ROOT = "RUNCOMMIT_ROOT"


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask ``buildah info``, which fails where the storage or the user's ids are not in order."""
    return EngineInfo.asked(PROGRAM, functools.partial(_described, engine))


@hookimpl
def lacks(run: RunOptions) -> list[Lack]:
    """Declare what the isolation lacks, and limits without cgroups."""
    return checks.lacking(run)


@hookimpl
def load(job: Job) -> Image:
    """Pull the private copy of the base from the job's registry, unless the store has it."""
    check_emulation(job.run.platform, job.folder)
    return images.bring_base(job, _images(job))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Make a working container and run the command in it."""
    job.containers.callback(process.undo, *_buildah(job), "rm", job.name)
    images.on_base(job, _images(job), image, functools.partial(_make, job))
    if job.run.env.keys() - PUBLIC_VARIABLES:
        _set_variables(job)
    # chroot isolation has no pid namespace whose end would be everybody's
    words = _run_words(job)
    completed = containers.attached(job, *words, env=scratch_environment(job), ends_all=True)
    if completed.returncode:
        code = exit_code(job.argv, completed.returncode, completed.output)
        raise containers.run_error(job, completed, code)
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """Find the upper directory; without one buildah commits straight to where ``save`` wants it."""
    upper = job.transport.upper(lambda: _upper(job, container), enter=_unshared(job))
    return Image(container.name, upper=upper)


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Send out a working container, or an image; read the root where times would be compared."""
    if image.upper and (saved := containers.read_upper(job, image.upper, enter=_unshared(job))):
        return saved
    if not image.id and not _compares_rightly(job):
        return root(job, Container(image.name))
    committed = Image(image.name, image.id)
    return images.save(job, _images(job, "push" if image.id else "commit"), committed)


@hookimpl
def deliver(job: Job, reference: str) -> Image:
    """Pull the result from the job's registry and give it its name."""
    return images.deliver(job, _images(job), reference)


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Compare the root that ``buildah mount`` shows with the base."""
    return save_root(job, (*_buildah(job), "mount", container.name), enter=_unshared(job))


@hookimpl
def resolve(job: Job, reference: str) -> Image:
    """Find a local image, else pull it with the user's own credentials."""
    return Image(reference, f"sha256:{images.find(_images(job), reference)}")


@hookimpl
def rehearse(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """An image is not there; the container is on the store's own driver, else on overlay."""
    native = str((engine.storage or "overlay") == "overlay").lower()
    status = json.dumps({"store": {"GraphStatus": {"Native Overlay Diff": native}}})
    merged = "/UPPER/merged"
    answers = {"inspect": "[]", "info": status, "mount": merged, "printenv": merged}
    return process.rehearsed_answer(argv, answers, errors=f"useNativeDiff={native}")


@hookimpl
def enter(job: Job) -> Entry:
    """Run a shell in the working container itself."""
    run = replace(job.run, flags=("--terminal", *job.run.flags))
    return Entry(enter=_run_words(replace(job, run=run)))


@hookimpl
def leftovers(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:
    """Find containers and images by the job's id, which is in all their names."""
    # `rm` takes the storage of a running container away and lets its processes go on
    return inventory.of_client(_client(engine), ids, inventory.orphans_first)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:
    """List the images called ``localhost/runcommit/base``, whose sizes are told as ``4.42 MB``."""
    return inventory.bases_of_client(_client(engine))


@hookimpl
def diagnose(engine: EngineOptions) -> list[Finding]:
    """Look at version, storage and runtime."""
    return checks.findings(*_facts(engine))


def _facts(engine: EngineOptions) -> tuple[str, dict[str, Any]]:
    """Buildah's version, and what it says of itself."""
    version = process.output(*engine.command(PROGRAM), "--version").split()[2]
    return version, json.loads(process.output(*engine.command(PROGRAM), "info"))


def _described(engine: EngineOptions) -> dict[str, Any]:
    version, facts = _facts(engine)
    driver, rootless = facts["store"]["GraphDriverName"], bool(facts["host"]["rootless"])
    return {"version": version, "rootless": rootless, "storage": driver}


def _make(job: Job, image: Image) -> None:
    """Make the container, which is where buildah takes the limits."""
    run = job.run
    options = ["--pull=never", "--name", job.name, "--http-proxy=false"]
    options += ["--platform", run.platform] if run.platform else []
    options += ["--memory", f"{run.memory}b"] if run.memory else []
    if run.cpus:
        quota = round(run.cpus * _CPU_PERIOD)
        options += [f"--cpu-period={_CPU_PERIOD}", f"--cpu-quota={quota}"]
    words = (*_buildah(job), "from", *options, image.name)
    process.output(*words, patience=process.BEGIN_SECONDS)


def _set_variables(job: Job) -> None:
    """Have the container hold the variables, none of whose values stands in a command line.

    ``run`` takes values from its words alone; ``config`` takes them from its environment, where
    names of our own cannot change buildah itself, and expands them.
    """
    values, expanded = variable_stand_ins(job)
    words = [f"--env={name}" for name in values]
    words += [f"--env={name}={value}" for name, value in expanded.items()]
    words += [f"--env={name}-" for name in values]
    config = (*_buildah(job), "config", *words, job.name)
    process.output(*config, env=process.environment() | values)


def _run_words(job: Job) -> tuple[str, ...]:
    """All words of the command that runs the user's in it."""
    options = ["--hostname=runcommit"]
    options += [f"--cap-add=CAP_{name}" for name in added_capabilities(job.run.flags)]
    options += job.run.words(workdir="--workingdir")
    env = job.run.env
    options += [f"--env={name}={env[name]}" for name in env if name in PUBLIC_VARIABLES]
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
    info = json.loads(process.output(*_buildah(job), "info"))
    return overlays.is_native(info["store"]["GraphStatus"])


def _unshared(job: Job) -> tuple[str, ...]:
    return () if os.geteuid() == 0 else (*_buildah(job), "unshare")


def _client(engine: EngineOptions) -> Client:
    return Client(
        program=engine.command(PROGRAM),
        remove=("rm",),
        remove_image=("rmi",),
        containers=("containers", "--format", "{{.ContainerName}}"),
        images=("images", "--format", "{{.Name}}:{{.Tag}}"),
        sizes=("images", "--format", "{{.Name}}:{{.Tag}} {{.Size}}"),
    )


def _images(job: Job, verb: str = "push") -> images.Images:
    """``verb`` is ``push`` for images, ``commit`` for containers: both take them out at once."""
    raw = "--disable-compression"
    out = (*_buildah(job), verb, "--quiet", raw)
    archive = f"docker-archive:/dev/stdout:{job.transport.tag(job.id)}"
    return replace(
        images.by_client(_client(job.engine), functools.partial(_transfer, job)),
        look=functools.partial(_look, job),
        push=lambda access, name: _transfer(
            job, verb, access, raw, name, f"docker://{access.reference(job.id)}"
        ),
        load=functools.partial(_load, job),
        save=lambda name: process.streaming(*out, name, archive, env=scratch_environment(job)),
    )


def _look(job: Job, name: str) -> images.Facts | None:
    # buildah 1.28 has no json function in templates; a list is printed as [one two]
    template = "{{.FromImageID}} {{.OCIv1.RootFS.DiffIDs}}"
    inspect = (*_buildah(job), "inspect", "--type", "image", "--format", template, name)
    image_id, _, layers = process.attempt(*inspect).output.strip().partition(" ")
    return (image_id, layers.strip("[]").split()) if image_id else None


def _load(job: Job, archive: Iterator[bytes]) -> None:
    """Buildah seeks in archives and so takes none from a pipe."""
    with images.in_a_file(job, archive) as path:
        process.output(*_buildah(job), "pull", "--quiet", f"docker-archive:{path}")


def _transfer(job: Job, verb: str, access: Access, *words: str) -> None:
    registry = ("--tls-verify=false", "--authfile", str(access.authfile))
    process.output(*_buildah(job), verb, "--quiet", *registry, *words, env=scratch_environment(job))
