"""Where a complete image goes: ``[oci:|oci-archive:|docker-archive:]PATH[:NAME]``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.oci.references import Kind
from runcommit_core.records import record

if TYPE_CHECKING:
    import os

_NAME = re.compile(
    r"(?=.{1,255}\Z)([a-zA-Z0-9][a-zA-Z0-9.-]*(:\d+)?/)?"
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:\w[\w.-]{0,127})?",
    re.ASCII,
)
_REF_NAME = re.compile(r"[A-Za-z0-9]+([-._:@+/]+[A-Za-z0-9]+)*", re.ASCII)


@record
class ImagePlace:
    """One image to write: its form, its path, and its name in there, if it has one."""

    kind: Kind
    path: Path
    name: str | None = None


def image_format(name: str) -> Kind:
    """The form of that name; UsageError when there is none."""
    try:
        return Kind(name)
    except ValueError:
        raise UsageError(
            f"there is no image format {name!r}", tip=f"choose {', '.join(Kind)}"
        ) from None


def parse_image_place(given: str | os.PathLike[str], default: Kind) -> ImagePlace:
    """Split a place; the first colon after the form ends the path.

    A path object is a path and nothing else.  Raises UsageError for what names no path, and for a
    name that images of that form cannot have.
    """
    if not isinstance(given, str):
        return ImagePlace(default, Path(given))
    prefix, colon, rest = given.partition(":")
    kind, rest = (Kind(prefix), rest) if colon and prefix in set(Kind) else (default, given)
    path, _, name = rest.partition(":")
    if not path:
        raise UsageError(f"{given!r}: names no path for the image")
    if name and not (_NAME if kind is Kind.DOCKER_ARCHIVE else _REF_NAME).fullmatch(name):
        raise UsageError(f"{given!r}: {name!r} is no name of an image")
    return ImagePlace(kind, Path(path), name or None)


def checked_name(name: str) -> str:
    """``name`` if an engine can call an image so, with a tag or without; else UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of an image", tip="write [HOST[:PORT]/]PATH[:TAG] in lower case"
        )
    return name
