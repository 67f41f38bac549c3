"""Where the layers of bases are unpacked, once each, and where running jobs keep what they change.

``layers`` has a folder for each layer, called by the hash of its diff_id and of those below it
(what a layer says of its ancestors it may leave to them), ``bases`` a list of these for each base
that a job had, ``jobs`` a folder for each job.  A layer that stands under its name is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import (
    EngineError,
    Leftover,
    UsageError,
    cache_dir,
    isolated,
    made_by,
    process,
    unpack_layer,
)
from runcommit_native.modes import mode_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from runcommit_core import Job

VARIABLE = "RUNCOMMIT_NATIVE_STORE"
MOST_LAYERS = 498
"""The kernel takes 500 folders under an overlay; one is for mount points."""

_REMOVED = ".removed-"


def store() -> Path:
    """The store of this user; it need not be there."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else cache_dir() / "native"


def folder() -> Path:
    """Where bases are kept in this user's mode: files of one hold ids that mean nothing to another.

    Raises UsageError where the store is somebody else's, who could plant what a command then runs.
    """
    place = store()
    if place.exists() and place.stat().st_uid != os.geteuid():
        raise UsageError(f"the store {place} is not yours", tip=f"set {VARIABLE} to another folder")
    return place / mode_here().key


def job_folder(name: str) -> Path:
    """Where the container of this name is kept."""
    return store() / "jobs" / name


def containers() -> list[str]:
    """The names of all containers."""
    place = store() / "jobs"
    return sorted(path.name for path in place.iterdir()) if place.is_dir() else []


def helper(verb: str, place: str = "-") -> tuple[str, ...]:
    """The words of the helper program, to which those of its verb are added."""
    return (*isolated("runcommit_native_init.program"), verb, mode_here().maps, place)


def enter() -> tuple[str, ...]:
    """The words before a command that bring it where the containers' ids are; none for root."""
    return () if mode_here().maps == "-" else helper("within")


def layers_of(job: Job) -> list[Path]:
    """The folders of the base's layers, lowest first, unpacked unless they are there.

    Nobody removes them while the job lives.  Raises what ``unpack_layer`` raises.
    """
    names = list(_names(job.base.diff_ids))
    if len(names) > MOST_LAYERS:
        raise EngineError(f"the base has {len(names)} layers, and an overlay takes {MOST_LAYERS}")
    _use(job, names)
    made = [folder() / "layers" / name for name in names]
    for number, path in enumerate(made):
        if not path.exists():
            _unpack(job, number, path, made[:number])
    return made


def _names(diff_ids: Sequence[str]) -> Iterator[str]:
    """Names of layers by the chain that they end."""
    chain = hashlib.sha256()
    for diff_id in diff_ids:
        chain.update(diff_id.encode())
        yield chain.hexdigest()[:40]


def _unpack(job: Job, number: int, path: Path, lowers: Sequence[Path]) -> None:
    """Unpack a layer over those below it, aside, and give it its name when it is complete."""
    fresh = path.with_name(f"{path.name}.{job.name}")
    job.cleanup.callback(_undo, fresh)
    for name in ("upper", "merged"):
        (fresh / name).mkdir(parents=True)
    (fresh / "upper").chmod(0o755)  # whatever the caller's umask is
    (fresh / "lowers").write_text("".join(f"{lower}\n" for lower in lowers))
    over = helper("within", str(fresh)) if lowers else enter()
    root = fresh / ("merged" if lowers else "upper")
    try:
        unpack_layer(job, job.base.layers[number], root, enter=over)
    except EngineError:
        job.check_base()  # which may have better words for it
        raise
    with contextlib.suppress(OSError):  # another job was faster
        (fresh / "upper").rename(path)


def _use(job: Job, layers: Sequence[str]) -> None:
    """List the base before its layers are there: who removes some looks at all lists."""
    name = job.transport.name
    listed = _list_of(name)
    listed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not job.keep_base:
        job.cleanup.callback(_forget_unused, name)
    with _alone():
        file = job.cleanup.enter_context(listed.open("a+"))
        fcntl.flock(file, fcntl.LOCK_SH)
        if not file.tell():
            file.write(json.dumps({"name": name, "layers": list(layers)}))
            file.flush()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Nobody else lists bases or removes layers meanwhile."""
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _list_of(name: str) -> Path:
    return folder() / "bases" / hashlib.sha256(name.encode()).hexdigest()[:40]


def copies() -> list[Leftover]:
    """The bases that are unpacked; each has the size of those layers that go with it."""
    lists = _lists()
    return [
        Leftover(
            kind="base",
            name=told["name"],
            size=_size([folder() / "layers" / each for each in _own(told, lists)]),
            remove=functools.partial(_forget, told["name"]),
        )
        for told in lists
    ]


def _lists() -> list[dict[str, Any]]:
    place = folder() / "bases"
    paths = sorted(place.iterdir()) if place.is_dir() else []
    texts = [path.read_text() for path in paths]
    return [json.loads(text) for text in texts if text]


def _own(told: dict[str, Any], lists: Sequence[dict[str, Any]]) -> list[str]:
    """The layers that no other base has."""
    others = {layer for each in lists if each != told for layer in each["layers"]}
    return [layer for layer in told["layers"] if layer not in others]


def _forget(name: str) -> None:
    """Remove a base; raise EngineError while a job uses it."""
    listed = _list_of(name)
    if not listed.exists():
        return
    with _alone(), listed.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EngineError(f"a job is using the base {name}") from error
        lists = _lists()
        told = next(each for each in lists if each["name"] == name)
        for layer in _own(told, lists):
            path = folder() / "layers" / layer
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_name(f"{layer}{_REMOVED}{os.getpid()}"))
        listed.unlink()
    for path in (folder() / "layers").glob(f"*{_REMOVED}*"):
        clear(path)


def _forget_unused(name: str) -> None:
    """The same for a job that is not to leave its base; who uses it too is told the same."""
    with contextlib.suppress(EngineError):
        _forget(name)


def unfinished(ids: Sequence[str]) -> list[Leftover]:
    """Layers that killed jobs of these ids have not unpacked to the end."""
    place = folder() / "layers"
    paths = sorted(place.iterdir()) if place.is_dir() else []
    return [
        Leftover(kind="layer", name=path.name, remove=functools.partial(clear, path))
        for path in paths
        if made_by(path.name, ids)
    ]


def clear(path: Path) -> None:
    """Remove a folder with all in it, whose files may be of any of the container's ids."""
    process.remove(*enter(), "rm", "-rf", os.fspath(path))


def _undo(path: Path) -> None:
    if path.exists():
        process.undo(*enter(), "rm", "-rf", os.fspath(path))


def remove_job(name: str) -> None:
    """Take back a job's folder; what is gone already is as good as that."""
    _undo(job_folder(name))


def _size(paths: Sequence[Path]) -> int | None:
    there = [os.fspath(path) for path in paths if path.exists()]
    if not there:
        return 0
    counted = process.attempt(*enter(), "du", "-sxc", "--block-size=1", *there)
    return int(counted.output.splitlines()[-1].split()[0]) if not counted.returncode else None
