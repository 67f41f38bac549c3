"""Entering a user namespace that has the caller's subordinate ids."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core import forks
from runcommit_native_init.syscalls import CLONE_NEWUSER, unshare

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAMS = ("newuidmap", "newgidmap")


def enter_ids(maps: str) -> None:
    """Be root in a new user namespace.

    ``maps`` are two maps with a colon between, of user ids and of group ids, each of them triples
    of numbers with commas between: the first id inside, the first outside, and how many.

    Raises OSError
    """
    ours, theirs = os.pipe()
    parent = os.getpid()

    def map_from_outside() -> int:
        os.close(theirs)
        os.read(ours, 1)
        return _map(parent, maps.split(":"))

    helper = forks.forked(map_from_outside)
    os.close(ours)
    try:
        unshare(CLONE_NEWUSER)
    finally:
        os.close(theirs)
    if forks.ended(helper):
        raise PermissionError("newuidmap and newgidmap gave no subordinate ids")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups(())


def _map(pid: int, maps: Sequence[str]) -> int:
    for program, numbers in zip(_PROGRAMS, maps, strict=True):
        words = (program, str(pid), *numbers.split(","))

        def run(words: Sequence[str] = words) -> int:
            forks.become(words, os.environ)

        if code := forks.ended(forks.forked(run)):
            return code
    return 0
