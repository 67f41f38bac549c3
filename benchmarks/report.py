"""From timings to Markdown tables and to JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.goals import above
from benchmarks.measure import Kind, fastest, groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.goals import Figure, Goal
    from benchmarks.measure import Timing
    from benchmarks.workloads import Workload

HEAD = ("base", "host", "what", "median s", "min s", "max s")
RATIOS = (": reference", "less it : floor", "classic : it")


@dataclass(frozen=True, slots=True)
class Measured:
    """The timings of one workload, on all bases and hosts."""

    name: str
    workload: Workload
    timings: list[Timing]


def markdown(measured: Sequence[Measured]) -> str:
    """A table per workload, one of how times grow with the base, one of goals."""
    tables = [*map(_times, measured), *map(_growth, measured), _goals(measured)]
    return "\n".join(line for table in tables for line in (*table, "") if table)


def as_json(measured: Sequence[Measured]) -> dict[str, list[dict[str, object]]]:
    """Every single time, in seconds; the worst figure of each goal on each host."""
    return {
        "times": [_time_as_json(item, timing) for item in measured for timing in item.timings],
        "goals": [
            {
                "workload": item.name,
                "goal": str(goal),
                "host": host,
                "base": figure.group.base,
                "what": figure.what,
                "measured": figure.value,
                "met": goal.met(figure.value),
            }
            for item in measured
            for goal in item.workload.goals
            for host, figure in goal.worst(item.timings).items()
        ],
    }


def _time_as_json(item: Measured, timing: Timing) -> dict[str, object]:
    return {
        "workload": item.name,
        "title": item.workload.title,
        "base": timing.group.base,
        "host": timing.group.host,
        "what": timing.what,
        "kind": timing.kind,
        "seconds": timing.seconds,
    }


def _times(item: Measured) -> list[str]:
    head = [f"### {item.name}: {item.workload.title}", ""]
    rows = [
        (group.base, group.host, *cells)
        for group, rivals in groups(item.timings)
        for cells in _rows(rivals)
    ]
    return [*head, *_table((*HEAD, *RATIOS), 3, rows)]


def _rows(rivals: Sequence[Timing]) -> Iterator[tuple[str, ...]]:
    reference = fastest(rivals, Kind.REFERENCE)
    classic = fastest(rivals, Kind.CLASSIC)
    for timing in rivals:
        compared = timing.kind not in {Kind.REFERENCE, Kind.FLOOR}
        on_top = above(timing.median, rivals, Kind.FLOOR) if compared else None
        ours = timing.kind in {Kind.OURS, Kind.FORCED}
        yield (
            timing.what,
            f"{timing.median:.3f}",
            f"{min(timing.seconds):.3f}",
            f"{max(timing.seconds):.3f}",
            f"{timing.median / reference:.2f}" if reference else "",
            "" if on_top is None else f"{on_top:.2f}",
            f"{classic / timing.median:.1f}" if classic and ours else "",
        )


def _growth(item: Measured) -> list[str]:
    """How many times longer each contender takes on the larger base of two."""
    columns = [
        {
            (figure.group.host, figure.what): f"{figure.value:.2f}"
            for figure in growth.figures(item.timings, (Kind.REFERENCE, Kind.OURS))
        }
        for growth in item.workload.growths
    ]
    keys = dict.fromkeys(key for column in columns for key in column)
    if not keys:
        return []
    titles = [growth.title for growth in item.workload.growths]
    rows = [(*key, *(column.get(key, "") for column in columns)) for key in keys]
    head = [f"### {item.name}: times longer on the larger base", ""]
    return [*head, *_table(("host", "what", *titles), 2, rows)]


def _goals(measured: Sequence[Measured]) -> list[str]:
    hosts = list(dict.fromkeys(it.group.host for item in measured for it in item.timings))
    rows = []
    for item in measured:
        for goal in item.workload.goals:
            worst = goal.worst(item.timings)
            cells = (_verdict(goal, worst.get(host)) for host in hosts)
            rows.append((item.name, str(goal), *cells))
    head = ["### Goals", ""]
    return [*head, *_table(("workload", "goal", *hosts), 2, rows)]


def _verdict(goal: Goal, figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    return f"{figure.value:.2f} {'met' if goal.met(figure.value) else '**missed**'}"


def _table(head: Sequence[str], words: int, rows: Sequence[Sequence[str]]) -> list[str]:
    """Build a table whose first columns are words and whose others are numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
