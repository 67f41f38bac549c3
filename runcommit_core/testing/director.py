"""A plugin that the contract gives to a job: it makes moments certain that else need luck.

After a step it sends the job a signal, or before a step it waits until other jobs have come as far.
It is copied to where the job runs, see :mod:`runcommit_core.testing.directing`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from runcommit_core import hookimpl

if TYPE_CHECKING:
    from collections.abc import Generator

    from runcommit_core import Image

SIGNAL, MEET = "RUNCOMMIT_DIRECTOR_SIGNAL", "RUNCOMMIT_DIRECTOR_MEET"
OVER = "over"
"""How the file of a job begins that has ended, in the folder where they meet."""

_PATIENCE = 60.0

T = TypeVar("T")


@hookimpl(wrapper=True)
def load() -> Generator[None, Image, Image]:
    """Direct it."""
    return (yield from _directed("load"))


@hookimpl(wrapper=True)
def commit() -> Generator[None, Image, Image]:
    """Direct it."""
    return (yield from _directed("commit"))


def _directed(step: str) -> Generator[None, T, T]:
    if meeting := os.environ.get(MEET):
        folder, number = meeting.rsplit(":", 1)
        _meet(Path(folder), step, int(number))
    value = yield
    after, _, number = os.environ.get(SIGNAL, "").partition(":")
    if after == step:
        os.kill(os.getpid(), int(number))
    return value


def _meet(folder: Path, step: str, number: int) -> None:
    """Wait until ``number`` jobs are here, or over."""
    (folder / f"{step}-{os.getpid()}").touch()
    end = time.monotonic() + _PATIENCE
    while sum(len(list(folder.glob(f"{name}-*"))) for name in (step, OVER)) < number:
        if time.monotonic() > end:
            raise TimeoutError(f"of {number} jobs some have not come to the step {step}")
        time.sleep(0.01)
