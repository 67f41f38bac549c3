"""``runcommit backends``: what is installed and what of it can be used."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from runcommit_core.model import EngineInfo, EngineOptions
from runcommit_core.plugins import Installed, describe, installed


def list_backends(engine_path: str | None, engine_flags: tuple[str, ...], *, as_json: bool) -> str:
    """A table of the installed backends, or the same as JSON."""
    engine = EngineOptions(path=engine_path, flags=engine_flags)
    found = installed()
    with ThreadPoolExecutor() as pool:
        infos = list(pool.map(lambda item: describe(item.name, engine), found))
    if as_json:
        rows = [_row(item, info) for item, info in zip(found, infos, strict=True)]
        return json.dumps(rows, indent=2)
    lines: list[tuple[str, ...]] = [
        ("BACKEND", "DISTRIBUTION", "ENGINE", "MODE", "STORAGE", "USABLE")
    ]
    lines += [_cells(item, info) for item, info in zip(found, infos, strict=True)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def list_copies(engine_path: str | None, engine_flags: tuple[str, ...]) -> str:
    """What the private copies of bases occupy in each engine that can be used."""
    from runcommit_core.layer.wording import size_text
    from runcommit_core.prune import occupied, usable_engines

    lines = []
    for name, engine in usable_engines(EngineOptions(path=engine_path, flags=engine_flags)):
        if found := occupied(name, engine):
            number, size = found
            total = "of unknown size" if size is None else size_text(size)
            lines.append(f"{name}: private copies of bases: {number}, {total}")
    return "\n".join(lines)


def _row(item: Installed, info: EngineInfo) -> dict[str, object]:
    return {
        "name": item.name,
        "distribution": item.distribution,
        "distribution_version": item.version,
        "engine_version": info.version or None,
        "rootless": info.rootless if not info.problem else None,
        "storage": info.storage or None,
        "usable": not info.problem,
        "problem": info.problem or None,
    }


def _cells(item: Installed, info: EngineInfo) -> tuple[str, ...]:
    mode = "rootless" if info.rootless else "rootful"
    return (
        item.name,
        f"{item.distribution} {item.version}",
        info.version or "-",
        "-" if info.problem else mode,
        info.storage or "-",
        f"no: {info.problem}" if info.problem else "yes",
    )
