"""Outputs that appear at once or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Staging:
    """Files on their way to their places; see :func:`staging`."""

    def __init__(self) -> None:
        self._pending: dict[Path, Path] = {}

    def beside(self, place: Path) -> Path:
        """A path to write instead of ``place``, in the same folder.

        Raises UsageError when that folder is missing, not writable, or ``place`` is a folder.
        """
        folder = place.absolute().parent
        if not folder.is_dir():
            raise UsageError(f"cannot write {place}: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"cannot write {place}: the folder {folder} is not writable")
        if place.is_dir():
            raise UsageError(f"cannot write {place}: it is a folder")
        path = folder / f".{place.name}.{secrets.token_hex(6)}"
        self._pending[place] = path
        return path

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


@contextlib.contextmanager
def staging() -> Iterator[Staging]:
    """A Staging whose unpublished files are removed at the end."""
    staged = Staging()
    try:
        yield staged
    finally:
        staged.discard()
