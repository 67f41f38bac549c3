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
    from collections.abc import Callable, Iterator, Sequence


class Kind(StrEnum):
    """What a contender is compared as."""

    REFERENCE = "reference"
    FLOOR = "floor"
    OURS = "runcommit"
    FORCED = "forced"
    CLASSIC = "classic"
    PEER = "peer"
    OTHER = "other"


def nothing() -> None:
    """No preparation, nothing to check."""


@dataclass(frozen=True, slots=True)
class Group:
    """What contenders must share to be compared; ``subject`` tells two on one base apart."""

    base: str
    host: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to time: ``action`` counts.

    ``prepare`` before it does not, nor does ``finish`` after it, which fails where the action has
    not made what it should, and removes what it made.
    """

    group: Group
    name: str
    kind: Kind
    action: Callable[[], object]
    prepare: Callable[[], object] = nothing
    finish: Callable[[], object] = nothing


@dataclass(frozen=True, slots=True)
class Timing:
    """The wall-clock seconds of one contender, one per round."""

    contender: Contender
    seconds: list[float] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        return self.contender.kind

    @property
    def group(self) -> Group:
        return self.contender.group

    @property
    def what(self) -> str:
        """The contender and what it did."""
        return ", ".join(filter(None, (self.contender.name, self.group.subject)))

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


def groups(timings: Sequence[Timing]) -> Iterator[tuple[Group, list[Timing]]]:
    """Those that are compared with each other, in the order of their first."""
    found: dict[Group, list[Timing]] = {}
    for timing in timings:
        found.setdefault(timing.group, []).append(timing)
    yield from found.items()


def fastest(timings: Sequence[Timing], kind: Kind) -> float | None:
    """The smallest median in seconds among those of a kind, None where there are none."""
    return min((timing.median for timing in timings if timing.kind is kind), default=None)


def _once(contender: Contender) -> float:
    contender.prepare()
    os.sync()
    start = time.perf_counter()
    contender.action()
    seconds = time.perf_counter() - start
    contender.finish()
    return seconds


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
