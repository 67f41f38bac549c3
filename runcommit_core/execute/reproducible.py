"""``--check-reproducible``: the same job once more, and why its layer is another one."""

from __future__ import annotations

import itertools
import logging
import shutil
import time
from typing import TYPE_CHECKING

from runcommit_core.engine.cleanup import CleanUp
from runcommit_core.engine.interruption import pause
from runcommit_core.errors import CommandError, ReproducibilityError
from runcommit_core.plan.making import job_beside

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Layer, Layers
    from runcommit_core.layer.compare import Comparison

log = logging.getLogger("runcommit")

SHOWN = 20
"""How many differences an error lists."""

_EMPTY_TAR = bytes(1024)


def check(job: Job, first: Layers, again: Callable[[Job], Layers]) -> None:
    """Run the steps ``again`` for a job that differs from ``job`` by its names only, and compare.

    What the second run leaves is gone at the end.

    Raises ReproducibilityError: the layers differ, or the command failed this time
    """
    log.info("running the job once more, to compare")
    with CleanUp() as cleanup:
        second_job = _once_more(job, cleanup)
        _wait_for_another_second()
        try:
            second = again(second_job)
        except CommandError as error:
            raise _failed(error) from error
        if [layer.diff_id for layer in first] != [layer.diff_id for layer in second]:
            raise _different(first, second, second_job.folder)


def _once_more(job: Job, cleanup: contextlib.ExitStack) -> Job:
    folder = job.folder / "again"
    folder.mkdir()
    cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    return job_beside(
        job,
        job.base,
        id=f"{job.id}-again",
        folder=folder,
        output=folder / "layer.tar",
        console=_silent,
        cleanup=cleanup,
    )


def _silent(_chunk: bytes) -> None:
    """What the command says has been told by the first run."""


def _wait_for_another_second() -> None:
    """Two quick runs within one second would agree on a clock that they read."""
    now = time.time()
    pause(1 - now % 1)


def _failed(error: CommandError) -> ReproducibilityError:
    said = [f"  | {line}" for line in error.output.strip().splitlines()[-SHOWN:]]
    message = f"the job succeeded, but not when it was run again: {error}"
    return ReproducibilityError("\n".join([message, *said]), tip=error.tip)


def _different(first: Layers, second: Layers, folder: Path) -> ReproducibilityError:
    from runcommit_core.layer.compare import compare_layers

    empty = folder / "empty.tar"
    empty.write_bytes(_EMPTY_TAR)
    pairs = itertools.zip_longest(first, second)
    comparisons = [compare_layers(_tar(one, empty), _tar(two, empty)) for one, two in pairs]
    lines = [f"  {text}" for comparison in comparisons for text in _texts(comparison)]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"  and {len(lines) - SHOWN} more"]
    message = f"two runs of the job gave different layers: {_names(first)} and {_names(second)}"
    return ReproducibilityError("\n".join([message, *lines]), tip=_cure(comparisons))


def _tar(layer: Layer | None, empty: Path) -> str:
    return str(layer.path if layer else empty)


def _names(layers: Layers) -> str:
    return ", ".join(layer.diff_id for layer in layers) or "none"


def _texts(comparison: Comparison) -> list[str]:
    return [str(each) for each in (*comparison.paths, *filter(None, [comparison.form]))]


def _cure(comparisons: Sequence[Comparison]) -> str:
    """Say which profiles would have taken differing paths out, and what to do with the rest."""
    from runcommit_core.layer.cure import cures
    from runcommit_core.tar.reader import Kind

    paths = {
        each.path: each.kind is Kind.DIRECTORY
        for comparison in comparisons
        for each in comparison.paths
    }
    profiles = cures(paths)
    cured = set().union(*profiles.values())
    tips = []
    if profiles:
        tips.append(f"--clean {','.join(profiles)} would remove {_count(len(cured), len(paths))}")
    if len(cured) < len(paths):
        rest = "the others" if profiles else "them"
        tips.append(f"--exclude GLOB would keep {rest} out of the layer, where nobody needs them")
    return "; ".join(tips)


def _count(some: int, total: int) -> str:
    paths = "path" if total == 1 else "paths"
    if some < total:
        return f"{some} of these {total} {paths}"
    return f"this {paths}" if total == 1 else f"these {total} {paths}"
