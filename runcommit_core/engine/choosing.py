"""The variables of the environment that choose an engine, or what of it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_GENERAL = (
    *("HOME", "PATH", "TMPDIR"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
    *("CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE", "CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE"),
    *("CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS"),
)
"""What several engines look at."""

_LIKELY = re.compile(
    r"[A-Z0-9_]+_(ADDRESS|API_VERSION|CERT_PATH|CONF|CONFIG|CONNECTION|CONTEXT|HOST|ISOLATION"
    r"|NAMESPACE|SSHKEY|TLS_VERIFY)"
)
"""What engines look at of which nobody said."""

_brought: dict[str, tuple[str, ...]] = {}
"""By backend; a colon at the end tells that it is one to import."""


def note_variables(backend: str, names: Iterable[str]) -> None:
    """Keep what a backend's engine looks at besides."""
    _brought[backend.removesuffix(":")] = tuple(names)


def selecting(backend: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The words of the environment that choose the engine of that backend.

    Where the backend says nothing, or has not been loaded, those are taken that likely do.
    """
    likely = filter(_LIKELY.fullmatch, environment)
    names = (*_GENERAL, *_brought.get(backend.removesuffix(":"), likely))
    return {name: environment[name] for name in names if name in environment}
