"""Finding backends and putting a pipeline together: core, one backend, plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pluggy

from runcommit_core.errors import BackendContractError, UnknownBackendError
from runcommit_core.interface.hookspecs import PROJECT, REQUIRED_STEPS, Pipeline
from runcommit_core.interface.values import EngineInfo, EngineOptions
from runcommit_core.plugins.brought import LAST, note_brought, priority_of
from runcommit_core.plugins.builtin import BUILT_IN, ENGINES, FALLBACK, GROUP
from runcommit_core.plugins.distributions import sole
from runcommit_core.plugins.importing import imported
from runcommit_core.records import record
from runcommit_core.steps import core as core_steps
from runcommit_core.version import is_installed, version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

    from runcommit_core.plugins.loading import Plugin


@record
class Installed:
    """A backend that some distribution brings."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint


def installed() -> list[Installed]:
    """The installed backends, in the order of ``auto``."""
    from importlib.metadata import entry_points

    backends = [
        Installed(
            point.name,
            point.dist.name if point.dist else "?",
            point.dist.version if point.dist else "?",
            point,
        )
        for point in entry_points(group=GROUP)
    ]
    if not is_installed():
        backends += _unpacked()
    return sorted(backends, key=lambda item: (_rank(item), item.name, item.distribution))


def _unpacked() -> list[Installed]:
    """The built-in backends of a runcommit that runs from its sources, without entry points."""
    from importlib.metadata import EntryPoint
    from importlib.util import find_spec

    return [
        Installed(name, "runcommit", version(), EntryPoint(name, module, GROUP))
        for name in BUILT_IN
        if find_spec(module := f"runcommit_{name.replace('-', '_')}")
    ]


def named(name: str) -> Installed:
    """A backend that is not installed under a name: ``package.module[:object]``."""
    from importlib.metadata import EntryPoint

    return Installed(name, "-", "-", EntryPoint(name, name, GROUP))


def find_backend(name: str) -> object:
    """The backend called ``name``: an installed one, or ``package.module[:object]``.

    Raises UnknownBackendError when there is none, several, or it cannot be imported.
    """
    if target := sole(GROUP).get(name):
        return _imported(name, target)
    matches = [item for item in installed() if item.name == name]
    if len(matches) > 1:
        owners = " and ".join(f"{item.distribution} {item.version}" for item in matches)
        raise UnknownBackendError(
            f"two installed backends are called {name!r}, from {owners}", tip="uninstall one"
        )
    if matches:
        return _imported(name, matches[0].entry_point.value)
    if "." in name or ":" in name:
        return _imported(name, name)
    names = ", ".join(sorted({item.name for item in installed()})) or "none"
    raise UnknownBackendError(
        f"no backend is called {name!r}; installed: {names}",
        tip="`runcommit backends` lists them; a module can be named as package.module[:object]",
    )


def pipeline(backend: object, name: str, plugins: Iterable[Plugin] = ()) -> Pipeline:
    """The steps of one job: the core's, those of exactly one backend, and what plugins wrap.

    Raises BackendContractError for a misspelt hook, a wrong argument or a missing step.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Pipeline)
    manager.register(core_steps, "runcommit's own")
    try:
        manager.register(backend, name)
        for plugin in plugins:
            manager.register(plugin.object, str(plugin) if plugin.name else None)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise BackendContractError(f"backend or plugin with a wrong hook: {error}") from error
    implemented = {caller.name for caller in manager.get_hookcallers(backend) or ()}
    if missing := [step for step in REQUIRED_STEPS if step not in implemented]:
        raise BackendContractError(
            f"backend {name!r} does not implement {', '.join(missing)}",
            tip="mark a function of that name with runcommit_core.hookimpl",
        )
    note_brought(backend, name)
    return cast("Pipeline", manager.hook)


def implements(steps: Pipeline, step: str) -> bool:
    """Whether a backend or plugin has this optional step, and not only the core's refusal."""
    implementations = getattr(steps, step).get_hookimpls()
    return any(each.plugin is not core_steps for each in implementations)


def provides(steps: Pipeline, step: str) -> bool:
    """Whether the backend of this pipeline, or a plugin, implements an optional step."""
    return bool(getattr(steps, step).get_hookimpls())


def choose_backend(wanted: str | object, engine: EngineOptions) -> tuple[str, object]:
    """The name and the object of a backend given by name, as an object, or as ``auto``."""
    if not isinstance(wanted, str):
        return str(getattr(wanted, "__name__", type(wanted).__name__)), wanted
    name = _first_usable(engine) if wanted == "auto" else wanted
    return name, find_backend(name)


def _first_usable(engine: EngineOptions) -> str:
    """What ``auto`` stands for here: the first backend whose engine can be used.

    Raises UnknownBackendError with every engine's reason when there is none.
    """
    problems = []
    for item in installed():
        info = describe(item.name, engine)
        if not info.problem:
            return item.name
        problems.append(f"  {item.name}: {info.problem}")
    raise UnknownBackendError(
        "\n".join(["no backend can be used:", *problems]),
        tip=f"install {ENGINES}, or start the daemon",
    )


def describe(name: str, engine: EngineOptions) -> EngineInfo:
    """What the named backend says of its engine; ``problem`` tells also of a broken backend."""
    try:
        return described(pipeline(find_backend(name), name), name, engine)
    except (UnknownBackendError, BackendContractError) as error:
        return EngineInfo(name=name, problem=str(error))


def described(steps: Pipeline, name: str, engine: EngineOptions) -> EngineInfo:
    """The backend's answer to ``describe``; BackendContractError when it is none."""
    try:
        info: object = steps.describe(engine=engine)
    except Exception as error:
        raise BackendContractError(
            f"backend {name!r} raised {type(error).__name__} in describe: {error}"
        ) from error
    if not isinstance(info, EngineInfo):
        raise BackendContractError(
            f"describe of backend {name!r} returned a {type(info).__name__}, "
            "it must return runcommit_core.EngineInfo"
        )
    return info


def _imported(name: str, target: str) -> object:
    try:
        return imported(target)
    except Exception as error:
        raise UnknownBackendError(f"backend {name!r} cannot be imported: {error}") from error


def _rank(item: Installed) -> tuple[float, int]:
    """What we bring is known without a look at it; another may want to be tried before that."""
    if item.name == FALLBACK:
        return LAST, len(BUILT_IN) + 1
    if item.name in BUILT_IN:
        return 0, BUILT_IN.index(item.name)
    try:
        return priority_of(_imported(item.name, item.entry_point.value)), len(BUILT_IN)
    except UnknownBackendError:
        return LAST, len(BUILT_IN)
