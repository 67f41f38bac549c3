"""``--memory`` and ``--cpus`` by control groups, of version 1 or 2, where we may make one.

Source: the kernel's ``admin-guide/cgroup-v2.rst`` and ``admin-guide/cgroup-v1``.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import EngineError, Lack, Leftover, made_by, process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core import Job

_TOP = Path("/sys/fs/cgroup")
_PERIOD = 100_000
_CONTROLLERS = {"memory": "memory", "cpus": "cpu"}


class Limit:
    """The groups of one job: ``files`` are those that its first process puts itself into."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = tuple(folders)
        self.files = [os.fspath(folder / "cgroup.procs") for folder in folders]

    def exceeded(self) -> bool:
        """Whether the kernel killed somebody for the memory that the group took."""
        for folder in self._folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    words = (folder / name).read_text().split()
                    if "oom_kill" in words and words[words.index("oom_kill") + 1] != "0":
                        return True
        return False


def lacking() -> list[Lack]:
    """The limits that cannot be kept to here."""
    if os.geteuid() != 0:
        return [
            Lack(option, f"without root the native backend makes no control groups for --{option}")
            for option in _CONTROLLERS
        ]
    return [
        Lack(
            option,
            f"the native backend cannot keep to --{option}: the cgroup controller {controller} is"
            " not delegated here",
        )
        for option, controller in _CONTROLLERS.items()
        if _parent(controller) is None
    ]


def limited(job: Job) -> Limit:
    """The groups for a job that wants limits; they go with its container."""
    wanted = {"memory": job.run.memory, "cpu": job.run.cpus}
    folders: dict[Path, None] = {}
    for controller, value in wanted.items():
        parent = _parent(controller) if value else None
        if parent:
            folders[parent / job.name] = None
    for folder in folders:
        job.containers.callback(_undo, folder)
        folder.mkdir()
    try:
        for folder in folders:
            _set(folder, job)
    except OSError as error:
        raise EngineError(f"cannot limit the command: {error}") from error
    return Limit(list(folders))


def leftovers(ids: Sequence[str]) -> list[Leftover]:
    """Groups of killed jobs; the job's folder is the container, so these are something else."""
    parents = {parent for name in _CONTROLLERS.values() if (parent := _parent(name))}
    return [
        Leftover(kind="cgroup", name=folder.name, remove=functools.partial(_remove, folder))
        for parent in sorted(parents)
        for folder in sorted(parent.glob("runcommit-*"))
        if made_by(folder.name, ids)
    ]


def _parent(controller: str) -> Path | None:
    """The group in which ours can be made; None where there is none."""
    if os.geteuid() != 0:
        return None
    if (_TOP / "cgroup.controllers").exists():
        enabled = (_TOP / "cgroup.subtree_control").read_text().split()
        return _TOP if controller in enabled and os.access(_TOP, os.W_OK) else None
    folder = _TOP / controller
    return folder if folder.is_dir() and os.access(folder, os.W_OK) else None


def _set(folder: Path, job: Job) -> None:
    run = job.run
    quota = round(run.cpus * _PERIOD)
    values = (
        ("memory.max", run.memory),
        ("memory.swap.max", 0 if run.memory else None),
        ("memory.limit_in_bytes", run.memory),
        ("memory.memsw.limit_in_bytes", run.memory),
        ("cpu.max", f"{quota} {_PERIOD}" if quota else None),
        ("cpu.cfs_period_us", _PERIOD if quota else None),
        ("cpu.cfs_quota_us", quota),
    )
    for name, value in values:
        # swap is counted where the kernel was told to
        if value is not None and value != 0 and (folder / name).exists():
            (folder / name).write_text(str(value))
    if run.memory and (folder / "memory.swap.max").exists():
        (folder / "memory.swap.max").write_text("0")


def _undo(folder: Path) -> None:
    if folder.exists():
        process.taken_back(f"rmdir {folder}", lambda: _remove(folder))


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise EngineError(f"cannot remove {folder}: {error.strerror}") from error
