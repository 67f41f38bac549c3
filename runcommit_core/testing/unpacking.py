"""How the scratch backend unpacks a base: the upper layers over the lower ones."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Collection

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_MOST_STEPS = 255
_KEPT = ("security.capability", "user.")


def apply_layer(root: Path, stream: BinaryIO) -> None:
    """Unpack one uncompressed layer over what ``root`` has of those below it."""
    added: dict[Path, tarfile.TarInfo] = {}
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extraction_filter = lambda member, _: member
        for member in tar:
            member.name = beneath(root, member.name)
            if member.islnk():
                member.linkname = beneath(root, member.linkname)
            place = root / member.name
            if place.name == _OPAQUE:
                _clear(place.parent, added)
            elif place.name.startswith(_WHITEOUT):
                _remove(place.with_name(place.name.removeprefix(_WHITEOUT)))
            else:
                _unpack(tar, member, root)
                added[place] = member
    for place, member in added.items():
        if member.isdir():
            os.utime(place, (member.mtime, member.mtime))


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    place = root / member.name
    for parent in reversed(place.parents):
        if parent.is_relative_to(root) and not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    if not (member.isdir() and place.is_dir() and not place.is_symlink()):
        _remove(place)
    tar.extract(member, root, numeric_owner=True)
    # tarfile leaves symlinks with the time of their extraction
    os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)
    for key, value in member.pax_headers.items():
        name = key.removeprefix(_XATTR)
        if name != key and name.startswith(_KEPT) and (os.geteuid() == 0 or "user." in name):
            os.setxattr(place, name, value.encode(errors="surrogateescape"), follow_symlinks=False)


def beneath(root: Path, name: str) -> str:
    """A tar's name as one below ``root``; whoever lets it lead elsewhere writes on the machine.

    Links on the way are the base's own, so an absolute one begins at ``root`` again.
    """
    place = root
    pending = [part for part in reversed(name.split("/")) if part]
    for _ in range(_MOST_STEPS):
        if not pending:
            return os.fspath(place.relative_to(root))
        part = pending.pop()
        if part == ".":
            continue
        if part == "..":
            place = root if place == root else place.parent
        elif pending and (place / part).is_symlink():
            link = PurePosixPath((place / part).readlink())
            place = root if link.is_absolute() else place
            pending += reversed([each for each in link.parts if each != "/"])
        else:
            place /= part
    raise ArchiveError(f"the links on the way to {name!r} lead in a circle")


def _clear(folder: Path, added: Collection[Path]) -> None:
    """Remove what lower layers have in a folder."""
    for path in folder.iterdir():
        if path not in added:
            _remove(path)
        elif path.is_dir() and not path.is_symlink():
            _clear(path, added)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
