"""``--verify``: base and layer together must be what the container saw."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runcommit_core.errors import BackendContractError
from runcommit_core.interface.values import Layers, SavedImage
from runcommit_core.layer.changes import TarChanges
from runcommit_core.layer.result import as_listed
from runcommit_core.plan.making import job_beside
from runcommit_core.steps.stacking import extended_config, on_top

if TYPE_CHECKING:
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Container, Layer
    from runcommit_core.layer.canonical import Change
    from runcommit_core.steps.stopwatch import Stopwatch

SHOWN = 20
"""How many differences an error lists."""


def verify(
    steps: Pipeline, watch: Stopwatch, job: Job, container: Container, layers: Layers
) -> None:
    """Compare the container's root, file by file, with the base and its new layers.

    Raises BackendContractError with the paths that differ.
    """
    config = extended_config(job.base.config, layers, job.layer.epoch, "")
    stacked = job_beside(
        job,
        on_top(job.base, layers, config),
        id=f"{job.id}-verify",
        output=job.folder / "differences.tar",
        layer=dataclasses.replace(job.layer, always=False),
    )
    saved = watch.step("root", SavedImage, steps.root, job=stacked, container=container)
    extracted = watch.step("verify", Layers, steps.extract, job=stacked, saved=saved)
    changes = [
        change
        for layer in extracted
        for change in layer.report.changes
        if not _is_shown_alone(job, stacked, layer, change)
    ]
    if changes:
        listed = [f"  {change.action} {change.path.decode(errors='replace')}" for change in changes]
        more = [f"  and {len(listed) - SHOWN} more"] if len(listed) > SHOWN else []
        raise BackendContractError(
            "\n".join(
                [
                    "base and layer are not what the container saw; the container has",
                    *listed[:SHOWN],
                    *more,
                ]
            )
        )


def _is_shown_alone(job: Job, stacked: Job, layer: Layer, change: Change) -> bool:
    """Tell whether a directory is only shown as overlay engines show those that a layer implies.

    Our layer lists it as the lower layer does, and so cures what the container saw.
    """
    with job.tree() as tree, stacked.tree() as both:
        below, wanted = tree.get(change.path), both.get(change.path)
    if below is None or wanted is None or not below.implied:
        return False
    with TarChanges(lambda: layer.path.open("rb"), name="the differences") as changes:
        shown = as_listed(changes.entries[change.path], below)
    seen, owed = (
        (one.kind, one.mode, one.uid, one.gid, dict(one.xattrs)) for one in (shown, wanted)
    )
    return seen == owed
