"""A quick look at what is installed, for jobs that have no time for importlib.metadata."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_METADATA = (".dist-info", ".egg-info")


def may_have(group: str) -> bool:
    """Whether some distribution may have entry points of the group.

    False is certain.  True where a name of it stands in the files, or where distributions lie in
    what is no folder (a zip, a frozen program), which only importlib.metadata can look into.
    """
    distributions = _with(group)
    return distributions is None or bool(distributions)


def names(group: str) -> set[str]:
    """The names of the group's entry points; empty where that cannot be told."""
    lines = (line for text in _with(group) or () for line in _section(text.decode(), group))
    return {line.partition("=")[0].strip() for line in lines if "=" in line}


def sole(group: str) -> dict[str, str]:
    """The entry points of the group, where one distribution alone has any: from name to value.

    Empty where another number of distributions has some, or may have.
    """
    distributions = _with(group) or []
    if len(distributions) != 1:
        return {}
    lines = _section(distributions[0].decode(), group)
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _with(group: str) -> list[bytes] | None:
    """The entry points of all distributions that have some of the group; None: cannot tell."""
    if any(_finds_distributions(finder) for finder in sys.meta_path):
        return None
    heading = f"[{group}]".encode()
    try:
        return [
            text
            for folder in sys.path
            for name in _distributions(folder or ".")
            if heading in (text := _entry_points(name))
        ]
    except NotADirectoryError:
        return None


def _finds_distributions(finder: object) -> bool:
    usual = getattr(finder, "__name__", "") == "PathFinder"
    return not usual and hasattr(finder, "find_distributions")


def _distributions(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as items:
            return [item.path for item in items if item.name.endswith(_METADATA)]
    except NotADirectoryError:
        raise
    except OSError:
        return []


def _entry_points(distribution: str) -> bytes:
    try:
        with open(f"{distribution}/entry_points.txt", "rb") as file:  # noqa: PTH123 - in haste
            return file.read()
    except OSError:
        return b""


def _section(text: str, name: str) -> Iterator[str]:
    inside = False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == f"[{name}]"
        elif inside:
            yield line
