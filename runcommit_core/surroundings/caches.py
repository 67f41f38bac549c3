"""Cache mounts: folders that outlive jobs, in the user's own cache folder."""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from runcommit_core.cachedir import cache_dir
from runcommit_core.engine.interruption import waiting
from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from runcommit_core.surroundings.specs import Wanted

log = logging.getLogger("runcommit")


def cache_folder(wanted: Wanted, cleanup: contextlib.ExitStack) -> Path:
    """The folder of a cache mount, made when it is not there; locks end with ``cleanup``.

    ``locked`` waits for the jobs that have it, ``private`` takes a folder that no job has.
    """
    name = quote(wanted.name, safe="").replace(".", "%2E") or "%"
    top = cache_dir() / "mounts" / name
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    if wanted.sharing == "shared":
        return _made(top / "1", wanted)
    if wanted.sharing == "locked":
        lock = _opened(top / "1.lock", cleanup)
        if not _taken(lock):
            log.warning("waiting for the cache mount %s, which another job has", wanted.name)
            with waiting():
                fcntl.flock(lock, fcntl.LOCK_EX)
        return _made(top / "1", wanted)
    for number in itertools.count(1):
        if _taken(_opened(top / f"{number}.lock", cleanup)):
            break
    return _made(top / str(number), wanted)


def _opened(path: Path, cleanup: contextlib.ExitStack) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    cleanup.callback(os.close, descriptor)
    return descriptor


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _made(path: Path, wanted: Wanted) -> Path:
    try:
        path.mkdir()
    except FileExistsError:
        return path
    path.chmod(0o755 if wanted.mode is None else wanted.mode)
    give(path, wanted)
    return path


def give(path: Path, wanted: Wanted) -> None:
    """Make the file the wanted user's.

    Raises UsageError where that takes root: ids other than 0 (which is whoever runs the engine).
    """
    uid, gid = wanted.uid or 0, wanted.gid or 0
    if os.geteuid() == 0:
        os.chown(path, uid, gid)
    elif uid or gid:
        raise UsageError(
            f"only root can give the {wanted.kind} {wanted.name} to the user {uid}:{gid}",
            tip="leave uid and gid out and say who may do what with mode=, such as 0444 or 0777",
        )
