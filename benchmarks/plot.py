"""``python -m benchmarks.plot TIMES.json PLOT.svg``: the times of a run as bars.

Needs the dependency group ``bench``.
"""

from __future__ import annotations

import json
import statistics
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

COLOURS = {
    "runcommit": "#0b6e4f",
    "forced": "#8cc0a8",
    "reference": "#9aa0a6",
    "floor": "#5f6368",
    "classic": "#c0392b",
    "peer": "#d98c3f",
    "other": "#c9ccd1",
}
"""By kind of contender."""

BAR = 0.22
"""The height of a bar in inches, with the space to the next one."""

GAP = 0.6
"""The space between hosts, in bars."""


def main() -> int:
    source, target = map(Path, sys.argv[1:])
    draw(json.loads(source.read_bytes())["times"], target)
    return 0


def panels(times: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The times of each workload and base, those of one host together, under a title."""
    found: dict[str, list[dict[str, Any]]] = {}
    for time in times:
        title = f"{time['workload']}: {time['title']}, base {time['base']}"
        found.setdefault(title, []).append(time)
    return list(found.items())


def places(bars: Sequence[dict[str, Any]]) -> list[float]:
    """Where bars stand, from the top: one apart, and a gap before each further host."""
    found = [0.0]
    for before, bar in pairwise(bars):
        found.append(found[-1] + 1 + GAP * (before["host"] != bar["host"]))
    return found


def draw(times: Sequence[dict[str, Any]], target: Path) -> None:
    """Write one panel per workload and base: medians as bars, minimum to maximum as lines.

    The same times give the same bytes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = panels(times)
    heights = [BAR * (places(bars)[-1] + 5) for _, bars in shown]
    with mpl.rc_context({"svg.hashsalt": "runcommit", "font.size": 8, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, sum(heights)), layout="constrained")
        grid = figure.subplots(len(shown), squeeze=False, height_ratios=heights)
        for axes, (title, bars) in zip(grid[:, 0], shown, strict=True):
            _panel(axes, title, bars)
        used = {time["kind"] for time in times}
        patches = [Patch(color=COLOURS[kind], label=kind) for kind in COLOURS if kind in used]
        figure.legend(handles=patches, loc="outside upper center", ncols=len(patches))
        figure.savefig(target, format="svg", metadata={"Date": None})


def _panel(axes: Axes, title: str, bars: Sequence[dict[str, Any]]) -> None:
    medians = [statistics.median(bar["seconds"]) for bar in bars]
    below = [median - min(bar["seconds"]) for median, bar in zip(medians, bars, strict=True)]
    above = [max(bar["seconds"]) - median for median, bar in zip(medians, bars, strict=True)]
    standing = places(bars)
    axes.barh(
        standing,
        medians,
        xerr=(below, above),
        color=[COLOURS[bar["kind"]] for bar in bars],
        error_kw={"elinewidth": 0.6},
    )
    axes.set_yticks(standing, [f"{bar['host']}: {bar['what']}" for bar in bars])
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("seconds")
    axes.margins(y=0.01)
    axes.grid(axis="x", linewidth=0.3)
    for place, median in zip(standing, medians, strict=True):
        axes.annotate(f" {median:.2f}", (median, place), va="center", fontsize=6)


if __name__ == "__main__":
    sys.exit(main())
