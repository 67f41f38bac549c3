"""The version of runcommit, also where it was not installed but runs from its sources."""

from __future__ import annotations

_OF_THE_SOURCES = "0.1.0"


def version() -> str:
    """The installed distribution's version, else that of these sources."""
    return _distribution() or _OF_THE_SOURCES


def is_installed() -> bool:
    """Whether there is a distribution, whose entry points name the built-in backends."""
    return _distribution() is not None


def _distribution() -> str | None:
    # a plain run needs no version, and this import is not cheap
    import importlib.metadata

    try:
        return importlib.metadata.version("runcommit")
    except importlib.metadata.PackageNotFoundError:
        return None
