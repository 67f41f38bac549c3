"""Turns: what jobs of one user do to the same image in an engine, they do one after the other.

Engines on containers/storage read the names of an image, change them and write all of them back:
of two jobs that do it at once, one brings back a name that the other has just taken away.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from runcommit_core.cachedir import cache_dir
from runcommit_core.engine.interruption import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

P = ParamSpec("P")
T = TypeVar("T")


def in_turn(image: str, work: Callable[P, T]) -> Callable[P, T]:
    """``work``, but waiting until no other job does the like to the image of this name."""

    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with _lock_of(image).open("w") as lock:
            with waiting():
                fcntl.flock(lock, fcntl.LOCK_EX)
            return work(*args, **kwargs)

    return alone


@contextlib.contextmanager
def in_use(image: str) -> Iterator[None]:
    """Keep ``prune`` from taking away the image of this name; any number of jobs may at once."""
    with _lock_of(f"{image} in use").open("w") as lock:
        with waiting():
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def unused(image: str) -> Iterator[bool]:
    """Whether no job uses the image of this name; if so, jobs that begin to wait for the block."""
    with _lock_of(f"{image} in use").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _lock_of(name: str) -> Path:
    folder = cache_dir() / "turns"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / hashlib.sha256(name.encode()).hexdigest()[:32]
