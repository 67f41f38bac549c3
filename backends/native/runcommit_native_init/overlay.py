"""The container's root: the base's layers, what they lack of mount points, and what it changes.

Source: the kernel's ``Documentation/filesystems/overlayfs.rst``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_native_init.inroot import beneath
from runcommit_native_init.syscalls import MS_BIND, MS_NODEV, MS_RDONLY, mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_FEATURES = "index=off,metacopy=off,redirect_dir=off"
"""Each would make upper directories that tell not all that was changed."""

_ITS_OWN = ("trusted.overlay.", "user.overlay.")


def merge(place: str, lowers: Sequence[str], *, own: bool) -> str:
    """Mount ``upper`` of the folder ``place`` over folders, lowest first; where that is.

    ``own`` tells that the user namespace is not the machine's.  The current folder becomes
    ``place``.
    """
    merged = f"{place}/merged"
    if not lowers:
        mount(f"{place}/upper", merged, flags=MS_BIND)
        return merged
    # a mount's root looks like its upper directory
    look_like(lowers[-1], f"{place}/upper")
    work = f"work-{os.getpid()}"
    os.mkdir(f"{place}/{work}", 0o700)
    options = f"lowerdir={_short(place, lowers)},upperdir=upper,workdir={work}"
    mount("overlay", merged, "overlay", MS_NODEV, f"{options},{_features(own)}")
    return merged


def _features(own: bool) -> str:
    # nothing of a job outlives the machine, so no program's fsync need wait for the disk
    return "volatile,userxattr,index=off" if own else f"volatile,{_FEATURES}"


def _short(place: str, lowers: Sequence[str]) -> str:
    """Folders as the value of ``lowerdir``, highest first.

    All options of a mount fit into one page, so these are relative names, of links to them.
    """
    os.makedirs(f"{place}/l", exist_ok=True)
    for number, lower in enumerate(lowers):
        link = f"{place}/l/{number}"
        if not os.path.islink(link):
            os.symlink(lower, link)
    os.chdir(place)
    return ":".join(f"l/{number}" for number in reversed(range(len(lowers))))


def with_stubs(
    place: str, lowers: Sequence[str], folders: Iterable[str], files: Iterable[str], *, own: bool
) -> list[str]:
    """The folders with one more on top where they lack some of these paths, which it then has.

    So nothing is ever made in the upper directory, which holds what the command changed alone.
    """
    view = f"{place}/merged"
    _show(place, lowers, view, own=own)
    stubs = f"{place}/stubs"
    made = False
    for path, is_folder in _wanted(folders, files).items():
        found = beneath(view, path)
        if not os.path.lexists(f"{view}/{found}"):
            _make(view, stubs, found, is_folder=is_folder)
            made = True
    return [*lowers, stubs] if made else list(lowers)


def _wanted(folders: Iterable[str], files: Iterable[str]) -> Mapping[str, bool]:
    return dict.fromkeys(files, False) | dict.fromkeys(folders, True)


def _show(place: str, lowers: Sequence[str], view: str, *, own: bool) -> None:
    """Mount the folders alone, read-only."""
    if len(lowers) == 1:
        mount(lowers[0], view, flags=MS_BIND)
        return
    options = f"lowerdir={_short(place, lowers)}"
    mount("overlay", view, "overlay", MS_RDONLY, options + (",userxattr" if own else ""))


def _make(view: str, stubs: str, path: str, *, is_folder: bool) -> None:
    """Make a path in ``stubs``: what of it is in ``view`` too looks the same."""
    parts = path.split("/")
    above = ["/".join(parts[:number]) for number in range(len(parts))]
    for parent in above:
        if os.path.lexists(f"{view}/{parent}") and not os.path.isdir(f"{view}/{parent}"):
            raise NotADirectoryError(
                f"nothing can be mounted at /{path}: /{parent} is no directory"
            )
        if not os.path.isdir(f"{stubs}/{parent}"):
            os.mkdir(f"{stubs}/{parent}", 0o755)
    if is_folder:
        os.mkdir(f"{stubs}/{path}", 0o755)
    else:
        os.close(os.open(f"{stubs}/{path}", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    for parent in reversed(above):
        if os.path.isdir(f"{view}/{parent}"):
            look_like(f"{view}/{parent}", f"{stubs}/{parent}")


def look_like(there: str, here: str) -> None:
    """Give a folder another's owner, mode, attributes and time."""
    status = os.stat(there)
    os.chown(here, status.st_uid, status.st_gid)
    os.chmod(here, status.st_mode & 0o7777)
    for name in os.listxattr(there):
        if not name.startswith(_ITS_OWN):
            os.setxattr(here, name, os.getxattr(there, name))
    os.utime(here, ns=(status.st_atime_ns, status.st_mtime_ns))
