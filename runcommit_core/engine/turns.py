"""Turns: what jobs of one user do to the same image in an engine, they do one after the other.

Engines on containers/storage read the names of an image, change them and write all of them back:
of two jobs that do it at once, one brings back a name that the other has just taken away.
"""

from __future__ import annotations

import fcntl
import hashlib
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from runcommit_core.cachedir import cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


def in_turn(image: str, work: Callable[P, T]) -> Callable[P, T]:
    """``work``, but waiting until no other job does the like to the image of this name."""

    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        folder = cache_dir() / "turns"
        folder.mkdir(mode=0o700, exist_ok=True)
        with (folder / hashlib.sha256(image.encode()).hexdigest()[:32]).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return work(*args, **kwargs)

    return alone
