"""``explain``: what ``run_commit`` would do with the same arguments."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from runcommit_core.explanation.facts import epoch_is_known, facts
from runcommit_core.explanation.model import EPOCH, Explanation
from runcommit_core.explanation.rehearsal import (
    Recorder,
    rehearse,
    rehearse_read,
    rehearse_resolve,
)
from runcommit_core.explanation.unknown import UNKNOWN_LAYER, unknown_config
from runcommit_core.interface.hookspecs import hookimpl
from runcommit_core.interface.values import EngineOptions, Image, Lack, SavedImage
from runcommit_core.plugins.backends import choose_backend, described, pipeline
from runcommit_core.plugins.capabilities import refuse
from runcommit_core.plugins.chosen import Alone, chosen_plugins
from runcommit_core.request.epoch import VARIABLE

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import NoReturn

    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import EngineInfo


def explain(base: str | os.PathLike[str], *args: Any, **options: Any) -> Explanation:
    """Tell what ``run_commit`` would do with these arguments, and do none of it.

    Everything is checked as for a run: the base is opened, the commands are read.  The engine is
    asked who it is, no more, and may be unusable where ``backend`` names it.  Raises what
    ``run_commit`` raises before it starts, and UsageError for a backend that cannot be rehearsed.
    """
    from runcommit_core.api import run_commit

    engine = EngineOptions(
        path=options.get("engine_path"), flags=tuple(options.get("engine_flags", ()))
    )
    options["plugins"] = chosen_plugins(options.get("plugins", ()))
    name, backend = choose_backend(options.get("backend", "auto"), engine)
    steps = pipeline(backend, name)
    refuse(steps, name, engine, ["explain"])
    guest = _Guest(steps, described(steps, name, engine), options)
    asked = {**options, "backend": backend, "metadata": None, "provenance": None}
    asked["plugins"] = [guest]
    try:
        run_commit(base, *args, **asked)
    except _ExplainedError as explained:
        return dataclasses.replace(explained.explanation, backend=name)
    raise AssertionError("the job went past its first step")


class _ExplainedError(BaseException):
    """Ends a job before its first step; no RuncommitError, so that nobody handles it."""

    def __init__(self, explanation: Explanation) -> None:
        super().__init__()
        self.explanation = explanation


class _Guest(Alone):
    """A plugin that comes before the first step, rehearses all of them and ends the job.

    ``run_commit`` itself has made the job by then, so it is the one that would run.
    """

    def __init__(self, steps: Pipeline, engine: EngineInfo, options: Mapping[str, Any]) -> None:
        self._steps = steps
        self._engine = engine
        self._options = options
        self._recorder: Recorder | None = None

    @hookimpl(tryfirst=True)
    def lacks(self) -> list[Lack]:
        """Leave it to the rehearsal, which asks the engine on paper alone."""
        return []

    @hookimpl(tryfirst=True)
    def resolve(self, job: Job, reference: str) -> Image:
        """Stand for an image that only the engine has, and which it is not asked for."""
        self._recorder = Recorder(self._steps, self._engine, job.folder)
        found = rehearse_resolve(self._steps, self._recorder, job, reference)
        rehearse_read(self._steps, self._recorder, job, found)
        return Image(found.name)

    @hookimpl(tryfirst=True)
    def save(self) -> SavedImage:
        """Stand for the reading of that image."""
        return SavedImage(unknown_config(), (UNKNOWN_LAYER,), ())

    @hookimpl(tryfirst=True)
    def load(self, job: Job) -> NoReturn:
        recorder = self._recorder or Recorder(self._steps, self._engine, job.folder)
        transport = rehearse(
            self._steps,
            recorder,
            self._with_its_epoch(job),
            verified=bool(self._options.get("verify")),
            result=self._options.get("load"),
        )
        raise _ExplainedError(
            Explanation(
                backend="",
                engine=self._engine,
                base=job.base.name,
                commands=tuple(recorder.commands),
                facts=facts(job, self._options, transport),
            )
        )

    def _with_its_epoch(self, job: Job) -> Job:
        if epoch_is_known(job, self._options):
            return job
        env = {**job.run.env, VARIABLE: EPOCH}
        return dataclasses.replace(job, run=dataclasses.replace(job.run, env=env))
