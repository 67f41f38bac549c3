"""Whether a job may use the cache of results, by what is known from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.cache.shared import cache_mode
from runcommit_core.records import record

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from runcommit_core.cache.shared import Mode
    from runcommit_core.plugins.loading import Plugin


@record(kw_only=True)
class Caching:
    """``takes`` tells whether a result may come from a store at all, ``shared`` names the other."""

    mode: Mode
    takes: bool
    shared: str | os.PathLike[str] | None


def caching_of(
    mode: str | None,
    shared: str | os.PathLike[str] | None,
    plugins: Sequence[Plugin],
    network: str | None,
    *,
    runs_twice: bool,
) -> Caching:
    """Decide whether a result may be taken instead of a run.

    Plugins may change any step, unless they only check or say that they observe, and a job that is
    run twice is to be run: neither uses the cache.

    Raises UsageError: there is no such mode
    """
    wanted = cache_mode(mode)
    usable = wanted == "always" or (wanted == "hermetic" and network == "none")
    unchanged = all(plugin.leaves_cache for plugin in plugins)
    return Caching(mode=wanted, takes=usable and not runs_twice and unchanged, shared=shared)
