"""Taking times: contenders in turn, round after round, after one round that does not count."""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Kind(StrEnum):
    """What a contender is compared as."""

    REFERENCE = "reference"
    OURS = "runcommit"
    CLASSIC = "classic"
    OTHER = "other"


def nothing() -> None:
    """No preparation."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to time: ``action`` counts, ``prepare`` before it does not."""

    host: str
    name: str
    kind: Kind
    action: Callable[[], object]
    prepare: Callable[[], object] = nothing


@dataclass(frozen=True, slots=True)
class Timing:
    """The wall-clock seconds of one contender, one per round."""

    contender: Contender
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(contenders: Sequence[Contender], rounds: int) -> list[Timing]:
    """Time every contender ``rounds`` times.

    They take turns, so that what else the machine does hits all of them; what one leaves to be
    written to the disk is written before the next starts.
    """
    timings = [Timing(contender) for contender in contenders]
    for number in range(rounds + 1):
        for timing in timings:
            seconds = _once(timing.contender)
            if number:
                timing.seconds.append(seconds)
        _say("." if number else "  warm ")
    _say("\n")
    return timings


def _once(contender: Contender) -> float:
    contender.prepare()
    os.sync()
    start = time.perf_counter()
    contender.action()
    return time.perf_counter() - start


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
