"""The plugins of one job: the installed ones, those asked for, without those that are blocked."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runcommit_core.distributions import may_have
from runcommit_core.errors import BackendContractError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.metadata import EntryPoint

    from pluggy import PluginManager

    from runcommit_core.model import Job, Layers
    from runcommit_core.steps import Stopwatch

GROUP = "runcommit.plugins"

_BLOCKS = "no:"


class Alone:
    """A plugin beside which no other takes part in the job."""


@dataclass(frozen=True, slots=True)
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


def chosen_plugins(asked: Iterable[object] = ()) -> tuple[Plugin, ...]:
    """The installed plugins by name, then those ``asked`` for: names, modules or objects.

    A name behind ``no:`` is left out, unless it is asked for later.  One object takes part once.

    :raises UsageError: no plugin has this name, two have, or it cannot be imported
    :raises BackendContractError: a plugin has a wrong hook, or none
    """
    asked = tuple(asked)
    if alone := [item for item in asked if isinstance(item, Alone)]:
        return tuple(_plugin("", "", item) for item in alone)
    words = [item for item in asked if isinstance(item, str)]
    wanted = _last_words(words)
    installed = installed_points()
    names = [name for name in installed if wanted.get(name, True)]
    names += [name for name, takes_part in wanted.items() if takes_part and name not in installed]
    found: dict[int, Plugin] = {}
    for name in names:
        plugin = _named(name, installed)
        found.setdefault(id(plugin.object), plugin)
    for item in asked:
        if not isinstance(item, str):
            found.setdefault(id(item), _plugin("", "", item))
    return tuple(found.values())


def installed_points() -> dict[str, list[EntryPoint]]:
    """The entry points of installed plugins, by name; more than one is a mistake."""
    if not may_have(GROUP):
        return {}
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return dict(sorted(found.items()))


def load_point(points: Sequence[EntryPoint]) -> Plugin:
    """The plugin behind the entry points of one name.

    Raises what :func:`chosen_plugins` raises.
    """
    name = points[0].name
    if len(points) > 1:
        owners = " and ".join(distribution_of(point) for point in points)
        raise UsageError(
            f"two installed plugins are called {name!r}, from {owners}",
            tip=f"uninstall one, or leave both out with -p {_BLOCKS}{name}",
        )
    return _imported(name, distribution_of(points[0]), points[0].value)


def distribution_of(point: EntryPoint) -> str:
    """Name and version of the distribution that brings it."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "?"


def check_result(plugins: Sequence[Plugin], watch: Stopwatch, job: Job, layers: Layers) -> None:
    """Let the plugins look at the new layers, wherever these are from, before they are published.

    Raises whatever a plugin refuses them with.
    """
    if any("check" in plugin.hooks for plugin in plugins):
        hooks: Any = _manager([plugin.object for plugin in plugins]).hook
        watch.step("check", list, hooks.check, job=job, layers=layers)


def _last_words(words: Iterable[str]) -> dict[str, bool]:
    """Each name and whether it is to take part, in the order in which they were last said."""
    said: dict[str, bool] = {}
    for word in words:
        name = word.removeprefix(_BLOCKS)
        if not name:
            raise UsageError(f"no plugin can be called {word!r}")
        said.pop(name, None)
        said[name] = name == word
    return said


def _named(name: str, installed: dict[str, list[EntryPoint]]) -> Plugin:
    if name in installed:
        return load_point(installed[name])
    if "." in name or ":" in name or importlib.util.find_spec(name):
        return _imported(name, "", name)
    names = ", ".join(sorted(installed)) or "none"
    raise UsageError(
        f"no plugin is called {name!r}; installed: {names}",
        tip="`runcommit plugins` lists them; a module can be named as package.module[:object]",
    )


def _imported(name: str, distribution: str, target: str) -> Plugin:
    module_name, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except Exception as error:
        raise UsageError(
            f"plugin {_told(name, distribution)} cannot be imported: "
            f"{type(error).__name__}: {error}",
            tip=_tip(name, distribution),
        ) from error
    plugin = _plugin(name, distribution, found)
    if not plugin.hooks:
        raise BackendContractError(
            f"plugin {_told(name, distribution)} has no hook",
            tip="mark a function named like a hook with runcommit_core.hookimpl",
        )
    return plugin


def _plugin(name: str, distribution: str, found: object) -> Plugin:
    from pluggy import PluginValidationError

    try:
        manager = _manager([found])
    except (PluginValidationError, ValueError) as error:
        told = _told(name or type(found).__name__, distribution)
        raise BackendContractError(
            f"plugin {told} has a wrong hook: {error}", tip=_tip(name, distribution)
        ) from error
    callers = manager.get_hookcallers(found) or ()
    return Plugin(name, distribution, found, frozenset(caller.name for caller in callers))


def _manager(plugins: Iterable[object]) -> PluginManager:
    import pluggy

    from runcommit_core.hookspecs import PROJECT, Pipeline

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
    return f"do without it: -p {_BLOCKS}{name}; or uninstall {distribution.rpartition(' ')[0]}"
