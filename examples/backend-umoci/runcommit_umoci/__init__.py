"""A runcommit backend without images: the core unpacks, runc runs.

The base is unpacked once and stays; each job lays an empty directory over it (overlay), so the
cost of a job does not depend on the size of the base, and what is in that directory afterwards is
what the command changed.
"""

from __future__ import annotations

import functools
import os
import shutil
from typing import TYPE_CHECKING

from runcommit_core import (
    Container,
    EngineInfo,
    EngineOptions,
    Image,
    Job,
    Lack,
    SavedImage,
    check_emulation,
    containers,
    hookimpl,
    inventory,
    process,
    roots,
    save_root,
)
from runcommit_umoci import store
from runcommit_umoci.bundle import write_bundle

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from runcommit_core import Leftover, RunOptions

PROGRAM = "runc"
runcommit_variables = (store.VARIABLE,)
_MERGE = 'mount -t overlay overlay -o "$0" "$1"'
_RUN = f"""test $$ = 1 && {_MERGE} && shift || exit 1
trap 'kill -KILL -1' TERM
"$@" &
wait $!"""
"""Told to end, the shell ends all of its pid namespace at once: nobody wants the rest.

It is the first process there, or else nothing runs.
"""
_SHOW = f'{_MERGE} && echo "$1"'


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Ask runc for its version."""
    return EngineInfo.asked(PROGRAM, functools.partial(_described, engine))


@hookimpl
def lacks(run: RunOptions, wanted: Collection[str]) -> list[Lack]:
    """Tell what runc without a network plugin and without systemd cannot do."""
    found = [
        Lack("run-flag", "runc run takes no options that describe the container"),
        Lack("registry", "runc takes folders, and has no client for registries"),
    ]
    if run.network not in {None, "none", "host"}:
        found.append(
            Lack("network", "runc makes no networks",
                 "choose --network none or host")
        )  # fmt: skip
    if os.geteuid() != 0:
        found += [
            Lack(name, "runc has no cgroup of an unprivileged user's to limit", "run as root")
            for name in ("memory", "cpus")
        ]
    return [lack for lack in found if lack.capability in wanted]


@hookimpl
def load(job: Job) -> Image:
    """Unpack the private copy of the base into the store, unless it is there."""
    check_emulation(job.run.platform, job.folder)
    return Image(os.fspath(roots.unpacked(job, store.bases(), enter=store.enter())))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Lay an empty directory over the base and let runc run the command in it."""
    place = store.job_folder(job.name)
    job.containers.callback(_remove, place)
    for name in ("upper", "spare", "merged"):
        (place / name).mkdir(parents=True)
    (place / "lower").symlink_to(image.name)
    # a directory's own metadata is copied up with it, and the root's are upper's
    shutil.copystat(image.name, place / "upper")
    write_bundle(job, place)
    runc = (*job.engine.command(PROGRAM), "--root", f"{place}/state")
    if os.geteuid() == 0:
        job.containers.callback(process.undo, *runc, "delete", "--force", job.name)
    completed = process.attached(
        *(*store.enter(), "sh", "-c", _RUN, *_overlay(place)),
        *(*runc, "run", "--bundle", str(place), "--pid-file", f"{place}/started", job.name),
        console=job.console,
        timeout=job.run.timeout,
    )
    if completed.returncode:
        raise containers.run_error(job, completed, _exit_code(job, place, completed))
    return Container(job.name)


@hookimpl
def commit(job: Job, container: Container) -> Image:
    """There is nothing to do: the directory over the base holds the changes."""
    upper = store.job_folder(container.name) / "upper"
    return Image(container.name, upper=job.transport.upper(lambda: str(upper)))


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Hand the directory over where it can be read, else compare the root with the base."""
    if image.upper:
        return job.transport.collect_upper(image.upper)
    return root(job, Container(image.name))


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Mount the finished container's root once more and compare it with the base."""
    place = store.job_folder(container.name)
    return save_root(job, ("sh", "-c", _SHOW, *_overlay(place)), enter=store.enter())


@hookimpl
def leftovers(ids: Sequence[str]) -> list[Leftover]:
    """Find folders of jobs by the job's id, which is in all their names."""
    clear = functools.partial(process.remove, *store.enter(), "rm", "-rf")
    remove = inventory.orphans_first(ids, lambda name: clear(str(store.job_folder(name))))
    found = inventory.of_jobs(
        ids, containers=store.jobs(), images=(), remove=remove, remove_image=remove
    )
    return [*found, *roots.unfinished(store.bases(), ids, enter=store.enter())]


@hookimpl
def base_copies() -> list[Leftover]:
    """List the unpacked bases."""
    return roots.copies(store.bases(), enter=store.enter())


def _described(engine: EngineOptions) -> dict[str, object]:
    said = process.output(*engine.command(PROGRAM), "--version")
    return {"version": said.split()[2], "rootless": os.geteuid() != 0, "storage": "overlay"}


def _remove(place: Path) -> None:
    if place.exists():
        process.undo(*store.enter(), "rm", "-rf", str(place))


def _overlay(place: Path) -> tuple[str, str]:
    """Options and mount point; these features would make upper directories that we cannot read."""
    own = "" if os.geteuid() == 0 else ",userxattr"
    plain = "redirect_dir=off,index=off,metacopy=off" if not own else "index=off"
    folders = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/spare"
    return f"{folders},{plain}{own}", f"{place}/merged"


def _exit_code(job: Job, place: Path, completed: process.Completed) -> int | None:
    """The command's exit code; None where runc failed, which notes when a command has started."""
    if (place / "started").exists():
        return completed.returncode
    return containers.unstarted_code(job.argv, completed.output) or None
