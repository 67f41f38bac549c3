"""From timings to a Markdown table and to JSON."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks.measure import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Timing

HEAD = ("base", "host", "what", "median s", "min s", "max s", ": reference", "classic : it")


@dataclass(frozen=True, slots=True)
class Measured:
    """The timings of one workload on one base, those of one host side by side."""

    workload: str
    title: str
    base: str
    timings: list[Timing]

    def by_host(self) -> Iterator[tuple[str, list[Timing]]]:
        for host, group in groupby(self.timings, key=lambda timing: timing.contender.host):
            yield host, list(group)


def markdown(measured: list[Measured]) -> str:
    """One table per workload."""
    lines: list[str] = []
    for (name, title), group in groupby(measured, key=lambda item: (item.workload, item.title)):
        lines += [f"### {name}: {title}", "", _line(HEAD), _line(["---"] * 3 + ["---:"] * 5)]
        for item in group:
            for host, timings in item.by_host():
                lines += [_line((item.base, host, *cells)) for cells in _rows(timings)]
        lines.append("")
    return "\n".join(lines)


def as_json(measured: list[Measured]) -> list[dict[str, object]]:
    """Every single time, in seconds."""
    return [
        {
            "workload": item.workload,
            "base": item.base,
            "host": timing.contender.host,
            "what": timing.contender.name,
            "kind": timing.contender.kind,
            "seconds": timing.seconds,
        }
        for item in measured
        for timing in item.timings
    ]


def _rows(timings: list[Timing]) -> Iterator[tuple[str, ...]]:
    reference = _fastest(timings, Kind.REFERENCE)
    classic = _fastest(timings, Kind.CLASSIC)
    for timing in timings:
        ours = timing.contender.kind is Kind.OURS
        yield (
            timing.contender.name,
            f"{timing.median:.3f}",
            f"{min(timing.seconds):.3f}",
            f"{max(timing.seconds):.3f}",
            f"{timing.median / reference:.2f}" if reference else "",
            f"{classic / timing.median:.1f}" if classic and ours else "",
        )


def _fastest(timings: list[Timing], kind: Kind) -> float | None:
    return min((timing.median for timing in timings if timing.contender.kind is kind), default=None)


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
