"""A runcommit backend of three programs: skopeo fetches, umoci unpacks, runc runs.

The base is unpacked once and stays; each job lays an empty directory over it (overlay), so the
cost of a job does not depend on the size of the base, and what is in that directory afterwards is
what the command changed.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import (
    Container,
    EngineError,
    EngineInfo,
    EngineOptions,
    Image,
    Job,
    Lack,
    SavedImage,
    check_emulation,
    hookimpl,
    process,
    save_root,
)
from runcommit_umoci import store
from runcommit_umoci.bundle import write_bundle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from runcommit_core import Access, Leftover, RunOptions

PROGRAM = "runc"
HELPERS = ("umoci", "skopeo", "unshare")
_KILLED = 128 + 9
_NOT_FOUND = re.compile(r"executable file not found|no such file or directory")
_NOT_ALLOWED = re.compile(r"permission denied")
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
    """Ask runc for its version, and look for the other programs."""
    try:
        said = process.output(*engine.command(PROGRAM), "--version")
    except EngineError as error:
        return EngineInfo(name=PROGRAM, problem=str(error).splitlines()[0])
    missing = [name for name in HELPERS if not shutil.which(name)]
    problem = f"{' and '.join(missing)} not found on PATH" if missing else ""
    return EngineInfo(
        name=PROGRAM,
        version=said.split()[2],
        rootless=os.geteuid() != 0,
        storage="overlay",
        problem=problem,
    )


@hookimpl
def lacks(run: RunOptions, wanted: Collection[str]) -> list[Lack]:
    """Tell what three programs without a network plugin and without systemd cannot do."""
    found = [Lack("run-flag", "runc run takes no options that describe the container")]
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
    base = store.base_folder(job.transport.name)
    job.cleanup.enter_context(store.in_use(base))
    if not job.keep_base:
        job.cleanup.callback(store.remove, base)
    if not base.exists():
        job.transport.deliver(
            pull=functools.partial(_pull, job, base), load=functools.partial(_load, job, base)
        )
    return Image(os.fspath(base))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Lay an empty directory over the base and let runc run the command in it."""
    place = store.job_folder(job.name)
    job.containers.callback(store.remove, place)
    for name in ("upper", "spare", "merged"):
        (place / name).mkdir(parents=True)
    (place / "lower").symlink_to(image.name)
    # a directory's own metadata is copied up with it, and the root's are upper's
    shutil.copystat(image.name, place / "upper")
    write_bundle(job, place, Path(image.name))
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
        _raise_failure(job, completed, started=(place / "started").exists())
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
def leftovers(engine: EngineOptions, ids: Sequence[str]) -> list[Leftover]:  # noqa: ARG001
    """Find folders of jobs by the job's id, which is in all their names."""
    return store.of_jobs(ids)


@hookimpl
def base_copies(engine: EngineOptions) -> list[Leftover]:  # noqa: ARG001
    """List the unpacked bases."""
    return store.copies_of_bases()


def _overlay(place: Path) -> tuple[str, str]:
    """Options and mount point; these features would make upper directories that we cannot read."""
    own = "" if os.geteuid() == 0 else ",userxattr"
    plain = "redirect_dir=off,index=off,metacopy=off" if not own else "index=off"
    folders = f"lowerdir={place}/lower/rootfs,upperdir={place}/upper,workdir={place}/spare"
    return f"{folders},{plain}{own}", f"{place}/merged"


def _pull(job: Job, base: Path, access: Access) -> None:
    registry = ("--src-tls-verify=false", "--src-authfile", str(access.authfile))
    _fetch_and_unpack(job, base, *registry, f"docker://{access.reference('base')}")


def _load(job: Job, base: Path, archive: Iterator[bytes]) -> None:
    """Skopeo seeks in archives, so this one goes through a file."""
    path = job.folder / "base.tar"
    with path.open("wb") as file:
        for chunk in archive:
            file.write(chunk)
    _fetch_and_unpack(job, base, f"docker-archive:{path}")


def _fetch_and_unpack(job: Job, base: Path, *source: str) -> None:
    layout, fresh = job.folder / "layout", base.with_name(f"{base.name}.{job.name}")
    process.output("skopeo", "copy", "--quiet", *source, f"oci:{layout}:base")
    job.cleanup.callback(store.remove, fresh)
    fresh.mkdir(parents=True)
    rootfs = str(fresh / "rootfs")
    process.output(*store.enter(), "umoci", "raw", "unpack", "--image", f"{layout}:base", rootfs)
    shutil.rmtree(layout)
    store.note_name(fresh, job.transport.name)
    store.publish(fresh, base)


def _raise_failure(job: Job, completed: process.Completed, *, started: bool) -> None:
    """Tell the command's failure from the engine's: runc notes when a command has started."""
    code = completed.returncode
    if not started:
        if job.argv[0] not in completed.output:
            raise process.failure(completed.argv, code, completed.output)
        if _NOT_FOUND.search(completed.output):
            code = 127
        elif _NOT_ALLOWED.search(completed.output):
            code = 126
        else:
            raise process.failure(completed.argv, code, completed.output)
    reason = " (probably out of memory)" if job.run.memory and code == _KILLED else ""
    raise process.command_failure(completed, code=code, reason=reason)
