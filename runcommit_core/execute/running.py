"""Running one job by the steps of its backend."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from runcommit_core.engine.background import Background
from runcommit_core.engine.interruption import waiting
from runcommit_core.engine.turns import in_use
from runcommit_core.errors import CommandError, CommandTimeoutError, EngineError
from runcommit_core.execute.failed import help_on_failure
from runcommit_core.execute.merged import with_fewer_layers
from runcommit_core.execute.workdir import with_workdir
from runcommit_core.interface.job import Job
from runcommit_core.interface.progress import CommandsStarted
from runcommit_core.interface.values import Container, EngineInfo, Image, Layers, SavedImage
from runcommit_core.plan.plan import settled
from runcommit_core.plugins.capabilities import refuse_run
from runcommit_core.records import record
from runcommit_core.request.commands import Commands, left_out, which_failed
from runcommit_core.request.shell import Followed, unmark
from runcommit_core.surroundings.preparing import resolved

if TYPE_CHECKING:
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.plan.plan import Plan
    from runcommit_core.steps.stopwatch import Stopwatch


@record(kw_only=True)
class Ran:
    """What came of one job: its layers, and how they travelled (``cache`` where they did not).

    ``taken_from`` is the engine of an earlier run whose result served, and ``looking`` the seconds
    that finding it took.
    """

    layers: Layers
    transport: str
    cache: Literal["hit", "miss", "off"] = "off"
    taken_from: EngineInfo | None = None
    looking: float = 0.0


RunSteps = Callable[[Job, Commands], Ran]


def run_steps(planned: Plan, job: Job, commands: Commands) -> Ran:
    """Run the commands in the engine, from load to extract; the container goes at the end.

    Raises the leaves of RuncommitError.
    """
    name, steps = planned.choice.settle()
    job = settled(planned, job)
    if planned.request.outputs.has_reports:
        planned.choice.ask()
    refuse_run(steps, name, job)
    job = with_fewer_layers(job)
    planned.entry.on_base(job.transport.name)
    with in_use(job.transport.name), job.containers, help_on_failure(planned, job):
        return _from_load_to_extract(planned, steps, job, commands)


def _from_load_to_extract(planned: Plan, steps: Pipeline, job: Job, commands: Commands) -> Ran:
    watch = planned.watch
    image = _load(watch, steps, job)
    Background(_import_ahead)
    job = resolved(job)
    if (copy := with_workdir(job)) is not job:
        job = copy
        planned.entry.on_base(job.transport.name)
        job.containers.enter_context(in_use(job.transport.name))
        image = watch.step("load", Image, steps.load, job=job)
    container, warnings = _run(watch, steps, job, image, commands)
    committed = watch.step("commit", Image, steps.commit, job=job, container=container)
    saved = watch.step("save", SavedImage, steps.save, job=job, image=committed)
    layers = watch.step("extract", Layers, steps.extract, job=job, saved=saved)
    layers = dataclasses.replace(layers, warnings=(*warnings, *layers.warnings))
    if planned.request.behaviour.verify:
        from runcommit_core.execute.verify import verify

        verify(steps, watch, job, container, layers)
    return Ran(layers=layers, transport=saved.transport)


def _load(watch: Stopwatch, steps: Pipeline, job: Job) -> Image:
    """Bring the base into the engine, and know that it is one.

    An engine may refuse what is wrong with it before we have read that far: then our words count.
    """
    try:
        image = watch.step("load", Image, steps.load, job=job)
    except EngineError:
        if job.transport.offered:
            _check_base(job)
        raise
    _check_base(job)
    return image


def _check_base(job: Job) -> None:
    with waiting():
        job.check_base()


def _run(
    watch: Stopwatch, steps: Pipeline, job: Job, image: Image, commands: Commands
) -> tuple[Container, tuple[str, ...]]:
    """Run the commands, knowing which of them runs; the container, and warnings."""
    job.progress(CommandsStarted(commands.texts))
    followed = Followed(job.console, job.progress)
    if len(commands.texts) > 1:
        job = dataclasses.replace(job, console=followed)
    try:
        container = watch.step("run", Container, steps.run, job=job, image=image)
    except (CommandError, CommandTimeoutError, EngineError) as error:
        unmark(error)
        if isinstance(error, EngineError):
            raise
        raise which_failed(error, commands, followed.number) from None
    finally:
        followed.flush()
    return container, left_out(commands, followed.number)


def _import_ahead() -> None:
    """Import what the last step needs while the engine runs the command."""
    importlib.import_module("runcommit_core.steps.extract")
