"""``runcommit stamp``: what changes whenever the program does, for build systems' caches."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.plugins import installed
from runcommit_core.version import version

if TYPE_CHECKING:
    from collections.abc import Iterator


def stamp() -> dict[str, object]:
    """The version, a digest of the code of core and backends, and the folders it was read from."""
    folders = sorted(set(_folders()))
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder.parent).as_posix()
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return {
        "version": version(),
        "code": f"sha256:{digest.hexdigest()}",
        "folders": [str(folder) for folder in folders],
    }


def _folders() -> Iterator[Path]:
    names = ["runcommit_core", *(item.entry_point.value for item in installed())]
    for name in names:
        package = name.partition(":")[0].partition(".")[0]
        found = importlib.util.find_spec(package)
        yield from map(Path, (found and found.submodule_search_locations) or ())
