"""The plugins of one job: the installed ones, those asked for, without those that are blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runcommit_core.errors import UsageError
from runcommit_core.plugins.distributions import may_have

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.metadata import EntryPoint

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Layers
    from runcommit_core.plugins.loading import Plugin
    from runcommit_core.steps.stopwatch import Stopwatch

GROUP = "runcommit.plugins"


def chosen_plugins(asked: Iterable[object] = ()) -> tuple[Plugin, ...]:
    """The installed plugins by name, then those ``asked`` for: names, modules or objects.

    A name behind ``no:`` is left out, unless it is asked for later.  One object takes part once.

    Raises UsageError: no plugin has this name, two have, or it cannot be imported
    Raises BackendContractError: a plugin has a wrong hook, or none
    """
    asked = tuple(asked)
    installed = installed_points()
    if not asked and not installed:
        return ()
    from runcommit_core.plugins.loading import plugin_of

    words = [item for item in asked if isinstance(item, str)]
    wanted = _last_words(words)
    names = [name for name in installed if wanted.get(name, True)]
    names += [name for name, takes_part in wanted.items() if takes_part and name not in installed]
    plugins: dict[int, Plugin] = {}
    for name in names:
        plugin = _named(name, installed)
        plugins.setdefault(id(plugin.object), plugin)
    for item in asked:
        if not isinstance(item, str):
            plugins.setdefault(id(item), plugin_of("", "", item))
    return tuple(plugins.values())


def installed_points() -> dict[str, list[EntryPoint]]:
    """The entry points of installed plugins, by name; more than one is a mistake."""
    if not may_have(GROUP):
        return {}
    from importlib.metadata import entry_points

    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        points.setdefault(point.name, []).append(point)
    return dict(sorted(points.items()))


def check_result(plugins: Sequence[Plugin], watch: Stopwatch, job: Job, layers: Layers) -> None:
    """Let the plugins look at the new layers, wherever these are from, before they are published.

    Raises whatever a plugin refuses them with.
    """
    if any("check" in plugin.hooks for plugin in plugins):
        from runcommit_core.plugins.loading import manager_of

        hooks: Any = manager_of([plugin.object for plugin in plugins]).hook
        watch.step("check", list, hooks.check, job=job, layers=layers)


def _last_words(words: Iterable[str]) -> dict[str, bool]:
    """Each name and whether it is to take part, in the order in which they were last said."""
    from runcommit_core.plugins.loading import BLOCKS

    said: dict[str, bool] = {}
    for word in words:
        name = word.removeprefix(BLOCKS)
        if not name:
            raise UsageError(f"no plugin can be called {word!r}")
        said.pop(name, None)
        said[name] = name == word
    return said


def _named(name: str, installed: dict[str, list[EntryPoint]]) -> Plugin:
    from importlib.util import find_spec

    from runcommit_core.plugins.loading import load_module, load_point

    if name in installed:
        return load_point(installed[name])
    if "." in name or ":" in name or find_spec(name):
        return load_module(name, "", name)
    names = ", ".join(sorted(installed)) or "none"
    raise UsageError(
        f"no plugin is called {name!r}; installed: {names}",
        tip="`runcommit plugins` lists them; a module can be named as package.module[:object]",
    )
