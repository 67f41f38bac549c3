"""A plugin, from where it lies to an object whose hooks are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from runcommit_core.errors import BackendContractError, UsageError
from runcommit_core.interface.hookspecs import PROJECT, Pipeline
from runcommit_core.plugins.importing import imported
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.metadata import EntryPoint

BLOCKS = "no:"
"""What stands before the name of a plugin that is to be left out."""


@record
class Plugin:
    """A plugin with the names of its ``hooks``; ``name`` is empty for an object of the caller's.

    ``distribution``, with its version, is empty unless it is an installed one.
    """

    name: str
    distribution: str
    object: object
    hooks: frozenset[str]

    def __str__(self) -> str:
        origin = f" ({self.distribution})" if self.distribution else ""
        return (self.name or type(self.object).__name__) + origin

    @property
    def leaves_cache(self) -> bool:
        """Whether a result may come from the cache: it only checks, or says that it observes.

        What only checks is called for such a result as well.
        """
        observes = getattr(self.object, "runcommit_observer", False) is True
        return observes or self.hooks == {"check"}


def load_point(points: Sequence[EntryPoint]) -> Plugin:
    """The plugin behind the entry points of one name.

    Raises what ``chosen_plugins`` raises.
    """
    name = points[0].name
    if len(points) > 1:
        owners = " and ".join(distribution_of(point) for point in points)
        raise UsageError(
            f"two installed plugins are called {name!r}, from {owners}",
            tip=f"uninstall one, or leave both out with -p {BLOCKS}{name}",
        )
    return load_module(name, distribution_of(points[0]), points[0].value)


def distribution_of(point: EntryPoint) -> str:
    """Name and version of the distribution that brings it."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "?"


def load_module(name: str, distribution: str, target: str) -> Plugin:
    """The plugin at ``target``, which is ``module[:object]``.

    Raises UsageError: it cannot be imported
    Raises BackendContractError: it has a wrong hook, or none
    """
    try:
        module = imported(target)
    except Exception as error:
        raise UsageError(
            f"plugin {_told(name, distribution)} cannot be imported: "
            f"{type(error).__name__}: {error}",
            tip=_tip(name, distribution),
        ) from error
    plugin = plugin_of(name, distribution, module)
    if not plugin.hooks:
        raise BackendContractError(
            f"plugin {_told(name, distribution)} has no hook",
            tip="mark a function named like a hook with runcommit_core.hookimpl",
        )
    return plugin


def plugin_of(name: str, distribution: str, loaded: object) -> Plugin:
    """The plugin that an object is.

    Raises BackendContractError: it has a wrong hook
    """
    try:
        manager = manager_of([loaded])
    except (pluggy.PluginValidationError, ValueError) as error:
        told = _told(name or type(loaded).__name__, distribution)
        raise BackendContractError(
            f"plugin {told} has a wrong hook: {error}", tip=_tip(name, distribution)
        ) from error
    callers = manager.get_hookcallers(loaded) or ()
    return Plugin(name, distribution, loaded, frozenset(caller.name for caller in callers))


def manager_of(plugins: Iterable[object]) -> pluggy.PluginManager:
    """The hooks of these plugins and of no backend; what pluggy raises for a wrong one."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Pipeline)
    for plugin in plugins:
        manager.register(plugin)
    manager.check_pending()
    return manager


def _told(name: str, distribution: str) -> str:
    return f"{name!r} of {distribution}" if distribution else repr(name)


def _tip(name: str, distribution: str) -> str:
    if not distribution:
        return ""
    return f"do without it: -p {BLOCKS}{name}; or uninstall {distribution.rpartition(' ')[0]}"
