"""A backend without an engine: a folder, ``unshare`` and ``chroot``.

It shows how small a backend can be and holds the core to its contract on machines without an
engine.  It unpacks the whole base for every job, so it is no choice for real work.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core import (
    ArchiveError,
    Container,
    EngineInfo,
    Image,
    Lack,
    SavedImage,
    check_emulation,
    hookimpl,
    process,
    save_root,
)
from runcommit_core.oci.regions import open_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core import EngineOptions, Job, Mount, RunOptions

PROGRAM = "/usr/bin/unshare"
_XATTR = "SCHILY.xattr."
_CAPABILITY = f"{_XATTR}security.capability"
_MOST_STEPS = 255
_ENTER = 'cd -- "$0" && exec "$@"'
_MOUNT = """\
set -e
root=$1
shift
while test "$1" != --; do
  source=$1 target=$root$2 mode=$3
  shift 3
  if test -z "$source"; then
    mkdir -p "$target"
    mount -t tmpfs -o "$mode" tmpfs "$target"
    continue
  fi
  mkdir -p "${target%/*}"
  if test -d "$source"; then mkdir -p "$target"; else test -e "$target" || : > "$target"; fi
  mount --bind "$source" "$target"
  test "$mode" = rw || mount -o remount,bind,ro "$target"
done
shift
trap 'kill -KILL -1' TERM
"$@" &
wait $!
"""
"""Told to end, the shell ends all of its pid namespace at once: a command may ignore the signal."""


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    """Look for ``unshare``; trying it would start a process while ``load`` writes programs."""
    program = engine.path or PROGRAM
    problem = "" if os.access(program, os.X_OK) else f"there is no {program}"
    return EngineInfo(name="scratch", version="1", rootless=os.geteuid() != 0, problem=problem)


@hookimpl
def lacks(run: RunOptions) -> list[Lack]:
    """Tell what a mere chroot cannot do."""
    limits = [
        Lack(name, "the scratch backend has no cgroups and cannot keep to limits")
        for name in ("memory", "cpus")
    ]
    flags = Lack("run-flag", "the scratch backend has no run command that takes options")
    if run.network in {None, "none", "host"}:
        return [*limits, flags]
    network = Lack(
        "network",
        "the scratch backend makes no networks",
        "choose --network none or host",
    )
    return [network, *limits, flags]


@hookimpl
def load(job: Job) -> Image:
    """Unpack the base's layers, the upper ones over the lower ones."""
    check_emulation(job.run.platform, job.folder)
    root = job.folder / f"root-{job.id}"
    root.mkdir()
    for layer in job.base.layers:
        with open_layer(job.locate(layer)) as stream:
            _apply(root, stream)
    return Image(os.fspath(root))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Run the command with the folder as its root, in namespaces of its own."""
    config = json.loads(job.transport.config)["config"]
    workdir = job.run.workdir or config.get("WorkingDir", "/")
    inside = Path(image.name)
    (inside / _beneath(inside, f"{workdir}/.")).mkdir(parents=True, exist_ok=True)
    completed = process.attached(
        *_unshare(job.engine),
        *(["--net"] if job.run.network == "none" else []),
        *["/bin/sh", "-c", _MOUNT, "sh", image.name, *_mounts(job.run.mounts), "--"],
        *["/usr/sbin/chroot", f"--userspec={job.run.user or '0:0'}", image.name],
        *["/bin/sh", "-c", _ENTER, workdir, *job.argv],
        env={**dict(item.split("=", 1) for item in config.get("Env", ())), **job.run.env},
        console=job.console,
        timeout=job.run.timeout,
    )
    if completed.returncode:
        raise process.command_failure(completed)
    return Container(image.name)


@hookimpl
def commit(container: Container) -> Image:
    """Do nothing: the folder is the image."""
    return Image(container.name)


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    """Compare the folder with the base."""
    return root(job, Container(image.name))


@hookimpl
def root(job: Job, container: Container) -> SavedImage:
    """Compare the folder with the base."""
    return save_root(job, ("/bin/echo", container.name), enter=_unshare(job.engine))


def _mounts(mounts: tuple[Mount, ...]) -> Iterator[str]:
    """Source, target and mode of each."""
    for mount in mounts:
        mode = "ro" if mount.read_only else "rw"
        if not mount.source:
            mode = f"size={mount.size},mode={0o1777 if mount.mode is None else mount.mode:o}"
        yield from (mount.source, mount.target, mode)


def _unshare(engine: EngineOptions) -> tuple[str, ...]:
    namespaces = ("--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    return (*engine.command(PROGRAM), *namespaces, *as_root)


def _apply(root: Path, stream: BinaryIO) -> None:
    times = {}
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extraction_filter = lambda member, _: member
        for member in tar:
            member.name = _beneath(root, member.name)
            if member.islnk():
                member.linkname = _beneath(root, member.linkname)
            place = root / member.name
            if place.name.startswith(".wh."):
                _remove(place.with_name(place.name.removeprefix(".wh.")))
                continue
            if not (member.isdir() and place.is_dir() and not place.is_symlink()):
                _remove(place)
            tar.extract(member, root, numeric_owner=True)
            # tarfile leaves symlinks with the time of their extraction
            os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)
            if _CAPABILITY in member.pax_headers and os.geteuid() == 0:
                value = member.pax_headers[_CAPABILITY].encode(errors="surrogateescape")
                os.setxattr(place, _CAPABILITY.removeprefix(_XATTR), value)
            if member.isdir():
                times[place] = member.mtime
    for place, mtime in times.items():
        os.utime(place, (mtime, mtime))


def _beneath(root: Path, name: str) -> str:
    """A tar's name as one below ``root``; whoever lets it lead elsewhere writes on the machine.

    Links on the way are the base's own, so an absolute one begins at ``root`` again.
    """
    place = root
    pending = [part for part in reversed(name.split("/")) if part]
    for _ in range(_MOST_STEPS):
        if not pending:
            return os.fspath(place.relative_to(root))
        part = pending.pop()
        if part == ".":
            continue
        if part == "..":
            place = root if place == root else place.parent
        elif pending and (place / part).is_symlink():
            link = PurePosixPath((place / part).readlink())
            place = root if link.is_absolute() else place
            pending += reversed([each for each in link.parts if each != "/"])
        else:
            place /= part
    raise ArchiveError(f"the links on the way to {name!r} lead in a circle")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
