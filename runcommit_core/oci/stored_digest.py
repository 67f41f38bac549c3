"""Digests of stored bytes whose archive does not tell them, computed once and remembered.

A compressed layer in a docker-archive is named by its diff_id or by nothing at all. What is
remembered is keyed by what changes when a file does: path, inode, size and mtime.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from runcommit_core.cachedir import cache_dir
from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci.descriptors import checked_digest
from runcommit_core.oci.jsondoc import parse_record
from runcommit_core.oci.regions import digest_of, open_region
from runcommit_core.staging import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.oci.model import FileRegion
    from runcommit_core.tar.digests import Digest

_MAX_REMEMBERED = 2000


def stored_digest(region: FileRegion) -> Digest:
    """Return the sha256 of a region; reads it only if its file is new or has changed."""
    key = _key(region)
    store = _store()
    known = _load(store).get(key)
    if known is not None:
        with contextlib.suppress(ArchiveError):
            return checked_digest(known, str(store))
    with open_region(region) as stream:
        digest, _ = digest_of(stream)
    if store is not None:
        _remember(store, key, digest)
    return digest


def _key(region: FileRegion) -> str:
    path = region.path.resolve()
    facts = path.stat()
    place = (region.offset, region.size, region.wrapped.value)
    return json.dumps([os.fspath(path), facts.st_ino, facts.st_size, facts.st_mtime_ns, *place])


def _store() -> Path | None:
    try:
        return cache_dir() / "digests.json"
    except UsageError:
        return None


def _load(store: Path | None) -> dict[str, object]:
    if store is None:
        return {}
    try:
        return parse_record(store.read_bytes(), str(store))
    except (OSError, ArchiveError):
        return {}


def _remember(store: Path, key: str, digest: Digest) -> None:
    """Add one digest; the oldest make room. A folder that cannot be written costs time only."""
    known = _load(store)
    known.pop(key, None)
    known[key] = digest
    kept = dict(list(known.items())[-_MAX_REMEMBERED:])
    with contextlib.suppress(OSError), replacing(store) as beside:
        beside.touch(0o600)  # paths are nobody else's business
        beside.write_text(json.dumps(kept))
