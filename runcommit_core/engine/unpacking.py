"""Unpacking a base into a folder, for engines that take no images.

It is done by a process of its own, whose root that folder is: nothing of the base's, no link and no
``..``, leads out of it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.engine import process
from runcommit_core.errors import ArchiveError, EngineError
from runcommit_core.tar.reader import Kind, TarEntry, TarReader
from runcommit_core.tar.whiteout import Marker, split_marker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import RawLayer
    from runcommit_core.oci.model import BaseLayer

_CHUNK = 1 << 20
_LENGTH_BYTES = 4
_NOT_OURS = frozenset((errno.EPERM, errno.ENOTSUP))
"""What a kernel says of devices and attributes that only the machine's own root may make."""


def unpack_base(job: Job, root: Path, *, enter: Sequence[str] = ()) -> None:
    """Unpack the job's base, with what is made for the job, into ``root``, an empty folder.

    ``enter`` are the words before a command that bring it where root and ids are the container's
    own.  Devices and attributes that cannot be made there are left out.

    Raises ArchiveError for layers that are not what they should be, EngineError when it fails.
    """
    _unpack_from(_framed(job, job.base.layers, job.made), root, enter)


def unpack_layer(job: Job, layer: BaseLayer, root: Path, *, enter: Sequence[str] = ()) -> None:
    """Unpack one of the base's layers over what the folder ``root`` shows.

    For engines that keep layers apart: where ``root`` is an overlay over those below, its upper
    directory is the layer.  The rest is as :func:`unpack_base` has it.
    """
    _unpack_from(_framed(job, (layer,), ()), root, enter)


def _unpack_from(framed: Iterator[bytes], root: Path, enter: Sequence[str]) -> None:
    from runcommit_core.engine.apart import isolated

    words = (*enter, *isolated(__name__), os.fspath(root))
    completed = process.attempt(*words, stdin=framed)
    if completed.returncode in (ArchiveError.exit_code, EngineError.exit_code):
        error = ArchiveError if completed.returncode == ArchiveError.exit_code else EngineError
        raise error(completed.errors.strip())
    process.checked(completed)


def _framed(job: Job, layers: Sequence[BaseLayer], prepared: Sequence[RawLayer]) -> Iterator[bytes]:
    """The layers' tars, each in pieces with their lengths before them; an empty one ends it."""
    from runcommit_core.oci.regions import open_layer, verified

    for layer in layers:
        with verified(open_layer(job.locate(layer)), layer.diff_id) as stream:
            yield from _in_pieces(stream)
    for made in prepared:
        with made.open() as stream:
            yield from _in_pieces(stream)


def _in_pieces(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield len(chunk).to_bytes(_LENGTH_BYTES)
        yield chunk
    yield bytes(_LENGTH_BYTES)


class _Layer(io.RawIOBase):
    """One tar of those that :func:`_framed` sends."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._left = self._next()
        self.is_there = self._left is not None

    def _next(self) -> int | None:
        """The length of the next piece, 0 after the last one; None where nothing comes any more."""
        head = self._source.read(_LENGTH_BYTES)
        return int.from_bytes(head) if len(head) == _LENGTH_BYTES else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            return 0
        data = self._source.read(min(len(buffer), self._left))
        if not data:
            raise EngineError("the base's layers ended early")
        buffer[: len(data)] = data
        self._left -= len(data)
        if not self._left:
            self._left = self._next()
        return len(data)


def main(root: str) -> int:
    """Unpack what comes on standard input into ``root``; the exit code."""
    try:
        os.chroot(root)
        os.chdir("/")
        _unpack_all(sys.stdin.buffer)
    except (ArchiveError, EngineError) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"cannot unpack the base: {error}\n")
        return EngineError.exit_code
    return 0


def _unpack_all(source: BinaryIO) -> None:
    # the caller's umask is no part of the base, nor of a root that no layer has as a member
    os.umask(0o022)
    Path("/").chmod(0o755)
    times: dict[Path, int] = {}
    number = 0
    while (layer := _Layer(source)).is_there:
        number += 1
        reader = TarReader(io.BufferedReader(layer, _CHUNK), name=f"layer {number} of the base")
        _unpack(reader, times)
    for path, seconds in times.items():
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, (seconds, seconds), follow_symlinks=False)


def _unpack(reader: TarReader, times: dict[Path, int]) -> None:
    """One layer over what is there; ``times`` are folders', to be set when all is made."""
    made: set[Path] = set()
    for entry in reader:
        marker, name = split_marker(entry.path)
        path = Path("/", os.fsdecode(name))
        _note_time(path.parent, times)
        if marker is Marker.WHITEOUT:
            _remove(path)
        elif marker is Marker.OPAQUE:
            _note_time(path, times)
            _empty(path, made)
        elif marker is Marker.NONE:
            _make(entry, path, reader)
            made.update((path, *path.parents))
            if entry.kind is Kind.DIRECTORY:
                times[path] = entry.mtime
            else:
                times.pop(path, None)


def _note_time(folder: Path, times: dict[Path, int]) -> None:
    """Keep the time of a folder that is there, for what is made in it changes that."""
    if folder not in times:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            times[folder] = int(folder.stat().st_mtime)


def _make(entry: TarEntry, path: Path, reader: TarReader) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not (entry.kind is Kind.DIRECTORY and _is_folder(path)):
        _remove(path)
        try:
            _create(entry, path, reader)
        except OSError as error:
            if entry.kind in (Kind.CHARACTER, Kind.BLOCK) and error.errno in _NOT_OURS:
                return
            raise
    _set_attributes(entry, path)


def _create(entry: TarEntry, path: Path, reader: TarReader) -> None:
    match entry.kind:
        case Kind.REGULAR:
            with path.open("xb") as file:
                file.writelines(reader.chunks())
        case Kind.DIRECTORY:
            path.mkdir()
        case Kind.SYMLINK:
            path.symlink_to(os.fsdecode(entry.link))
        case Kind.HARDLINK:
            os.link(Path("/", os.fsdecode(entry.link)), path, follow_symlinks=False)
        case Kind.FIFO:
            os.mkfifo(path)
        case Kind.CHARACTER | Kind.BLOCK:
            kind = stat.S_IFCHR if entry.kind is Kind.CHARACTER else stat.S_IFBLK
            os.mknod(path, kind | 0o600, os.makedev(entry.major, entry.minor))


def _set_attributes(entry: TarEntry, path: Path) -> None:
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(entry.mode)
    for name, value in entry.xattrs.items():
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise
    os.utime(path, (entry.mtime, entry.mtime), follow_symlinks=False)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def _empty(path: Path, made: set[Path]) -> None:
    """Take away what lower layers have in a folder."""
    for below in path.iterdir() if _is_folder(path) else ():
        if below not in made:
            _remove(below)
        else:
            _empty(below, made)
