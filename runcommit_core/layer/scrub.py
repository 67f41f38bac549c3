"""Taking what engines prepare for a container out of the result tree.

Engines mount files and directories over the root, and make what they mount over where the base
lacks it.  Which places these are is a fact of containers; where a place lies is a fact of the base,
whose links engines follow.  What lies at a place and in the directories on the way to it is told by
comparison with the base: where the base has a path, a change of it is the user's, but for the files
that are mounted over in every container, which no command can have reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runcommit_core.index.links import resolve
from runcommit_core.layer.result import ancestors
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runcommit_core.layer.result import Result

MOUNTED_OVER: Final = (b"etc/hosts", b"etc/hostname", b"etc/resolv.conf", b"run/.containerenv")
"""Their content in a container is never the user's: what the base has stays.

So does a link in their place, which docker takes away below every container.
"""

MADE: Final = (
    b".dockerenv",
    b"dev/console",
    b"run/podman-init",
    b"dev/init",
    b"run/notify",
)
"""What else engines make where the base has nothing."""

_MADE_FOR_A_ZONE = b"etc/localtime"
"""Podman mounts over it where its settings name a time zone; a user's own is no empty file."""

MADE_EMPTY: Final = (
    b"dev/pts",
    b"dev/shm",
    b"dev/mqueue",
    b"run/secrets",
    b"dev",
    b"proc",
    b"sys",
    b"run",
    b"etc",
)
"""Directories that say nothing while nothing else is in them."""

_MTAB = b"etc/mtab"
_MTAB_TARGET = b"/proc/mounts"


def scrub(result: Result, mount_points: Sequence[bytes]) -> set[bytes]:
    """Drop what was prepared; return the paths of the base that stay whatever the raw layers say.

    ``mount_points`` are the job's own, where the base's links lead.
    """
    over = {*_places(result, MOUNTED_OVER), *(_beside(result, path) for path in MOUNTED_OVER)}
    prepared = {*over, *_places(result, MADE), *mount_points}
    if _is_engine_mtab(result, mtab := _beside(result, _MTAB)):
        prepared.add(mtab)
    prepared |= {path for path in _places(result, [_MADE_FOR_A_ZONE]) if _is_empty(result, path)}
    stay = set()
    for path in _deepest_first(prepared):
        if result.tree.get(path) is None:
            result.drop(path)
        elif path in over:
            result.drop(path)
            stay.add(path)
    above = {up for path in prepared for up in ancestors(path)}
    for path in _deepest_first(above.union(_places(result, MADE_EMPTY))):
        _drop_if_empty(result, path)
    return stay


def drop_excluded(result: Result, is_excluded: Callable[[bytes], bool]) -> None:
    """Take the paths that the user excludes out of F, without any being deleted from B."""
    for path in [path for path in result.present if is_excluded(path)]:
        del result.present[path]


def with_ancestors(exclude: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """Widen a test of paths: what is below an excluded directory is excluded, too."""
    known: dict[bytes, bool] = {b"": False}

    def is_excluded(path: bytes) -> bool:
        if path not in known:
            for up in (*reversed([*ancestors(path)]), path):
                if up not in known:
                    known[up] = known[up.rpartition(b"/")[0]] or exclude(up)
        return known[path]

    return is_excluded


def _places(result: Result, paths: Iterable[bytes]) -> set[bytes]:
    """Where the base's links lead from each path."""
    return {resolve(result.tree, path).path for path in paths}


def _beside(result: Result, path: bytes) -> bytes:
    """Where a path lies whose last component is not followed."""
    parent, _, name = path.rpartition(b"/")
    return resolve(result.tree, parent).path + b"/" + name


def _deepest_first(paths: Iterable[bytes]) -> list[bytes]:
    return sorted(paths, key=lambda path: (-path.count(b"/"), path))


def _is_engine_mtab(result: Result, path: bytes) -> bool:
    inode = result.present.get(path)
    if inode is None:
        return path in result.removed
    return inode.entry.kind is Kind.SYMLINK and inode.entry.link == _MTAB_TARGET


def _is_empty(result: Result, path: bytes) -> bool:
    inode = result.present.get(path)
    return bool(inode and inode.entry.kind is Kind.REGULAR and not inode.entry.size)


def _drop_if_empty(result: Result, path: bytes) -> None:
    """A directory that was made to hold what was prepared goes with it."""
    inode = result.present.get(path)
    if inode is None or inode.entry.kind is not Kind.DIRECTORY:
        return
    if result.tree.get(path) is None and not result.has_below(path):
        del result.present[path]
