"""``runcommit plugins``: what is installed beside the backends, and what it takes part in."""

from __future__ import annotations

import json
from typing import Any

from runcommit_core.cli.say import say
from runcommit_core.cli.told import ToldError
from runcommit_core.errors import RuncommitError
from runcommit_core.plugins.chosen import installed_points
from runcommit_core.plugins.loading import distribution_of, load_point


def list_plugins(*, as_json: bool) -> None:
    """Print a table of the installed plugins, or the same as JSON; ToldError if one is broken."""
    rows = [
        {"name": name, "distribution": " and ".join(map(distribution_of, points)), **_facts(points)}
        for name, points in installed_points().items()
    ]
    say(json.dumps(rows, indent=2) if as_json else _table(rows))
    if any(row["problem"] for row in rows):
        raise ToldError(1)


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no plugins are installed"
    lines = [("PLUGIN", "DISTRIBUTION", "HOOKS", "CACHE", "USABLE"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (zip(line, widths, strict=True) for line in lines)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in padded
    )


def _facts(points: Any) -> dict[str, Any]:
    try:
        plugin = load_point(points)
    except RuncommitError as error:
        return {"hooks": [], "leaves_cache": None, "problem": str(error)}
    return {
        "hooks": sorted(plugin.hooks),
        "leaves_cache": plugin.leaves_cache,
        "problem": None,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if row["problem"]:
        return row["name"], row["distribution"], "-", "-", f"no: {row['problem']}"
    cache = "used" if row["leaves_cache"] else "off"
    return row["name"], row["distribution"], ", ".join(row["hooks"]), cache, "yes"
