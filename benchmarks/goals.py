"""Goals: a figure made of medians, and the limit that it must keep on every host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import Kind, fastest, groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.measure import Group, Timing

    Figures = Callable[[Sequence[Timing]], Iterator["Figure"]]
    Compare = Callable[[float, Sequence[Timing]], float | None]


@dataclass(frozen=True, slots=True)
class Figure:
    """What one contender reached."""

    group: Group
    what: str
    value: float


@dataclass(frozen=True, slots=True)
class Goal:
    """``figures`` must not be above ``limit`` (below it, with ``at_least``).

    Those of one base or one subject, where that is named.
    """

    title: str
    limit: float
    figures: Figures
    unit: str = ""
    at_least: bool = False
    base: str = ""
    subject: str = ""

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{self.title} {sign} {self.limit:g} {self.unit}".rstrip()

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def worst(self, timings: Sequence[Timing]) -> dict[str, Figure]:
        """Per host the figure farthest from the goal; no entry where nothing of it was measured."""
        farthest = min if self.at_least else max
        found: dict[str, list[Figure]] = {}
        for figure in self.figures(timings):
            if self.base in ("", figure.group.base) and self.subject in ("", figure.group.subject):
                found.setdefault(figure.group.host, []).append(figure)
        return {host: farthest(each, key=lambda it: it.value) for host, each in found.items()}


@dataclass(frozen=True, slots=True)
class Growth:
    """Two bases between which a time is compared."""

    title: str
    smaller: str
    larger: str

    def figures(self, timings: Sequence[Timing], kinds: Sequence[Kind]) -> Iterator[Figure]:
        """How many times longer the larger base takes."""
        before = {
            (timing.group.host, timing.what): timing.median
            for timing in timings
            if timing.group.base == self.smaller and timing.kind in kinds
        }
        for timing in timings:
            key = (timing.group.host, timing.what)
            if timing.group.base == self.larger and key in before and timing.kind in kinds:
                yield Figure(timing.group, timing.what, timing.median / before[key])

    def ours(self, timings: Sequence[Timing]) -> Iterator[Figure]:
        return self.figures(timings, (Kind.OURS,))


def ratio(than: Kind) -> Figures:
    """Our time divided by that of the fastest of a kind."""
    return _ours(lambda ours, rivals: _over(ours, fastest(rivals, than)))


def speedup(than: Kind) -> Figures:
    """How many times longer the fastest of a kind takes than we do."""
    return _ours(lambda ours, rivals: _over(fastest(rivals, than), ours))


def above_reference(than: Kind) -> Figures:
    """What we take on top of the reference, divided by the fastest of a kind."""
    return _ours(lambda ours, rivals: above(ours, rivals, than))


def difference(than: Kind) -> Figures:
    """How many seconds longer than the fastest of a kind we take."""
    return _ours(lambda ours, rivals: _minus(ours, fastest(rivals, than)))


def seconds() -> Figures:
    """Our time."""
    return _ours(lambda ours, _rivals: ours)


def above(median: float, rivals: Sequence[Timing], than: Kind) -> float | None:
    """What a time is on top of the fastest reference, divided by the fastest of a kind."""
    return _over(_minus(median, fastest(rivals, Kind.REFERENCE)), fastest(rivals, than))


def _ours(compare: Compare) -> Figures:
    def figures(timings: Sequence[Timing]) -> Iterator[Figure]:
        for group, rivals in groups(timings):
            for timing in rivals:
                if timing.kind is Kind.OURS:
                    value = compare(timing.median, rivals)
                    if value is not None:
                        yield Figure(group, timing.what, value)

    return figures


def _over(above: float | None, below: float | None) -> float | None:
    return None if above is None or below is None else above / below


def _minus(one: float, other: float | None) -> float | None:
    return None if other is None else one - other
