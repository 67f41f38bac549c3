"""``--split``: a layer for each command.

Each command is a job of its own on the base plus the layers so far, so every layer is canonical and
the next command sees what the image will hold, times included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.execute.running import Ran
from runcommit_core.interface.values import Layers
from runcommit_core.plan.making import job_beside
from runcommit_core.steps.stacking import extended_config, on_top

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.execute.running import RunSteps
    from runcommit_core.interface.job import Job
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.request.commands import Commands


def run_split(job: Job, commands: Commands, run: RunSteps) -> tuple[Ran, bytes]:
    """Run each command on what the ones before it made; all of it, and the config.

    Raises UsageError for a job that is no list of commands.
    """
    if not commands.each:
        raise UsageError("--split makes a layer for each -c, and there is none")
    base = job.base
    parts: list[Ran] = []
    for number, single in enumerate(commands.each):
        ran = run(_part(job, base, number, single), single)
        config = extended_config(base.config, ran.layers, job.layer.epoch, single.history)
        base = on_top(base, ran.layers, config)
        parts.append(ran)
    return _together(parts), base.config


def _part(job: Job, base: BaseImage, number: int, single: Commands) -> Job:
    return job_beside(
        job,
        base,
        id=f"{job.id}-{number}",
        argv=single.argv,
        output=job.folder / f"layer-{number}.tar",
        keep_base=job.keep_base and number == 0,
    )


def _together(parts: Sequence[Ran]) -> Ran:
    """One result out of several; it comes from the cache only where every part does."""
    outcomes = {part.cache for part in parts}
    hit = outcomes == {"hit"}
    return Ran(
        layers=Layers(
            tuple(layer for part in parts for layer in part.layers),
            tuple(warning for part in parts for warning in part.layers.warnings),
        ),
        transport=parts[-1].transport,
        cache="hit" if hit else "miss" if "miss" in outcomes else "off",
        taken_from=parts[-1].taken_from if hit else None,
        looking=sum(part.looking for part in parts),
    )
