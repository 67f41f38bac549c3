"""``explain``: plan what ``run_commit`` would do with the same arguments, then tell."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from runcommit_core.explanation.facts import epoch_is_known, facts
from runcommit_core.explanation.model import EPOCH, Explanation
from runcommit_core.explanation.rehearsal import Recorder, read_on_paper, rehearse
from runcommit_core.interface.progress import ignore
from runcommit_core.interface.values import EPOCH_VARIABLE
from runcommit_core.plan.plan import plan
from runcommit_core.plugins.backends import choose_backend, described, pipeline
from runcommit_core.plugins.capabilities import refuse, refuse_missing
from runcommit_core.request.request import requested

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import EngineInfo
    from runcommit_core.request.keywords import Keywords, PathLike
    from runcommit_core.request.request import Request


def explain(
    base: PathLike, commands: str | Sequence[str] = (), **keywords: Unpack[Keywords]
) -> Explanation:
    """Tell what ``run_commit`` would do with these arguments, and do none of it.

    Everything is checked as for a run: the base is opened, the commands are read.  The engine is
    asked who it is, no more, and may be unusable where ``backend`` names it.  Raises what
    ``run_commit`` raises before it starts, and UsageError for a backend that cannot be rehearsed.
    """
    request = requested(base, commands, **keywords)
    asked = request.behaviour
    name, backend = choose_backend(asked.backend, asked.engine)
    steps = pipeline(backend, name)
    refuse(steps, name, asked.engine, ["explain"])
    explanation = _told(
        _alone(request, backend), request, steps, described(steps, name, asked.engine)
    )
    return dataclasses.replace(explanation, backend=name)


def _alone(request: Request, backend: object) -> Request:
    """The same job by this backend, without plugins, for results in the cache tell no commands."""
    asked = request.behaviour
    behaviour = dataclasses.replace(
        asked,
        backend=backend,
        plugins=(),
        caching=dataclasses.replace(asked.caching, takes=False),
        progress=ignore,
    )
    return dataclasses.replace(request, behaviour=behaviour)


def _told(alone: Request, request: Request, steps: Pipeline, engine: EngineInfo) -> Explanation:
    recorder = Recorder(steps, engine)
    with contextlib.ExitStack() as cleanup:
        planned = plan(
            alone,
            cleanup,
            refusing=refuse_missing,
            opening=lambda _steps, job, reference, _watch: read_on_paper(
                steps, recorder, job, reference
            ),
        )
        transport = rehearse(
            steps,
            recorder,
            _with_its_epoch(planned.job, request),
            verified=request.behaviour.verify,
            result=request.outputs.load,
        )
        return Explanation(
            backend="",
            engine=engine,
            base=planned.job.base.name,
            commands=tuple(recorder.commands),
            facts=facts(planned.job, request, transport),
        )


def _with_its_epoch(job: Job, request: Request) -> Job:
    if epoch_is_known(job, request):
        return job
    env = {**job.run.env, EPOCH_VARIABLE: EPOCH}
    return dataclasses.replace(job, run=dataclasses.replace(job.run, env=env))
