"""``runcommit stamp``: what changes whenever the program does, for build systems' caches."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.plugins.backends import installed
from runcommit_core.plugins.chosen import installed_points
from runcommit_core.version import version

if TYPE_CHECKING:
    from collections.abc import Iterator


def stamp() -> dict[str, object]:
    """The version, a digest of the code of core, backends and plugins, and the folders it is in."""
    places = sorted(set(_places()))
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            name = path.relative_to(place.parent).as_posix()
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return {
        "version": version(),
        "code": f"sha256:{digest.hexdigest()}",
        "folders": [str(folder) for folder in places if folder.is_dir()],
    }


def _places() -> Iterator[Path]:
    """The folders of packages, and modules that are but a file."""
    names = ["runcommit_core", *(item.entry_point.value for item in installed())]
    names += [point.value for points in installed_points().values() for point in points]
    for name in names:
        package = name.partition(":")[0].partition(".")[0]
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            yield from map(Path, spec.submodule_search_locations)
        elif spec and spec.origin:
            yield Path(spec.origin)
