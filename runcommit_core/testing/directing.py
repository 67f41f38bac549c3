"""Jobs that are interrupted after a certain step, or that take each step at the same time."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.testing import director

if TYPE_CHECKING:
    from collections.abc import Sequence
    from signal import Signals

    from runcommit_core.testing.bench import Bench, Ran

Words = str | os.PathLike[str]


def directed(bench: Bench, *job: Words, after: str, signal: Signals) -> Ran:
    """A job that gets a signal when the step ``after`` has returned."""
    return bench.job(
        *job, *_PLUGIN, env=_directions(bench) | {director.SIGNAL: f"{after}:{signal}"}
    )


def in_step(bench: Bench, jobs: Sequence[Sequence[Words]]) -> list[Ran]:
    """Jobs that run beside each other: load begins in all at once, and commit does."""
    meeting = bench.folder / "meeting"
    meeting.mkdir()
    meeting.chmod(0o777)
    env = _directions(bench) | {director.MEET: f"{meeting}:{len(jobs)}"}

    def run(number: int) -> Ran:
        try:
            return bench.job(*jobs[number], *_PLUGIN, env=env)
        finally:
            (meeting / f"{director.OVER}-{number}").touch()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, range(len(jobs))))


_PLUGIN = ("--plugin", "director")


def _directions(bench: Bench) -> dict[str, str]:
    """The variables with which a job finds the plugin, wherever it runs."""
    folder = bench.folder / "plugin"
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(director.__file__), folder / "director.py")
    folders = [str(folder), *filter(None, [bench.env.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(folders)}
