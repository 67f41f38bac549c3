"""The native backend: no engine, but the kernel's namespaces and its overlay.

The layers of a base are unpacked once each.  A job lays an empty directory over them, and what is
in it afterwards is what the command changed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core import (
    Container,
    EngineError,
    EngineInfo,
    EngineOptions,
    Entry,
    Image,
    Lack,
    SavedImage,
    check_emulation,
    containers,
    hookimpl,
    inventory,
    process,
    save_root,
    save_upper,
)
from runcommit_native import limits, store, told
from runcommit_native.modes import mode_here

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from runcommit_core import Finding, Job, Leftover, RuncommitError, RunOptions

runcommit_variables = (store.VARIABLE,)
_RUN, _SHELL = "run", "shell"


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Tell as whom containers run; there is nothing to ask but the kernel."""
    mode = mode_here()
    if problem := mode.problem or _refused(engine):
        return EngineInfo(name="native", problem=problem)
    return EngineInfo(
        name="native",
        version=os.uname().release,
        rootless=os.geteuid() != 0,
        storage=f"overlay ({mode.name})",
    )


@hookimpl
def lacks(run: RunOptions, wanted: Collection[str]) -> list[Lack]:
    """Tell what needs an engine."""
    lacking = [
        Lack("run-flag", "the native backend has no engine that takes options of its own"),
        Lack("registry", "the native backend unpacks bases itself, so no registry takes part"),
        *limits.lacking(),
    ]
    if run.network not in {None, "none", "host"}:
        lacking.append(
            Lack("network", "the native backend makes no networks", "choose --network none or host")
        )
    return [lack for lack in lacking if lack.capability in wanted]


@hookimpl
def load(job: Job) -> Image:
    """Unpack those layers of the base that the store has not."""
    if problem := mode_here().problem or _refused(job.engine):
        raise EngineError(f"the native backend cannot work: {problem}")
    check_emulation(job.run.platform, job.folder)
    layers = store.layers_of(job)
    return Image("\n".join(map(os.fspath, layers)))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Lay an empty directory over the layers and run the command in it."""
    place = store.job_folder(job.name)
    job.containers.callback(store.remove_job, job.name)
    for name in ("upper", "merged"):
        (place / name).mkdir(mode=0o700, parents=True)
    lowers = image.name.split("\n")
    (place / "lowers").write_text("".join(f"{lower}\n" for lower in lowers))
    limit = limits.limited(job)
    told.write(job, place, lowers, cgroups=limit.files)
    completed = process.attached(
        *store.helper("contain", str(place)),
        _RUN,
        console=job.console,
        timeout=job.run.timeout,
    )
    if completed.returncode:
        raise _failure(job, completed, limit)
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """There is nothing to do: the directory holds the changes."""
    upper = store.job_folder(container.name) / "upper"
    return Image(container.name, upper=job.transport.upper(lambda: str(upper), enter=store.enter()))


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Read the directory; where another way is asked for, compare the root with the base."""
    if image.upper:
        return save_upper(job, image.upper, enter=store.enter())
    return root(job, Container(image.name))


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Mount the finished container's root once more and compare it with the base."""
    place = store.job_folder(container.name)
    show = ("echo", f"{place}/merged")
    return save_root(job, show, enter=store.helper("within", str(place)))


@hookimpl
def enter(job: Job, container: Container) -> Entry:
    """A shell in a new container on the same directories."""
    place = store.job_folder(container.name)
    before = told.read(place, _RUN)
    env = {**before["env"], **job.run.env}
    told.write(job, place, before["lowers"], name=_SHELL, env=env, interactive=True)
    return Entry(enter=(*store.helper("contain", str(place)), _SHELL))


@hookimpl
def leftovers(ids: Sequence[str]) -> list[Leftover]:
    """Find folders of jobs by the job's id, which is in all their names."""
    remove = inventory.orphans_first(ids, lambda name: store.clear(store.job_folder(name)))
    of_jobs = inventory.of_jobs(
        ids, containers=store.containers(), images=(), remove=remove, remove_image=remove
    )
    return [*of_jobs, *store.unfinished(ids), *limits.leftovers(ids)]


@hookimpl
def base_copies() -> list[Leftover]:
    """List the bases whose layers are unpacked."""
    return store.copies()


@hookimpl
def diagnose() -> list[Finding]:
    """Look at what the kernel and the store's file system allow."""
    from runcommit_native import diagnosis

    return diagnosis.findings()


def _refused(engine: EngineOptions) -> str:
    if not (engine.path or engine.flags):
        return ""
    return f"it has no program, so not --engine-path {engine.path or ''} nor flags of one"


def _failure(job: Job, completed: process.Completed, limit: limits.Limit) -> RuncommitError:
    """Tell the command's failure from ours: the helper notes how a command ended."""
    code = told.exit_code(store.job_folder(job.name), _RUN)
    if code is not None:
        return containers.command_error(job, completed, code=code, out_of_memory=limit.exceeded())
    # nobody but the helper has said anything yet
    said = (completed.output.strip().splitlines() or ["it was killed"])[-1]
    return EngineError(
        f"the container cannot be made: {said}",
        argv=completed.argv,
        returncode=completed.returncode,
        output=completed.output,
    )
