"""Outputs that appear at once or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


class Staging:
    """Files on their way to their places; see :func:`staging`."""

    def __init__(self) -> None:
        self._pending: dict[Path, Path] = {}

    def beside(self, place: Path) -> Path:
        """A path to write instead of ``place``, in the same folder; links are followed.

        Raises UsageError when that folder is missing or not writable, when ``place`` is there and
        no regular file (a rename would replace ``/dev/null`` itself), or when it was asked for
        before.
        """
        target = _target(place)
        folder = target.parent
        if not folder.is_dir():
            raise UsageError(f"cannot write {place}: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"cannot write {place}: the folder {folder} is not writable")
        if target.exists() and not target.is_file():
            what = "a folder" if target.is_dir() else "no regular file"
            raise UsageError(f"cannot write {place}: it is {what}")
        if target in self._pending:
            raise UsageError(f"cannot write {place}: it is the place of two outputs")
        path = folder / f".runcommit-{secrets.token_hex(8)}"
        self._pending[target] = path
        return path

    @property
    def places(self) -> Collection[Path]:
        return self._pending.keys()

    def publish(self) -> None:
        """Rename what was written; what was not written takes an older file's place away.

        A layer of an earlier run must not pass for the result of this one.
        """
        for place, path in self._pending.items():
            if path.exists():
                path.replace(place)
            else:
                place.unlink(missing_ok=True)
        self._pending.clear()

    def discard(self) -> None:
        for path in self._pending.values():
            path.unlink(missing_ok=True)


def _target(place: Path) -> Path:
    try:
        target = place.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"cannot write {place}: {error}") from error
    if target.is_symlink():  # Python 3.13 gives up on a loop without a word
        raise UsageError(f"cannot write {place}: its links lead in a loop")
    return target


@contextlib.contextmanager
def staging() -> Iterator[Staging]:
    """A Staging whose unpublished files are removed at the end."""
    staged = Staging()
    try:
        yield staged
    finally:
        staged.discard()
