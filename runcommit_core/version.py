"""The versions of runcommit and of the layers that it writes."""

from __future__ import annotations

FORM = "canonical-layer-1"
"""The form of layers, docs/reference/canonical-layer.md: in reports, and in the cache's keys."""

_OF_THE_SOURCES = "0.1.0"


def version() -> str:
    """The installed distribution's version, else that of the sources that run."""
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
