"""Bases that are unpacked once and stay, for engines that take no images.

A folder of the backend's holds them.  In it each base is a folder with its root, ``rootfs``; its
name is in a file beside that, for no folder can be called so.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.engine.unpacking import unpack_base
from runcommit_core.errors import EngineError
from runcommit_core.housekeeping.orphans import made_by
from runcommit_core.interface.values import Leftover

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runcommit_core.interface.job import Job

_ROOT, _NAME = "rootfs", "name"


def unpacked(job: Job, folder: Path, *, enter: Sequence[str] = ()) -> Path:
    """The root of the job's base below ``folder``, unpacked unless it is there.

    Nobody removes it while the job lives.  ``enter`` are the words before a command that bring it
    where root and ids are the container's own.  Raises what ``unpack_base`` raises.
    """
    name = job.transport.name
    base = folder / hashlib.sha256(name.encode()).hexdigest()[:32]
    job.cleanup.enter_context(_in_use(base))
    if not job.keep_base:
        job.cleanup.callback(_undo, base, enter)
    if not base.exists():
        fresh = base.with_name(f"{base.name}.{job.name}")
        job.cleanup.callback(_undo, fresh, enter)
        (fresh / _ROOT).mkdir(parents=True)
        unpack_base(job, fresh / _ROOT, enter=enter)
        (fresh / _NAME).write_text(name)
        with contextlib.suppress(FileExistsError, OSError):
            fresh.rename(base)  # unless another job was faster
    return base / _ROOT


def copies(folder: Path, *, enter: Sequence[str] = ()) -> list[Leftover]:
    """What ``base_copies`` returns: the bases that are complete, with the bytes that they take."""
    return [
        Leftover(
            kind="base",
            name=(base / _NAME).read_text(),
            size=_size(base, enter),
            remove=functools.partial(_remove_unused, base, enter),
        )
        for base in _bases(folder)
        if "." not in base.name
    ]


def unfinished(folder: Path, ids: Sequence[str], *, enter: Sequence[str] = ()) -> list[Leftover]:
    """What ``leftovers`` adds: bases that killed jobs of these ids have not unpacked to the end."""
    return [
        Leftover(kind="base", name=base.name, remove=functools.partial(_remove, base, enter))
        for base in _bases(folder)
        if made_by(base.name, ids)
    ]


def _bases(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


@contextlib.contextmanager
def _in_use(base: Path) -> Iterator[None]:
    base.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    with base.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _remove(base: Path, enter: Sequence[str], *more: Path) -> None:
    process.remove(*enter, "rm", "-rf", os.fspath(base), *map(os.fspath, more))


def _undo(base: Path, enter: Sequence[str]) -> None:
    if base.exists():
        process.undo(*enter, "rm", "-rf", os.fspath(base))


def _remove_unused(base: Path, enter: Sequence[str]) -> None:
    """Raise EngineError while a job uses it."""
    lock = base.with_suffix(".lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EngineError(f"a job is using the base {base.name}") from error
        _remove(base, enter, lock)


def _size(base: Path, enter: Sequence[str]) -> int | None:
    counted = process.attempt(*enter, "du", "-sx", "--block-size=1", os.fspath(base))
    return int(counted.output.split()[0]) if not counted.returncode else None
