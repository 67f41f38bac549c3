"""The words of the helper program."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from runcommit_core import forks
from runcommit_native_init.syscalls import CLONE_NEWNS, MS_PRIVATE, MS_REC, mount, unshare

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOTHING = "-"


def main(verb: str, maps: str, place: str, *words: str) -> int:
    """Go where root and ids are the container's own, as ``maps`` say, and do there what is asked.

    * ``within MAPS PLACE WORDS…``: become the command of these words; ``merged`` in the folder
      PLACE shows the root that is kept there
    * ``contain MAPS PLACE NAME``: run the container that the file NAME there tells of

    ``-`` is no maps, and no place.  The exit code is the command's.
    """
    try:
        own_ids = maps != _NOTHING
        if own_ids:
            from runcommit_native_init.ids import enter_ids

            enter_ids(maps)
        _keep_mounts_apart()
        if verb == "contain":
            from runcommit_native_init.container import contain

            return contain(place, *words, own_ids=own_ids)
        return _become(place, words, own_ids=own_ids)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _keep_mounts_apart() -> None:
    """Let no mount of ours be the machine's."""
    unshare(CLONE_NEWNS)
    mount("", "/", flags=MS_REC | MS_PRIVATE)


def _become(place: str, words: Sequence[str], *, own_ids: bool) -> int:
    if place != _NOTHING:
        from runcommit_native_init.overlay import merge

        with open(f"{place}/lowers", encoding="utf-8") as file:
            merge(place, file.read().split("\n")[:-1], own=own_ids)
    forks.become(words, os.environ)
