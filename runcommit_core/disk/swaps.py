"""Several things put to their places: all of them, or none."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from typing import TYPE_CHECKING

from runcommit_core.disk.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger("runcommit")

ASIDE = ".was."
"""In the name of a folder put aside, before the name that it had."""


class Swaps:
    """What was put to its place so far, and how each is taken back; see :func:`swapping`."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()
        self._old: list[Path] = []

    def put(self, new: Path, place: Path) -> None:
        """Rename ``new`` to ``place``; what is there goes where ``new`` was, until all is done.

        ``place`` is never empty meanwhile, where the file system can exchange; elsewhere a folder
        there is put aside first.  Raises OSError.
        """
        ours = _identity(new)
        self._undo.callback(_move_back, place, new, ours)
        if not os.path.lexists(place):
            new.rename(place)
            return
        self._undo.callback(_exchange_back, place, new, ours)
        if exchange(new, place):
            self._old.append(new)
        else:
            self._old.append(self._put_without_exchange(new, place))

    def take_away(self, place: Path, spare: Path) -> None:
        """Rename what is at ``place``, if anything, to ``spare`` until all is done."""
        if os.path.lexists(place):
            self._undo.callback(_move_back, spare, place, _identity(place))
            place.rename(spare)
            self._old.append(spare)

    def made(self, folder: Path) -> None:
        """Make a folder, unless it is there."""
        if not folder.exists():
            self._undo.callback(_remove_empty, folder)
            folder.mkdir()

    def undo(self) -> None:
        """Take everything back, the last first."""
        self._undo.close()

    def settle(self) -> None:
        """Remove what stood at the places before."""
        self._undo.pop_all()
        for path in self._old:
            try:
                _remove(path)
            except OSError as error:
                log.warning("could not remove %s, which was replaced: %s", path, error.strerror)

    def _put_without_exchange(self, new: Path, place: Path) -> Path:
        """The same by two renames, or a link and one rename; where the old thing is now."""
        aside, ours = _aside(new, place), _identity(new)
        if not _linked(place, aside):
            place.rename(aside)
            self._undo.callback(_move_back, aside, place, _identity(aside))
        else:
            self._undo.callback(os.replace, aside, place)
        self._undo.callback(_move_back, place, new, ours)
        new.rename(place)
        return aside


@contextlib.contextmanager
def swapping() -> Iterator[Swaps]:
    """Swaps that are taken back where the block raises, and settled at its end."""
    swaps = Swaps()
    try:
        yield swaps
    except BaseException:
        swaps.undo()
        raise
    swaps.settle()


def put_aside(path: Path) -> Path | None:
    """Where a folder stood that was put aside and never came back; None for anything else.

    That happens to a process that is killed between two renames.
    """
    _, marked, name = path.name.partition(ASIDE)
    place = path.with_name(name) if marked and name else None
    return None if place is None or os.path.lexists(place) else place


def _aside(new: Path, place: Path) -> Path:
    aside = place.with_name(f"{new.name}{ASIDE}{place.name}")
    longest = os.pathconf(place.parent, "PC_NAME_MAX")
    return aside if len(os.fsencode(aside.name)) <= longest else place.with_name(f"{new.name}.old")


def _linked(place: Path, aside: Path) -> bool:
    """Give a file a second name, so that it can be replaced and still be had; folders have one."""
    try:
        os.link(place, aside, follow_symlinks=False)
    except OSError:
        return False
    return True


def _identity(path: Path) -> tuple[int, int]:
    there = path.lstat()
    return there.st_dev, there.st_ino


def _is(path: Path, identity: tuple[int, int]) -> bool:
    try:
        return _identity(path) == identity
    except OSError:
        return False


def _move_back(now: Path, before: Path, identity: tuple[int, int]) -> None:
    if _is(now, identity) and not os.path.lexists(before):
        now.rename(before)


def _exchange_back(place: Path, new: Path, identity: tuple[int, int]) -> None:
    if _is(place, identity) and os.path.lexists(new):
        exchange(place, new)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
