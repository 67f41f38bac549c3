"""Where a path leads, where no stranger's link decides it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from runcommit_core.errors import UsageError

_MOST_LINKS = 40
_OPEN_FILES = ("/proc", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr")
"""What leads on to open files: what is put there would take the place of those."""


def real_place(place: Path) -> Path:
    """The path without links, as ``Path.resolve``; what is not there yet stays as it is.

    In a folder that everybody may write to, a link counts only if it is ours or of the folder's
    owner: whoever else may put one there must not choose what we overwrite.  That is Linux's own
    rule for sticky folders (``fs.protected_symlinks`` in proc_sys_fs(5)), which does not hold for
    whom only the path is told.

    Raises UsageError for a stranger's link, for links in a loop and for what cannot be looked at.
    """
    if any(place.is_relative_to(top) for top in _OPEN_FILES):
        raise UsageError(
            f"cannot write {place}: it leads to an open file, which would be replaced",
            tip="-o - writes the layer to standard output",
        )
    rest = [part for part in reversed(place.parts) if part != place.anchor]
    real, links = Path(place.anchor or Path.cwd()), 0
    while rest:
        part = rest.pop()
        if part == "..":
            real = real.parent
            continue
        target = _target_of(real / part, place)
        if target is None:
            real /= part
            continue
        links += 1
        if links > _MOST_LINKS:
            raise UsageError(f"cannot write {place}: its links lead in a loop")
        real = Path(target.anchor) if target.is_absolute() else real
        rest += [step for step in reversed(target.parts) if step != target.anchor]
    return real


def _target_of(path: Path, asked: Path) -> Path | None:
    """Where a link leads; None for what is none."""
    try:
        there = path.lstat()
        if not stat.S_ISLNK(there.st_mode):
            return None
        folder = path.parent.stat()
        if folder.st_mode & stat.S_IWOTH and there.st_uid not in (os.geteuid(), folder.st_uid):
            raise UsageError(
                f"cannot write {asked}: {path} is a link that another user has put into a folder"
                " that everybody may write to",
                tip="remove it, or name a place in a folder of your own",
            )
        return path.readlink()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {asked}: {error}") from error
