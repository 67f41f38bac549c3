"""A backend without an engine: a folder, ``unshare`` and ``chroot``.

It shows how small a backend can be and holds the core to its contract on machines without an
engine.  It unpacks the whole base for every job, so it is no choice for real work.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import (
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
from runcommit_core.testing.accounts import account
from runcommit_core.testing.preparing import PREPARE
from runcommit_core.testing.unpacking import apply_layer, beneath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core import EngineOptions, Job, Mount, RunOptions
    from runcommit_core.testing.accounts import Account

PROGRAM = "/usr/bin/unshare"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENTER = 'cd -- "$0" && exec "$@"'


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
    """Unpack the base's layers, the upper ones over the lower ones.

    Once: of a base without its working directory, which comes with a second call, ``run`` makes it.
    """
    check_emulation(job.run.platform, job.folder)
    root = job.folder / f"root-{job.id}"
    if root.exists():
        return Image(os.fspath(root))
    root.mkdir()
    root.chmod(0o755)
    for layer in job.base.layers:
        with open_layer(job.locate(layer)) as stream:
            apply_layer(root, stream)
    return Image(os.fspath(root))


@hookimpl
def run(job: Job, image: Image) -> Container:
    """Run the command with the folder as its root, in namespaces of its own."""
    config = json.loads(job.transport.config)["config"]
    user = account(Path(image.name), job.run.user)
    workdir = job.run.workdir or config.get("WorkingDir") or "/"
    inside = Path(image.name)
    (inside / beneath(inside, f"{workdir}/.")).mkdir(parents=True, exist_ok=True)
    own = dict(item.split("=", 1) for item in config.get("Env") or ())
    started = job.folder / f"started-{job.id}"
    network = job.run.network or ""
    completed = process.attached(
        *_unshare(job.engine, *(["--net"] if network == "none" else [])),
        *["/bin/sh", "-c", PREPARE, "sh"],
        *[image.name, str(started), network, *_mounts(job.run.mounts), "--"],
        *["/usr/bin/env", "--default-signal", "/usr/sbin/chroot", *_identity(user), image.name],
        *["/bin/sh", "-c", _ENTER, workdir, *job.argv],
        env={"PATH": _PATH, "HOME": user.home, "HOSTNAME": "runcommit", **own, **job.run.env},
        console=job.console,
        timeout=job.run.timeout,
    )
    if completed.returncode and not started.exists():
        raise process.failure(completed.argv[:1], completed.returncode, completed.output)
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


def _identity(user: Account) -> tuple[str, ...]:
    """What chroot is told: without root's powers there is nobody else, and no group to drop."""
    if os.geteuid() != 0:
        return (f"--userspec={user.uid}:{user.gid}",)
    groups = ",".join(map(str, user.groups))
    return (f"--userspec={user.uid}:{user.gid}", f"--groups={groups}")


def _unshare(engine: EngineOptions, *more: str) -> tuple[str, ...]:
    namespaces = ("--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", *more)
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    return (*engine.command(PROGRAM), *namespaces, *as_root)
