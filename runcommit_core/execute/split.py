"""``--split``: a layer for each command.

Each command is a job of its own on the base plus the layers so far, so every layer is canonical and
the next command sees what the image will hold, times included.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.interface.values import Layers
from runcommit_core.plan.making import rebase
from runcommit_core.plan.stacking import on_top
from runcommit_core.publish.outputs import extended_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Layer
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.request.commands import Commands


def run_split(
    job: Job, todo: Commands, run_steps: Callable[[Job, Commands], Layers]
) -> tuple[Layers, bytes]:
    """Run each command on what the ones before it made; the layers, and the config of it all.

    Raises UsageError for a job that is no list of commands.
    """
    if not todo.each:
        raise UsageError("--split makes a layer for each -c, and there is none")
    layers: list[Layer] = []
    warnings: list[str] = []
    base = job.base
    for number, single in enumerate(todo.each):
        part = _part(job, base, number, single)
        found = run_steps(part, single)
        job.transport.used = part.transport.used
        config = extended_config(base.config, found, job.layer.epoch, single.history)
        base = on_top(base, found, config)
        layers += found.layers
        warnings += found.warnings
    return Layers(tuple(layers), tuple(warnings)), base.config


def _part(job: Job, base: BaseImage, number: int, single: Commands) -> Job:
    part = dataclasses.replace(
        job,
        id=f"{job.id}-{number}",
        argv=single.argv,
        output=job.folder / f"layer-{number}.tar",
        keep_base=job.keep_base and number == 0,
    )
    return rebase(part, base, locate=job.locate, epoch=job.layer.epoch)
