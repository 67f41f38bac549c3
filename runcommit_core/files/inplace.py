"""Selected files on disk: made beside their places as the calling user, then renamed there.

Nothing is written outside the places that the caller named: of what stands there already, real
directories are entered, files and symlinks are replaced, and anything else is an error before the
first rename.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.layer.wording import printable
from runcommit_core.staging import staged_name
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runcommit_core.disk.swaps import Swaps
    from runcommit_core.files.contents import Contents
    from runcommit_core.files.selection import Origin, Selected
    from runcommit_core.index.node import Node

log = logging.getLogger("runcommit")

_REPLACED = (stat.S_ISREG, stat.S_ISLNK, stat.S_ISFIFO, stat.S_ISSOCK)


class Landing:
    """Places on disk, and folders beside them in which what goes there is made first.

    ``places`` has one path for each asked path.  Raises UsageError for a place that cannot be
    written.
    """

    def __init__(self, places: Sequence[Path], folder: Path | None) -> None:
        self._folder = folder
        if folder is not None and not folder.exists():
            _check_folder(folder.parent, folder)
        for place in places:
            if folder is None or folder.exists():
                _check_folder(place.parent, place)
        self.places = tuple(places)
        self._staged: list[bytes] = []
        self._beside: dict[Path, Path] = {}
        self._directories: dict[bytes, tuple[int, int]] = {}
        self._masters: dict[Origin, bytes] = {}

    def fill(self, selected: Iterable[Selected], contents: Contents) -> None:
        """Make everything beside its place."""
        self._staged = [
            os.fsencode(self._folder_beside(place) / str(number))
            for number, place in enumerate(self.places)
        ]
        for each in selected:
            path = b"/".join(filter(None, (self._staged[each.root], each.below)))
            self._make(path, each, contents)
        self._check()

    def swap(self, swaps: Swaps) -> None:
        """Put everything to its place."""
        if self._folder is not None:
            swaps.made(self._folder)
        moved: dict[bytes, bytes] = {}
        for staged, place in zip(self._staged, self.places, strict=True):
            _merge(staged, os.fsencode(place), moved, swaps)
        for path, (mode, mtime) in reversed(self._directories.items()):
            if (final := _moved(path, moved)) is not None:
                os.chmod(final, mode)  # noqa: PTH101 - bytes
                os.utime(final, (mtime, mtime))

    def discard(self) -> None:
        """Remove what was not published."""
        for folder in self._beside.values():
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def folders(self) -> set[Path]:
        """Where things are made first."""
        return set(map(self._parent, self.places))

    def _parent(self, place: Path) -> Path:
        if self._folder is not None and not self._folder.exists():
            return self._folder.parent
        return place.parent

    def _folder_beside(self, place: Path) -> Path:
        parent = self._parent(place)
        if parent not in self._beside:
            self._beside[parent] = parent / staged_name()
            self._beside[parent].mkdir(mode=0o700)
        return self._beside[parent]

    def _make(self, path: bytes, each: Selected, contents: Contents) -> None:
        node = each.node
        if node.kind is Kind.DIRECTORY:
            os.mkdir(path, 0o700)  # noqa: PTH102 - bytes
            self._directories[path] = (_mode(node), node.mtime)
        elif node.kind in (Kind.CHARACTER, Kind.BLOCK):
            place = b"/".join(filter(None, (os.fsencode(self.places[each.root]), each.below)))
            log.warning("%s would be a device, which only -o keeps; left out", printable(place))
        elif not self._link(path, each.origin):
            _make_file(path, node, contents, each.origin.sha256)
            self._masters[each.origin] = path

    def _link(self, path: bytes, origin: Origin) -> bool:
        """Make a further name of a file, where both can be on one file system."""
        master = self._masters.get(origin)
        if master is None:
            return False
        try:
            os.link(master, path, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _check(self) -> None:
        for staged, place in zip(self._staged, self.places, strict=True):
            for conflict in _conflicts(staged, os.fsencode(place)):
                raise UsageError(
                    f"cannot write {os.fsdecode(conflict)}: something of another kind is there",
                    tip="remove it, or extract to another place",
                )


def _check_folder(folder: Path, place: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"cannot write {place}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {place}: the folder {folder} is not writable")


def _mode(node: Node) -> int:
    """The mode, without the bits that would lend our ids to whoever runs the file."""
    mode = node.mode
    if node.uid != os.geteuid():
        mode &= ~stat.S_ISUID
    if node.gid != os.getegid():
        mode &= ~stat.S_ISGID
    return mode


def _make_file(path: bytes, node: Node, contents: Contents, sha256: bytes) -> None:
    if node.kind is Kind.SYMLINK:
        os.symlink(node.link, path)  # noqa: PTH211 - bytes
    else:
        if node.kind is Kind.FIFO:
            os.mkfifo(path, 0o600)
        elif node.size:
            shutil.copyfile(contents.path(sha256), path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.chmod(path, _mode(node))  # noqa: PTH101 - bytes
    os.utime(path, (node.mtime, node.mtime), follow_symlinks=False)


def _conflicts(staged: bytes, final: bytes) -> Iterator[bytes]:
    """The places at which a directory would meet something else, or a file a directory."""
    try:
        there = os.lstat(final).st_mode
        ours = os.lstat(staged).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(ours):
        if not any(test(there) for test in _REPLACED):
            yield final
    elif not stat.S_ISDIR(there):
        yield final
    else:
        for name in sorted(os.listdir(staged)):  # noqa: PTH208 - bytes
            yield from _conflicts(staged + b"/" + name, final + b"/" + name)


def _merge(staged: bytes, final: bytes, moved: dict[bytes, bytes], swaps: Swaps) -> None:
    if not os.path.lexists(staged):  # a device that was left out
        return
    if stat.S_ISDIR(os.lstat(staged).st_mode) and os.path.lexists(final):
        for name in sorted(os.listdir(staged)):  # noqa: PTH208 - bytes
            _merge(staged + b"/" + name, final + b"/" + name, moved, swaps)
    else:
        moved[staged] = final
        swaps.put(Path(os.fsdecode(staged)), Path(os.fsdecode(final)))


def _moved(path: bytes, moved: dict[bytes, bytes]) -> bytes | None:
    """Where a directory is now; None for one that was there before."""
    above = path
    while above:
        if above in moved:
            return moved[above] + path[len(above) :]
        above = above.rpartition(b"/")[0]
    return None
