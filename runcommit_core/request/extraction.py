"""What to extract and where to, checked before anything runs."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence


@record
class Extraction:
    """Absolute ``paths`` of the result, and one of three places for them.

    ``tar`` is a tar to write, ``to`` a directory that takes each path under its base name;
    ``places`` has, for each path, exactly where it goes.
    """

    paths: tuple[str, ...]
    tar: Path | None = None
    to: Path | None = None
    places: tuple[Path, ...] = ()

    @property
    def names(self) -> tuple[bytes, ...]:
        """What each path is called in the tar or directory; empty for the root itself."""
        return tuple(map(base_name, self.paths))

    @property
    def written(self) -> tuple[Path, ...]:
        """What is there afterwards: the tar, or a place for each path, in their order."""
        if self.tar:
            return (self.tar,)
        if self.to:
            return tuple(self.to / os.fsdecode(name) for name in self.names)
        return self.places


def extraction(
    paths: str | Sequence[str],
    *,
    tar: str | os.PathLike[str] | None = None,
    to: str | os.PathLike[str] | None = None,
    places: Sequence[str | os.PathLike[str]] = (),
) -> Extraction:
    """Check what was asked for.

    Raises UsageError: no path, a relative one, two of one name, none or several of the places
    """
    asked = (paths,) if isinstance(paths, str) else tuple(paths)
    if not asked:
        raise UsageError("there is nothing to extract", tip="name it with --path")
    for path in asked:
        if not path.startswith("/") or "\0" in path:
            raise UsageError(f"cannot extract {path!r}: it is no absolute path in the image")
    if sum(map(bool, (tar is not None, to is not None, places))) != 1:
        raise UsageError(
            "extracting takes one of -o TAR, --to DIR and --as PATH, not none and not several"
        )
    wanted = Extraction(
        asked,
        Path(tar) if tar is not None else None,
        Path(to) if to is not None else None,
        tuple(map(Path, places)),
    )
    if places:
        _check_places(wanted)
    else:
        _check_names(wanted)
    return wanted


def base_name(path: str) -> bytes:
    """The last component of a path as it was given, which docker and podman cp call it."""
    return os.fsencode(posixpath.basename(posixpath.normpath(path)))


def _check_places(wanted: Extraction) -> None:
    if len(wanted.places) != len(wanted.paths):
        raise UsageError(
            f"--as names {len(wanted.places)} places for {len(wanted.paths)} paths: each --path"
            " has one --as, in their order"
        )


def _check_names(wanted: Extraction) -> None:
    names = wanted.names
    for path, name in zip(wanted.paths, names, strict=True):
        if names.count(name) > 1 or (not name and len(names) > 1):
            raise UsageError(
                f"cannot extract {path}: another path would be called "
                f"{os.fsdecode(name) or 'like something in it'!r} as well",
                tip="give each --path a place of its own with --as",
            )
