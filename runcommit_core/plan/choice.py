"""The backend of one job: chosen at once, or not before a step needs it.

What ``auto`` stands for only engines can say, and a job whose result is in the cache asks none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from runcommit_core.engine.background import Background
from runcommit_core.plugins.builtin import BUILT_IN, GROUP
from runcommit_core.plugins.distributions import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.values import EngineInfo, EngineOptions
    from runcommit_core.plugins.loading import Plugin


class Choice:
    """A backend by name, as an object or as ``auto``; ``late`` leaves it open where it can.

    Raises what ``choose_backend`` and ``pipeline`` raise, here or when it is settled.
    """

    def __init__(
        self,
        wanted: str | object,
        engine: EngineOptions,
        plugins: Iterable[Plugin],
        *,
        late: bool,
    ) -> None:
        self._wanted = wanted
        self._engine = engine
        self._plugins = tuple(plugins)
        self._chosen: tuple[str, Pipeline] | None = None
        self._asked: Background[EngineInfo] | None = None
        self.late = late and _makes_sense(wanted)
        if not self.late:
            self.settle()

    @property
    def name(self) -> str:
        """The backend's name, ``auto`` while that is open."""
        return str(self._wanted) if self.late else self.settle()[0]

    @property
    def steps(self) -> Pipeline:
        """The pipeline, which is put together when the first of its steps is called."""
        return cast("Pipeline", _Later(lambda: self.settle()[1])) if self.late else self.settle()[1]

    def settle(self) -> tuple[str, Pipeline]:
        """Name and pipeline of the backend, chosen now at the latest."""
        if self._chosen is None:
            self._chosen = self._choose()
            self.late = False
        return self._chosen

    def ask(self) -> None:
        """Let the engine describe itself while it works; once."""
        self._asked = self._asked or Background(self._describe)

    def describe(self) -> EngineInfo:
        """What the engine says of itself: what it was asked before, or now."""
        return self._asked.result() if self._asked else self._describe()

    @property
    def version(self) -> str:
        """The engine's version if it was asked, else nothing."""
        return self._asked.result().version if self._asked else ""

    def _describe(self) -> EngineInfo:
        from runcommit_core.plugins.backends import described

        name, steps = self.settle()
        return described(steps, name, self._engine)

    def _choose(self) -> tuple[str, Pipeline]:
        from runcommit_core.plugins.backends import choose_backend, pipeline

        name, chosen = choose_backend(self._wanted, self._engine)
        return name, pipeline(chosen, name, self._plugins)


def _makes_sense(wanted: str | object) -> bool:
    """Whether there is such a backend, as far as names tell: nothing is imported."""
    if not isinstance(wanted, str):
        return False
    return wanted == "auto" or wanted in BUILT_IN or wanted in names(GROUP)


class _Later:
    """Stands for a pipeline that is put together when it is first looked into."""

    def __init__(self, find: Callable[[], Pipeline]) -> None:
        self._find = find

    def __getattr__(self, step: str) -> Any:
        return getattr(self._find(), step)
