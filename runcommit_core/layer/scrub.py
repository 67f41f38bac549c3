"""Taking what engines made for themselves out of the result tree.

A stub is told by comparison with the base, never by its name alone: where the base has the path,
a change of it is the user's (but for the three files that engines mount over).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runcommit_core.layer.result import ancestors
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runcommit_core.layer.result import Result

MOUNTED_OVER: Final = (b"etc/hosts", b"etc/hostname", b"etc/resolv.conf")
"""Their content in a container is never the user's: what the base has stays."""

STUB_FILES: Final = (
    b".dockerenv",
    b"run/.containerenv",
    b"dev/console",
    b"run/podman-init",
    b"dev/init",
    b"run/notify",
)
STUB_DIRECTORIES: Final = (
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
_MTAB = b"etc/mtab"
_MTAB_TARGET = b"/proc/mounts"


def scrub(result: Result, mount_points: Sequence[bytes]) -> set[bytes]:
    """Drop the stubs; return the paths of the base that stay whatever the raw layers say."""
    stubs = [*MOUNTED_OVER, *STUB_FILES, *mount_points]
    if _is_engine_mtab(result):
        stubs.append(_MTAB)
    stay = set()
    for path in sorted(stubs, key=lambda path: -path.count(b"/")):
        lacking = result.tree.get(path) is None
        if lacking or path in MOUNTED_OVER:
            found = result.drop(path) or path in result.removed
            if lacking and found:
                _drop_emptied_parents(result, path)
        if not lacking and path in MOUNTED_OVER:
            stay.add(path)
    for path in STUB_DIRECTORIES:
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


def _is_engine_mtab(result: Result) -> bool:
    inode = result.present.get(_MTAB)
    if inode is None:
        return _MTAB in result.removed
    return inode.entry.kind is Kind.SYMLINK and inode.entry.link == _MTAB_TARGET


def _drop_emptied_parents(result: Result, path: bytes) -> None:
    """A directory that was made to hold a stub goes with it."""
    for parent in ancestors(path):
        if not _drop_if_empty(result, parent):
            break


def _drop_if_empty(result: Result, path: bytes) -> bool:
    inode = result.present.get(path)
    if inode is None or inode.entry.kind is not Kind.DIRECTORY:
        return False
    if result.tree.get(path) is not None or result.has_below(path):
        return False
    del result.present[path]
    return True
