"""Where unpacked bases and running jobs are kept, and how to get at their files.

A rootless user's containers have files of many ids, which are that user's only inside a user
namespace: there these files are listed, mounted and removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import EngineError, Leftover, end_orphans, made_by, process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VARIABLE = "RUNCOMMIT_UMOCI_STORE"


def folder() -> Path:
    """The store: never on an overlay, for overlays do not stack."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/runcommit-umoci")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(data) / "runcommit-umoci"


def base_folder(name: str) -> Path:
    """Where the private copy of a base is unpacked that has this name."""
    return folder() / "bases" / hashlib.sha256(name.encode()).hexdigest()[:32]


def note_name(base: Path, name: str) -> None:
    """Keep what the private copy of a base is called, which no folder can be."""
    (base / "name").write_text(name)


def name_of(base: Path) -> str:
    """What the private copy is called that is unpacked here."""
    return (base / "name").read_text()


def job_folder(name: str) -> Path:
    """Where the container of this name lives."""
    return folder() / "jobs" / name


def enter() -> tuple[str, ...]:
    """The words before a command that bring it where the container's ids are, and mounts its own.

    Whatever runs there ends with it.
    """
    as_root = () if os.geteuid() == 0 else ("--map-root-user", "--map-auto")
    return ("unshare", *as_root, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")


@contextlib.contextmanager
def in_use(base: Path) -> Iterator[None]:
    """Keep others from removing a base."""
    base.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    with base.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def publish(fresh: Path, base: Path) -> None:
    """Give an unpacked base its place, unless another job was faster."""
    with contextlib.suppress(FileExistsError, OSError):
        fresh.rename(base)


def remove(path: Path) -> None:
    """Take a folder away, whoever owns what is in it."""
    if path.exists():
        process.undo(*enter(), "rm", "-rf", str(path))


def of_jobs(ids: Sequence[str]) -> list[Leftover]:
    """Everything in the store with a job's id in its name."""
    places = [*_listed("jobs"), *_listed("bases")]
    return [
        Leftover(
            kind="container" if path.parent.name == "jobs" else "base",
            name=path.name,
            remove=functools.partial(_remove_job, path, ids),
        )
        for path in places
        if made_by(path.name, ids)
    ]


def copies_of_bases() -> list[Leftover]:
    """The unpacked bases that are complete."""
    return [
        Leftover(kind="base", name=name_of(path), size=_size(path),
                 remove=functools.partial(_remove_base, path))
        for path in _listed("bases")
        if "." not in path.name
    ]  # fmt: skip


def _listed(kind: str) -> list[Path]:
    place = folder() / kind
    return sorted(place.iterdir()) if place.is_dir() else []


def _remove_job(path: Path, ids: Sequence[str]) -> None:
    for job_id in ids:
        if made_by(path.name, (job_id,)):
            end_orphans(job_id)
    process.remove(*enter(), "rm", "-rf", str(path))


def _remove_base(path: Path) -> None:
    lock = path.with_suffix(".lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EngineError(f"a job is using the base {path.name}") from error
        process.remove(*enter(), "rm", "-rf", str(path), str(lock))


def _size(path: Path) -> int | None:
    counted = process.attempt(*enter(), "du", "-sx", "--block-size=1", str(path))
    return int(counted.output.split()[0]) if not counted.returncode else None
