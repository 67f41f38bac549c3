"""What is in the user's cache, and taking out of it what is not needed."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Literal

from runcommit_core.cache.entry import Entry, unpack_record
from runcommit_core.cache.store import (
    LARGEST_RECORD,
    RECORD,
    DirectoryStore,
    own_store,
)
from runcommit_core.cache.untrusted import DamagedEntryError, read_regular
from runcommit_core.cachedir import Kept, cache_dir, to_remove
from runcommit_core.layer.wording import size_text
from runcommit_core.records import record
from runcommit_core.remote.blobs import kept_blobs, remove_blobs

if TYPE_CHECKING:
    from pathlib import Path


@record
class Item:
    """A result, the index of a base's layer or a registry's blob; ``entry`` is a whole result's."""

    kind: Literal["result", "index", "blob"]
    kept: Kept
    entry: Entry | None = None

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        if self.kind != "result":
            return f"{self.kind} of sha256:{self.kept.key[:12]}"
        if self.entry is None:
            return "damaged"
        layer = self.entry.layer.diff_id if self.entry.layer else None
        text = " ".join(self.entry.commands.split())
        return f"{layer[:19] if layer else 'no layer':19}  {self.entry.backend}: {text}"


@record
class Contents:
    """All items of the cache folder ``where``, the most recently used first."""

    where: Path
    items: tuple[Item, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(item.kept.size for item in self.items)

    def count(self, kind: str) -> int:
        """How many items are of the kind."""
        return sum(item.kind == kind for item in self.items)

    def without_blobs(self) -> Contents:
        """The same without those items that have a limit of their own."""
        return Contents(self.where, tuple(item for item in self.items if item.kind != "blob"))


def cache_contents() -> Contents:
    """Look at everything; UsageError where there can be no cache folder."""
    items = [
        *_results(own_store()),
        *_indexes(cache_dir() / "index"),
        *(Item("blob", kept) for kept in kept_blobs()),
    ]
    ordered = sorted(items, key=lambda item: item.kept.used, reverse=True)
    return Contents(cache_dir(), tuple(ordered))


def prune(
    contents: Contents, *, everything: bool, size: int | None, older_than: float | None
) -> list[Item]:
    """Choose what goes: all; what was not used for so many seconds; the oldest beyond ``size``."""
    if everything:
        return list(contents.items)
    horizon = time.time() - older_than if older_than is not None else None
    gone = [item for item in contents.items if horizon is not None and item.kept.used < horizon]
    if size is not None:
        left = [item.kept for item in reversed(contents.items) if item not in gone]
        beyond = {kept.path for kept in to_remove(left, size)}
        gone += [item for item in contents.items if item.kept.path in beyond]
    return gone


def remove(items: list[Item]) -> list[Item]:
    """Take items away; jobs that use them meanwhile do without, but for blobs, which stay then.

    What was removed is returned.
    """
    store = own_store()
    blobs = [item.kept.path for item in items if item.kind == "blob"]
    stays = bool(blobs) and not remove_blobs(blobs)
    gone = [item for item in items if not (stays and item.kind == "blob")]
    for item in gone:
        if item.kind == "result":
            store.remove(item.kept.key)
        else:
            item.kept.path.unlink(missing_ok=True)
    return gone


def as_json(item: Item) -> dict[str, Any]:
    """One item for machines; sizes in bytes, times in seconds since 1970."""
    said: dict[str, Any] = {
        "kind": item.kind,
        "key": item.kept.key,
        "path": str(item.kept.path),
        "size": item.kept.size,
        "used": int(item.kept.used),
    }
    if item.entry:
        layer = item.entry.layer
        said |= {
            "diff_id": layer.diff_id if layer else None,
            "layer_size": layer.size if layer else 0,
            "backend": item.entry.backend,
            "commands": item.entry.commands,
            "created": item.entry.created,
            "seconds": round(item.entry.seconds, 3),
        }
    return said


def as_text(item: Item) -> str:
    """One line."""
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.kept.used))
    return f"{item.kept.key[:12]}  {size_text(item.kept.size):>9}  {used}  {item.about}"


def _results(store: DirectoryStore) -> list[Item]:
    return [Item("result", kept, _entry(kept)) for kept in store.kept()]


def _entry(kept: Kept) -> Entry | None:
    try:
        return unpack_record(read_regular(kept.path / RECORD, LARGEST_RECORD), kept.key)
    except (OSError, DamagedEntryError):
        return None


def _indexes(folder: Path) -> list[Item]:
    items = []
    for path in folder.glob("*/*.sqlite3"):
        with contextlib.suppress(OSError):
            facts = path.stat()
            used = max(facts.st_mtime, facts.st_atime)
            items.append(Item("index", Kept(path.stem, path, facts.st_blocks * 512, used)))
    return items
