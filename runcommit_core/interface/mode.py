"""What ``--transport`` takes."""

from __future__ import annotations

from enum import StrEnum

from runcommit_core.errors import UsageError


class Mode(StrEnum):
    """How images may travel between us and the engine."""

    AUTO = "auto"
    REGISTRY = "registry"
    ARCHIVE = "archive"


def transport_mode(name: str) -> Mode:
    """The mode of that name; UsageError when there is none."""
    try:
        return Mode(name)
    except ValueError:
        raise UsageError(f"there is no transport {name!r}; there are {', '.join(Mode)}") from None
