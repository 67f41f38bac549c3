"""Where runcommit keeps what it may lose: one folder per user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from runcommit_core.errors import UsageError
from runcommit_core.records import record


@record
class Kept:
    """One thing that is kept: ``size`` in bytes, ``used`` last in seconds since 1970."""

    key: str
    path: Path
    size: int
    used: float


def cache_dir() -> Path:
    """Return the cache folder, made with mode 0700 when it is not there.

    ``$RUNCOMMIT_CACHE_DIR``, else ``$XDG_CACHE_HOME/runcommit``, else ``~/.cache/runcommit``; a
    relative ``XDG_CACHE_HOME`` is ignored, as the XDG base directory specification demands.
    """
    path = _cache_path()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the cache folder {path}: {error.strerror}",
            tip="set RUNCOMMIT_CACHE_DIR to a folder that you may write",
        ) from error
    _check_private(path)
    return path


def to_remove(kept: list[Kept], limit: int) -> list[Kept]:
    """The least recently used of ``kept`` that must go for the rest to fit."""
    left = sum(each.size for each in kept)
    gone = []
    for each in kept:
        if left <= limit:
            break
        gone.append(each)
        left -= each.size
    return gone


def _check_private(path: Path) -> None:
    """Refuse a folder in which somebody else could plant what we then believe."""
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"the cache folder {path} is not yours alone to write",
            tip="set RUNCOMMIT_CACHE_DIR to a folder of your own, or chmod go-w it",
        )


def _cache_path() -> Path:
    if chosen := os.environ.get("RUNCOMMIT_CACHE_DIR"):
        return Path(chosen).absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():
        return xdg / "runcommit"
    try:
        return Path.home() / ".cache" / "runcommit"
    except RuntimeError as error:
        raise UsageError(
            "there is no home folder to keep the cache in",
            tip="set RUNCOMMIT_CACHE_DIR to a folder that you may write",
        ) from error
