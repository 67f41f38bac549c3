"""Files for the run alone: found, links resolved, and copied only where links lead out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from runcommit_core.errors import UsageError


def existing(source: str, option: str) -> Path:
    """The absolute path behind all links; UsageError when there is nothing, or a loop."""
    try:
        return Path(source).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{option}: cannot use {source}: {reason}") from error


def self_contained(source: Path, spare: Path) -> Path:
    """``source``, or a copy of it at ``spare`` when links in it lead out of it.

    In the copy such links have become what they lead to; a link to nothing stays one.
    """
    if not source.is_dir() or not any(_leads_out(link, source) for link in _links(source)):
        return source
    _copy(source, spare, source, (source,))
    return spare


def _links(folder: Path) -> list[Path]:
    symlinks = []
    try:
        for place, folders, files in os.walk(folder, onerror=_raise):
            paths = (Path(place, name) for name in (*folders, *files))
            symlinks += [path for path in paths if path.is_symlink()]
    except OSError as error:
        raise UsageError(f"--input: cannot read {error.filename}: {error.strerror}") from error
    return symlinks


def _raise(error: OSError) -> None:
    raise error


def _leads_out(link: Path, top: Path) -> bool:
    """Whether the link cannot be followed where the folder is mounted elsewhere."""
    target = link.readlink()
    if target.is_absolute():
        return link.exists()
    place = link.parent.resolve()
    direct = Path(os.path.normpath(place / target))
    return not direct.is_relative_to(top) and link.exists()


def _copy(source: Path, target: Path, top: Path, inside: tuple[Path, ...]) -> None:
    target.mkdir()
    for item in sorted(source.iterdir()):
        place = target / item.name
        if item.is_symlink() and not _leads_out(item, top):
            place.symlink_to(item.readlink())
            continue
        real = item.resolve() if item.is_symlink() else item
        if real.is_dir():
            if real in inside:
                raise UsageError(f"--input: {item} leads back to {real}, which holds it")
            inner = real if item.is_symlink() else top
            _copy(real, place, inner, (*inside, real))
        elif real.is_file():
            _copy_file(real, place)
    shutil.copystat(source, target)


def _copy_file(source: Path, target: Path) -> None:
    """A second name costs nothing; the kernel refuses it across disks and for others' files."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
