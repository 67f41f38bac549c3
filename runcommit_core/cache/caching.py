"""Whether and how a job uses the cache of results; decided before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.cache.shared import cache_mode, stores
from runcommit_core.records import record

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from runcommit_core.cache.shared import Mode
    from runcommit_core.cache.steps import CachedSteps, Outcome, RunSteps
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import EngineInfo, Layers
    from runcommit_core.plan.choice import Choice
    from runcommit_core.plugins.loading import Plugin
    from runcommit_core.request.commands import Commands


@record
class Caching:
    """``takes`` tells whether a result may come from a store at all."""

    mode: Mode
    takes: bool
    shared: str | os.PathLike[str] | None

    def around(
        self, run_steps: RunSteps, choice: Choice, begin: Callable[[], None], *, reads: bool
    ) -> Around:
        """The steps of a job with the cache around them; ``begin`` is called before they run."""
        return Around(self, run_steps, choice, begin, reads=reads)


def caching_of(
    mode: str | None,
    shared: str | os.PathLike[str] | None,
    plugins: Sequence[Plugin],
    network: str | None,
    *,
    rereads: bool,
) -> Caching:
    """Decide by what is known from the start.

    Plugins may change any step, unless they only check or say that they observe, and a job that is
    run twice is to be run: neither uses the cache.

    :raises UsageError: there is no such mode
    """
    wanted = cache_mode(mode)
    usable = wanted == "always" or (wanted == "hermetic" and network == "none")
    unchanged = all(plugin.leaves_cache for plugin in plugins)
    return Caching(wanted, usable and not rereads and unchanged, shared)


class Around:
    """Runs a job's steps through the cache, and tells of the outcome."""

    def __init__(
        self,
        caching: Caching,
        run_steps: RunSteps,
        choice: Choice,
        begin: Callable[[], None],
        *,
        reads: bool,
    ) -> None:
        self._choice = choice
        self._run_steps = run_steps
        self._begin = begin
        self._began = False
        self._steps: CachedSteps | None = None
        if caching.takes:
            from runcommit_core.cache.steps import CachedSteps

            self._steps = CachedSteps(
                self._really,
                stores(caching.shared),
                hermetic=caching.mode == "hermetic",
                reads=reads,
                backend=lambda: choice.settle()[0],
                facts=lambda: {"backend": choice.name, "version": choice.version},
            )

    def __call__(self, job: Job, todo: Commands) -> Layers:
        """The new layers of a job."""
        return (self._steps or self._really)(job, todo)

    @property
    def outcome(self) -> Outcome:
        """What came of asking the cache."""
        return self._steps.outcome if self._steps else "off"

    @property
    def backend(self) -> str:
        """The backend that made the result, now or then."""
        return self._then.name if self._then else self._choice.name

    @property
    def seconds(self) -> Mapping[str, float]:
        """What taking the result out of the cache took, where that was all."""
        return {"cache": self._steps.seconds} if self._steps and self._then else {}

    def describe(self) -> EngineInfo:
        """The engine that made the result, as it is now or as far as it was known then."""
        return self._then or self._choice.describe()

    @property
    def _then(self) -> EngineInfo | None:
        if self._steps is None or self._steps.outcome != "hit" or self._steps.entry is None:
            return None
        from runcommit_core.interface.values import EngineInfo

        entry = self._steps.entry
        return EngineInfo(name=entry.backend, version=entry.version)

    def _really(self, job: Job, todo: Commands) -> Layers:
        if not self._began:
            self._began = True
            self._begin()
        return self._run_steps(job, todo)
