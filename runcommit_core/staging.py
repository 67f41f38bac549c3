"""Outputs that appear at once or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from runcommit_core.disk.places import real_place
from runcommit_core.disk.swaps import swapping
from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from runcommit_core.disk.swaps import Swaps


_TOKEN = secrets.token_hex(6)

PREFIX = ".runcommit-"
"""How the names of all unfinished outputs begin."""

UNFINISHED = ".tmp"
"""How the names of unfinished files of the cache end."""


def mark() -> str:
    """What the names of this process's unfinished outputs have in common, and no other's."""
    return f"{_TOKEN}{os.getpid():x}"


def staged_name() -> str:
    """A name for an unfinished output, by which ``runcommit prune`` finds it in its folder."""
    return f"{PREFIX}{mark()}-{secrets.token_hex(8)}"


@contextlib.contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """A path beside ``place`` to write; the file there replaces what is at ``place`` at the end.

    Readers see the old file or the new one, never a part of one, and of two writers the last one
    wins.  Nothing stays beside the place where the block raises; what a killed process leaves ends
    in ``UNFINISHED``, by which ``runcommit prune`` finds it in the cache.  Nothing is synced to
    disk.

    Raises OSError: the file cannot be renamed
    """
    beside = place.with_name(f"{place.name}.{secrets.token_hex(8)}{UNFINISHED}")
    try:
        yield beside
        beside.replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


class Staging:
    """Files on their way to their places; see :func:`staging`."""

    def __init__(self) -> None:
        self._pending: dict[Path, Path] = {}
        self._folders: dict[Path, tuple[Path, Callable[[Path], None]]] = {}

    def beside(self, place: Path) -> Path:
        """A path to write instead of ``place``, in the same folder; links are followed.

        Raises UsageError when that folder is missing or not writable, when ``place`` is there and
        no regular file (a rename would replace ``/dev/null`` itself), or when it was asked for
        before.
        """
        target = real_place(place)
        folder = target.parent
        if not folder.is_dir():
            raise UsageError(f"cannot write {place}: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"cannot write {place}: the folder {folder} is not writable")
        _refuse_folder(target, place)
        self._refuse_second(target, place)
        path = folder / staged_name()
        self._pending[target] = path
        return path

    def folder(self, place: Path, check: Callable[[Path], None]) -> Path:
        """A path to make a folder at instead of ``place``, all of which it replaces.

        ``check`` raises UsageError for a folder that must stay, now and when it is replaced.
        Raises UsageError, too, when ``place`` was asked for before.
        """
        target = real_place(place)
        check(target)
        self._refuse_second(target, place)
        self._refuse_inner(target)
        path = target.with_name(staged_name())
        self._folders[target] = (path, check)
        return path

    def claim(self, place: Path) -> None:
        """Refuse a place that somebody else writes to, where it is another output's.

        Raises UsageError.
        """
        self._refuse_second(place, place)

    @property
    def places(self) -> Collection[Path]:
        return self._pending.keys() | self._folders.keys()

    def publish(self) -> None:
        """Rename what was written; what was not written takes an older file's place away.

        A layer of an earlier run must not pass for the result of this one.  All appears, or, where
        this raises, nothing.  Raises UsageError for a place that cannot be written any more.
        """
        with swapping() as swaps:
            self.swap(swaps)

    def swap(self, swaps: Swaps) -> None:
        """The same, together with what else is put by ``swaps``."""
        for place, path in self._pending.items():
            _refuse_folder(place, place)
            with _told(place):
                if path.exists():
                    swaps.put(path, place)
                else:
                    swaps.take_away(place, path)
        for place, (path, check) in self._folders.items():
            check(place)
            with _told(place):
                swaps.put(path, place)

    def discard(self) -> None:
        for path in self._pending.values():
            path.unlink(missing_ok=True)
        for path, _ in self._folders.values():
            shutil.rmtree(path, ignore_errors=True)

    def _refuse_second(self, target: Path, place: Path) -> None:
        if target in self.places:
            raise UsageError(f"cannot write {place}: it is the place of two outputs")
        outer = next((each for each in self._folders if target.is_relative_to(each)), None)
        if outer is not None:
            raise _within(place, outer)

    def _refuse_inner(self, target: Path) -> None:
        for inner in self.places:
            if inner.is_relative_to(target):
                raise _within(inner, target)


def _within(inner: Path, outer: Path) -> UsageError:
    return UsageError(
        f"cannot write {inner}: it lies in {outer}, which another output takes as a whole",
        tip="give it a place of its own",
    )


def _refuse_folder(target: Path, place: Path) -> None:
    if target.exists() and not target.is_file():
        what = "a folder" if target.is_dir() else "no regular file"
        raise UsageError(f"cannot write {place}: it is {what}")


@contextlib.contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {place}: {error.strerror or error}") from error


@contextlib.contextmanager
def staging() -> Iterator[Staging]:
    """A Staging whose unpublished files are removed at the end."""
    staged = Staging()
    try:
        yield staged
    finally:
        staged.discard()
