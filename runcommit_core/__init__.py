"""Run commands on a base container image and get exactly the new layer, from any engine.

These names are the public interface, for callers (``run_commit``) and for the authors of
backends and plugins (all the others).  They are imported when they are first used, because the
command line must answer ``--help`` at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runcommit_core import process
    from runcommit_core.api import run_commit
    from runcommit_core.errors import (
        ArchiveError,
        BackendContractError,
        CommandError,
        EngineError,
        ReproducibilityError,
        RuncommitError,
        UnknownBackendError,
        UsageError,
    )
    from runcommit_core.hookspecs import Backend, hookimpl
    from runcommit_core.layer.saveroot import save_root
    from runcommit_core.model import (
        Container,
        EngineInfo,
        EngineOptions,
        Image,
        Job,
        Layer,
        Layers,
        RawLayer,
        Result,
        SavedImage,
    )
    from runcommit_core.registry.access import Access
    from runcommit_core.transport import Transport

_HOMES = {
    "api": ("run_commit",),
    "errors": (
        "ArchiveError",
        "BackendContractError",
        "CommandError",
        "EngineError",
        "ReproducibilityError",
        "RuncommitError",
        "UnknownBackendError",
        "UsageError",
    ),
    "hookspecs": ("Backend", "hookimpl"),
    "layer.saveroot": ("save_root",),
    "model": (
        "Container",
        "EngineInfo",
        "EngineOptions",
        "Image",
        "Job",
        "Layer",
        "Layers",
        "RawLayer",
        "Result",
        "SavedImage",
    ),
    "registry.access": ("Access",),
    "transport": ("Transport",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Access",
    "ArchiveError",
    "Backend",
    "BackendContractError",
    "CommandError",
    "Container",
    "EngineError",
    "EngineInfo",
    "EngineOptions",
    "Image",
    "Job",
    "Layer",
    "Layers",
    "RawLayer",
    "ReproducibilityError",
    "Result",
    "RuncommitError",
    "SavedImage",
    "Transport",
    "UnknownBackendError",
    "UsageError",
    "hookimpl",
    "process",
    "run_commit",
    "save_root",
]


def __getattr__(name: str) -> Any:
    if name == "process":
        return importlib.import_module("runcommit_core.process")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"runcommit_core.{_HOME[name]}"), name)
