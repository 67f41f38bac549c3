"""``execute``: from a plan to its layers, by the steps or out of the cache."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Literal

from runcommit_core.execute.running import Ran, run_steps
from runcommit_core.plugins.chosen import check_result
from runcommit_core.records import record
from runcommit_core.steps.stacking import extended_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runcommit_core.execute.running import RunSteps
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import EngineInfo, Layers
    from runcommit_core.plan.plan import Plan

log = logging.getLogger("runcommit")


@record(kw_only=True)
class Made:
    """The new layers, the config of base and layers, and how they came about.

    ``backend`` and what ``describe`` tells are those of the run that filled the cache where the
    layers are from there; ``seconds`` are those that no step took.
    """

    layers: Layers
    config: bytes
    transport: str
    cache: Literal["hit", "miss", "off"]
    backend: str
    describe: Callable[[], EngineInfo]
    seconds: Mapping[str, float]


def execute(planned: Plan) -> Made:
    """Run the job, or take its result from the cache, and have it checked.

    Raises the leaves of RuncommitError.
    """
    request, job = planned.request, planned.job
    by_steps = functools.partial(run_steps, planned)
    run = _through_cache(planned, by_steps) if request.behaviour.caching.takes else by_steps
    ran, config = _all_layers(planned, job, run)
    for warning in ran.layers.warnings:
        log.warning("%s", warning)
    if request.behaviour.check_reproducible:
        from runcommit_core.execute.reproducible import check

        check(job, ran.layers, lambda again: _all_layers(planned, again, by_steps)[0].layers)
    check_result(request.behaviour.plugins, planned.watch, job, ran.layers)
    then = ran.taken_from
    return Made(
        layers=ran.layers,
        config=config,
        transport=ran.transport,
        cache=ran.cache,
        backend=then.name if then else planned.choice.name,
        describe=(lambda: then) if then else planned.choice.describe,
        seconds={"cache": ran.looking} if then else {},
    )


def _all_layers(planned: Plan, job: Job, run: RunSteps) -> tuple[Ran, bytes]:
    """The new layers, and the config of base and layers."""
    commands = planned.request.commands
    if planned.request.layer.split:
        from runcommit_core.execute.split import run_split

        return run_split(job, commands, run)
    ran = run(job, commands)
    config = extended_config(job.base.config, ran.layers, job.layer.epoch, commands.history)
    return ran, config


def _through_cache(planned: Plan, by_steps: RunSteps) -> RunSteps:
    from runcommit_core.execute.cached import run_cached

    return run_cached(planned, by_steps)
