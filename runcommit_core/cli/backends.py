"""``runcommit backends``: what is installed and what of it can be used."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from runcommit_core.errors import RuncommitError
from runcommit_core.interface.values import EngineInfo, EngineOptions, Lack
from runcommit_core.plugins.backends import (
    Installed,
    describe,
    find_backend,
    installed,
    named,
    pipeline,
)
from runcommit_core.plugins.capabilities import lacking


def list_backends(
    engine_path: str | None, engine_flags: tuple[str, ...], *, as_json: bool, only: str = ""
) -> str:
    """A table of the installed backends, or of one, or the same as JSON."""
    engine = EngineOptions(path=engine_path, flags=engine_flags)
    backends = [item for item in installed() if only in ("", item.name)]
    if only and not backends:
        backends = [named(only)]
    with ThreadPoolExecutor() as pool:
        asked = list(pool.map(lambda item: _ask(item.name, engine), backends))
    infos = [info for info, _ in asked]
    if as_json:
        rows = [_row(item, *answer) for item, answer in zip(backends, asked, strict=True)]
        return json.dumps(rows, indent=2)
    lines: list[tuple[str, ...]] = [
        ("BACKEND", "DISTRIBUTION", "ENGINE", "MODE", "STORAGE", "USABLE")
    ]
    lines += [_cells(item, info) for item, info in zip(backends, infos, strict=True)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    told = [
        f"{item.name} lacks {lack.capability}: {lack.reason}"
        for item, (_, lacks) in zip(backends, asked, strict=True)
        for lack in lacks
    ]
    return "\n".join([*table, *(["", *told] if told else [])])


def list_copies(engine_path: str | None, engine_flags: tuple[str, ...]) -> str:
    """What the private copies of bases occupy in each engine that can be used."""
    from runcommit_core.housekeeping.prune import occupied, usable_engines
    from runcommit_core.layer.wording import size_text

    lines = []
    for name, engine in usable_engines(EngineOptions(path=engine_path, flags=engine_flags)):
        if total_of_copies := occupied(name, engine):
            number, size = total_of_copies
            total = "of unknown size" if size is None else size_text(size)
            lines.append(f"{name}: private copies of bases: {number}, {total}")
    return "\n".join(lines)


def _ask(name: str, engine: EngineOptions) -> tuple[EngineInfo, list[Lack]]:
    """What a backend says of its engine, and what that lacks; nothing of one that is unusable."""
    info = describe(name, engine)
    if info.problem:
        return info, []
    try:
        return info, lacking(pipeline(find_backend(name), name), name, engine)
    except RuncommitError as error:
        return replace(info, problem=str(error).partition("\n")[0]), []


def _row(item: Installed, info: EngineInfo, lacks: list[Lack]) -> dict[str, object]:
    return {
        "name": item.name,
        "distribution": item.distribution,
        "distribution_version": item.version,
        "engine_version": info.version or None,
        "rootless": info.rootless if not info.problem else None,
        "storage": info.storage or None,
        "usable": not info.problem,
        "problem": info.problem or None,
        "lacks": {lack.capability: lack.reason for lack in lacks},
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
