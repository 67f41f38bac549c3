"""A new backend's distribution, written from the templates beside the core."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PLACES = {
    "pyproject.toml.in": "pyproject.toml",
    "README.md.in": "README.md",
    "module.py.in": "@MODULE@/__init__.py",
    "test_contract.py.in": "tests/test_contract.py",
}


def write_backend(name: str, folder: Path) -> list[Path]:
    """Write the distribution of a backend into a folder that is new or empty; its files.

    Raises UsageError for a name that is none or taken, and for a folder that holds something.
    """
    _check(name, folder)
    module = f"runcommit_{name.replace('-', '_')}"
    written = []
    for template, place in _PLACES.items():
        path = folder / place.replace("@MODULE@", module)
        text = resources.files("runcommit_core").joinpath("template", template).read_text("utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@NAME@", name).replace("@MODULE@", module), "utf-8")
        written.append(path)
    return written


def _check(name: str, folder: Path) -> None:
    from runcommit_core.plugins.backends import installed

    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a backend's name", tip="use small letters, digits and hyphens"
        )
    taken = {item.name: item.distribution for item in installed()}
    if name in taken:
        raise UsageError(
            f"{taken[name]} has a backend called {name!r} already", tip="choose another"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty", tip="name another folder")
