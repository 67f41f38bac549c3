"""A quick look at what is installed, for jobs that have no time for importlib.metadata."""

from __future__ import annotations

import os
import sys

_METADATA = (".dist-info", ".egg-info")


def may_have(group: str) -> bool:
    """Whether some distribution may have entry points of the group.

    False is certain.  True where a name of it stands in the files, or where distributions lie in
    what is no folder (a zip, a frozen program), which only importlib.metadata can look into.
    """
    if any(_finds_distributions(finder) for finder in sys.meta_path):
        return True
    heading = f"[{group}]".encode()
    return any(_in_folder(folder or ".", heading) for folder in sys.path)


def _finds_distributions(finder: object) -> bool:
    usual = getattr(finder, "__name__", "") == "PathFinder"
    return not usual and hasattr(finder, "find_distributions")


def _in_folder(folder: str, heading: bytes) -> bool:
    try:
        with os.scandir(folder) as items:
            names = [item.path for item in items if item.name.endswith(_METADATA)]
    except NotADirectoryError:
        return True
    except OSError:
        return False
    return any(heading in _entry_points(name) for name in names)


def _entry_points(distribution: str) -> bytes:
    try:
        with open(f"{distribution}/entry_points.txt", "rb") as file:  # noqa: PTH123 - in haste
            return file.read()
    except OSError:
        return b""
