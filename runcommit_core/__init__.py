"""Run commands on a base container image and get exactly the new layer, from any engine.

These names are the public interface, for callers (``run_commit``) and for the authors of
backends and plugins (all the others).  They are imported when they are first used, because the
command line must answer ``--help`` at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runcommit_core.api import Extracted, run_commit, run_extract
    from runcommit_core.cachedir import cache_dir
    from runcommit_core.engine import forks, images, overlays, process, services
    from runcommit_core.engine.apart import isolated
    from runcommit_core.engine.client import Client
    from runcommit_core.engine.copies import forget_copy, found_copy, recalled_copy
    from runcommit_core.engine.saveroot import save_root
    from runcommit_core.engine.saveupper import save_upper
    from runcommit_core.engine.settling import settled, without_a_trace
    from runcommit_core.engine.transport import Transport
    from runcommit_core.engine.unpacking import unpack_base, unpack_layer
    from runcommit_core.errors import (
        ArchiveError,
        BackendContractError,
        CommandError,
        CommandTimeoutError,
        EngineError,
        PolicyError,
        ReproducibilityError,
        RuncommitError,
        UnknownBackendError,
        UsageError,
    )
    from runcommit_core.explanation.explain import explain
    from runcommit_core.explanation.model import Explanation, PlannedCommand
    from runcommit_core.files.identity import Identity, identity_of, run_environment
    from runcommit_core.files.reading import list_files, read_files
    from runcommit_core.housekeeping import inventory, roots
    from runcommit_core.housekeeping.orphans import await_orphans, end_orphans, made_by
    from runcommit_core.interface.access import Access
    from runcommit_core.interface.engineflags import flag_values
    from runcommit_core.interface.findings import (
        Finding,
        overlay_finding,
        place_finding,
        space_finding,
        version_finding,
    )
    from runcommit_core.interface.hookspecs import Backend, hookimpl
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.place import Place, place_at
    from runcommit_core.interface.values import (
        Container,
        EngineInfo,
        EngineOptions,
        Entry,
        Image,
        Lack,
        Layer,
        Layers,
        Leftover,
        Mount,
        RawLayer,
        Result,
        RunOptions,
        SavedImage,
    )
    from runcommit_core.surroundings import containers
    from runcommit_core.surroundings.amounts import parse_size
    from runcommit_core.surroundings.capabilities import added_capabilities
    from runcommit_core.surroundings.elsewhere import mounts_elsewhere
    from runcommit_core.surroundings.emulation import check_emulation
    from runcommit_core.surroundings.limits import rootless_limits
    from runcommit_core.surroundings.variables import (
        PUBLIC_VARIABLES,
        client_environment,
        variable_stand_ins,
        variable_words,
    )

_HOMES = {
    "api": ("Extracted", "run_commit", "run_extract"),
    "cachedir": ("cache_dir",),
    "engine.apart": ("isolated",),
    "engine.client": ("Client",),
    "engine.copies": ("forget_copy", "found_copy", "recalled_copy"),
    "interface.engineflags": ("flag_values",),
    "interface.findings": (
        "Finding",
        "overlay_finding",
        "place_finding",
        "space_finding",
        "version_finding",
    ),
    "errors": (
        "ArchiveError",
        "BackendContractError",
        "CommandError",
        "CommandTimeoutError",
        "EngineError",
        "PolicyError",
        "ReproducibilityError",
        "RuncommitError",
        "UnknownBackendError",
        "UsageError",
    ),
    "engine.unpacking": ("unpack_base", "unpack_layer"),
    "files.identity": ("Identity", "identity_of", "run_environment"),
    "files.reading": ("list_files", "read_files"),
    "explanation.explain": ("explain",),
    "explanation.model": ("Explanation", "PlannedCommand"),
    "interface.hookspecs": ("Backend", "hookimpl"),
    "engine.saveroot": ("save_root",),
    "engine.saveupper": ("save_upper",),
    "engine.settling": ("settled", "without_a_trace"),
    "interface.job": ("Job",),
    "interface.values": (
        "Container",
        "EngineInfo",
        "EngineOptions",
        "Entry",
        "Image",
        "Lack",
        "Layer",
        "Layers",
        "Leftover",
        "Mount",
        "RawLayer",
        "Result",
        "RunOptions",
        "SavedImage",
    ),
    "housekeeping.orphans": ("await_orphans", "end_orphans", "made_by"),
    "interface.place": ("Place", "place_at"),
    "interface.access": ("Access",),
    "surroundings.amounts": ("parse_size",),
    "surroundings.capabilities": ("added_capabilities",),
    "surroundings.emulation": ("check_emulation",),
    "surroundings.elsewhere": ("mounts_elsewhere",),
    "surroundings.limits": ("rootless_limits",),
    "surroundings.variables": (
        "PUBLIC_VARIABLES",
        "client_environment",
        "scratch_environment",
        "variable_stand_ins",
        "variable_words",
    ),
    "engine.transport": ("Transport",),
}
_MODULES = {
    "containers": "surroundings.containers",
    "forks": "engine.forks",
    "images": "engine.images",
    "inventory": "housekeeping.inventory",
    "overlays": "engine.overlays",
    "process": "engine.process",
    "roots": "housekeeping.roots",
    "services": "engine.services",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "PUBLIC_VARIABLES",
    "Access",
    "ArchiveError",
    "Backend",
    "BackendContractError",
    "Client",
    "CommandError",
    "CommandTimeoutError",
    "Container",
    "EngineError",
    "EngineInfo",
    "EngineOptions",
    "Entry",
    "Explanation",
    "Extracted",
    "Finding",
    "Identity",
    "Image",
    "Job",
    "Lack",
    "Layer",
    "Layers",
    "Leftover",
    "Mount",
    "Place",
    "PlannedCommand",
    "PolicyError",
    "RawLayer",
    "ReproducibilityError",
    "Result",
    "RunOptions",
    "RuncommitError",
    "SavedImage",
    "Transport",
    "UnknownBackendError",
    "UsageError",
    "added_capabilities",
    "await_orphans",
    "cache_dir",
    "check_emulation",
    "client_environment",
    "containers",
    "end_orphans",
    "explain",
    "flag_values",
    "forget_copy",
    "forks",
    "found_copy",
    "hookimpl",
    "identity_of",
    "images",
    "inventory",
    "isolated",
    "list_files",
    "made_by",
    "mounts_elsewhere",
    "overlay_finding",
    "overlays",
    "parse_size",
    "place_at",
    "place_finding",
    "process",
    "read_files",
    "recalled_copy",
    "rootless_limits",
    "roots",
    "run_commit",
    "run_environment",
    "run_extract",
    "save_root",
    "save_upper",
    "scratch_environment",
    "services",
    "settled",
    "space_finding",
    "unpack_base",
    "unpack_layer",
    "variable_stand_ins",
    "variable_words",
    "version_finding",
    "without_a_trace",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"runcommit_core.{_MODULES[name]}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"runcommit_core.{_HOME[name]}"), name)
