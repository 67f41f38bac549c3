"""Where the indexes of layers are in the cache; apart from them, because a warm job only looks."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from runcommit_core.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runcommit_core.tar.digests import DiffId

FORM: Final = "v2"
"""Changes with everything that an index says of a layer, so that old files are not read."""

SEAL: Final = ".right"
"""How the name of a seal ends; without one a base is looked through once more."""

_DIFF_ID = re.compile(r"sha256:([0-9a-f]{64})")


def index_folder(cache_dir: Path) -> Path:
    """The folder of all indexes."""
    return cache_dir / "index" / FORM


def layer_path(folder: Path, diff_id: DiffId) -> Path:
    """The index of a layer; ArchiveError for what is no diff_id, so that none leads elsewhere."""
    match = _DIFF_ID.fullmatch(diff_id)
    if match is None:
        raise ArchiveError(f"diff_id {diff_id!r} is not a sha256 digest")
    return folder / f"{match[1]}.sqlite3"


def seal_path(folder: Path, diff_ids: Sequence[DiffId]) -> Path:
    """The empty file that says that these layers, one on the other, were found right."""
    return folder / f"{hashlib.sha256(' '.join(diff_ids).encode()).hexdigest()}{SEAL}"
