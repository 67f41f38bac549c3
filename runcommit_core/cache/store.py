"""Results in a directory: the user's own cache, or one that several machines share.

One directory per result, made beside its place and renamed there when it is whole: nothing is
locked, of two equal results the first one stays, and on NFS as elsewhere a reader finds a result
whole or not at all.  What is damaged was changed afterwards; it is noticed when it is read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import time
from typing import TYPE_CHECKING, Final, Protocol

from runcommit_core.cache.untrusted import DamagedEntryError, open_regular, read_regular
from runcommit_core.cachedir import Kept, cache_dir, to_remove
from runcommit_core.oci.jsondoc import MAX_JSON
from runcommit_core.records import record
from runcommit_core.surroundings.amounts import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger("runcommit")

LAYOUT: Final = "v1"
RECORD: Final = "record"
LAYER: Final = "layer.tar.zst"
LARGEST_RECORD: Final = MAX_JSON
"""Bytes; a layer of some 200,000 files has one that large, and is not kept."""

SIZE_VARIABLE: Final = "RUNCOMMIT_CACHE_SIZE"
DEFAULT_SIZE: Final = "10g"

_ABANDONED = 24 * 3600.0
_STAGED = ".new-"
_DOOMED = ".old-"


@record
class Stored:
    """A result as it is kept: the record, and the compressed layer if there is one."""

    record: bytes
    layer: Path | None


class Store(Protocol):
    """Where results are kept.  What goes wrong is an OSError, which never fails a job."""

    name: str

    def get(self, key: str, folder: Path) -> Stored | None:
        """Find a result; ``folder`` is a place for what must be brought here first."""
        ...

    def put(self, key: str, record: bytes, write_layer: Callable[[Path], None] | None) -> None:
        """Keep a result; ``write_layer`` writes the compressed layer to a path."""
        ...

    def remove(self, key: str) -> None:
        """Take a damaged result away."""
        ...


class DirectoryStore:
    """Results below ``folder``; ``limit`` in bytes, None for no limit."""

    def __init__(self, folder: Path, *, limit: int | None = None) -> None:
        self.name = str(folder)
        self._folder = folder / LAYOUT
        self._limit = limit

    def get(self, key: str, folder: Path) -> Stored | None:  # noqa: ARG002 - nothing travels
        place = self._place(key)
        try:
            record = read_regular(place / RECORD, LARGEST_RECORD)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with contextlib.suppress(OSError):  # somebody else's, or gone
            os.utime(place, follow_symlinks=False)
        layer = place / LAYER
        return Stored(record, layer if os.path.lexists(layer) else None)

    def put(self, key: str, record: bytes, write_layer: Callable[[Path], None] | None) -> None:
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f"{_STAGED}{secrets.token_hex(8)}")
        beside.mkdir()
        try:
            if write_layer:
                write_layer(beside / LAYER)
            (beside / RECORD).write_bytes(record)
            if self._limit is not None and _size_of(beside) > self._limit:
                log.info("the result is larger than the whole cache may be; not kept")
                return
            if not _holds_record(place):
                _remove(place)  # the rest of a result would keep others out for ever
            _rename_unless_there(beside, place)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        if self._limit is not None:
            self.shrink(self._limit)

    def remove(self, key: str) -> None:
        _remove(self._place(key))

    def kept(self) -> list[Kept]:
        """All results, the least recently used first."""
        results = []
        for place in _entries(self._folder):
            with contextlib.suppress(OSError):
                results.append(Kept(place.name, place, _size_of(place), place.lstat().st_mtime))
        return sorted(results, key=lambda item: (item.used, item.key))

    def shrink(self, limit: int) -> list[Kept]:
        """Remove the least recently used results until the rest is within ``limit`` bytes."""
        gone = to_remove(self.kept(), limit)
        for each in gone:
            _remove(each.path)
        self._remove_abandoned()
        return gone

    def _place(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _remove_abandoned(self) -> None:
        """Remove what writers left that were killed a day ago or earlier."""
        horizon = time.time() - _ABANDONED
        for pattern in (f"*/{_STAGED}*", f"*/{_DOOMED}*"):
            for path in self._folder.glob(pattern):
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < horizon:
                        shutil.rmtree(path, ignore_errors=True)


def own_store() -> DirectoryStore:
    """The results in the user's own cache.

    Raises UsageError: there can be no cache folder, or the variable holds no size
    """
    return DirectoryStore(cache_dir() / "results", limit=own_limit())


def own_limit() -> int:
    """How many bytes the results of the user's own cache may take."""
    text = os.environ.get(SIZE_VARIABLE) or DEFAULT_SIZE
    return size_in_bytes(text, f"the variable {SIZE_VARIABLE}")


def _entries(folder: Path) -> Iterator[Path]:
    for shelf in folder.glob("??"):
        with contextlib.suppress(OSError):
            yield from (place for place in shelf.iterdir() if not place.name.startswith("."))


def _size_of(folder: Path) -> int:
    """What a result takes on disk."""
    within = folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ()
    return sum(path.lstat().st_blocks * 512 for path in (folder, *within))


def _holds_record(place: Path) -> bool:
    try:
        open_regular(place / RECORD).close()
    except PermissionError:
        return True
    except (OSError, DamagedEntryError):
        return False
    return True


def _rename_unless_there(beside: Path, place: Path) -> None:
    try:
        beside.rename(place)
    except OSError:
        if not place.exists():
            raise


def _remove(place: Path) -> None:
    """Make a result vanish at once; a reader that has it open can go on."""
    doomed = place.with_name(f"{_DOOMED}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        place.rename(doomed)
        if doomed.is_dir() and not doomed.is_symlink():
            shutil.rmtree(doomed, ignore_errors=True)
        else:
            doomed.unlink()
