"""Which stores a job uses: the user's own, and one that is shared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from runcommit_core.cache.store import Store

Mode = Literal["always", "hermetic", "off"]
MODE_VARIABLE: Final = "RUNCOMMIT_CACHE"
STORE_VARIABLE: Final = "RUNCOMMIT_CACHE_STORE"
_REGISTRY = "oci://"


def cache_mode(wanted: str | None) -> Mode:
    """The mode that was asked for, else the variable's, else ``hermetic``.

    Raises UsageError: there is no such mode
    """
    mode = wanted or os.environ.get(MODE_VARIABLE) or "hermetic"
    if mode not in get_args(Mode):
        raise UsageError(f"there is no cache mode {mode!r}; there are {', '.join(get_args(Mode))}")
    return cast("Mode", mode)


def stores(shared: str | os.PathLike[str] | None) -> list[Store]:
    """The user's own store, and the shared one of the argument or else of the variable.

    Raises UsageError: the reference of a registry makes no sense
    """
    reference = os.fspath(shared) if shared else os.environ.get(STORE_VARIABLE, "")
    from runcommit_core.cache.store import own_store

    own: Store = own_store()
    return [own, shared_store(reference)] if reference else [own]


def shared_store(reference: str) -> Store:
    """``oci://HOST[:PORT]/REPOSITORY``, or a directory."""
    if reference.startswith(_REGISTRY):
        from runcommit_core.cache.registry import RegistryStore

        return RegistryStore(reference)
    if "://" in reference:
        raise UsageError(
            f"a shared cache is no {reference}", tip="it is a directory or oci://HOST/REPOSITORY"
        )
    from runcommit_core.cache.store import DirectoryStore

    return DirectoryStore(Path(reference))
