"""``runcommit doctor``: what is installed and works, with a cure for what does not."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from runcommit_core.cli import options
from runcommit_core.mouth.plain import listed, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.doctor.report import Report
    from runcommit_core.interface.findings import Finding

_COLOURS = {"ok": "green", "info": "blue", "warning": "yellow", "problem": "red"}
_WIDTH = 80
_INDENT = 10


@click.command(short_help="Find out what is installed and works, by trying it.")
@click.option(
    "-b", "--backend", "names", multiple=True, metavar="NAME", help="Only this one.  Repeatable."
)
@options.engine
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(
    names: tuple[str, ...], engine_path: str | None, engine_flag: tuple[str, ...], as_json: bool
) -> None:
    """Find out what is installed and works: look at machine and engines, then try a tiny job.

    The job leaves nothing behind.  Every problem comes with its cure.

    \b
    Exit codes: 0 a backend works (with -b: all that were named) · 4 none does
    """  # noqa: D301 - click's own mark for lines to keep
    import json
    import logging

    from runcommit_core.doctor.report import as_json as report_as_json
    from runcommit_core.doctor.report import examine
    from runcommit_core.errors import EngineError
    from runcommit_core.interface.values import EngineOptions

    logging.getLogger("runcommit").setLevel(logging.CRITICAL)
    flags = options.engine_flags(engine_flag)
    report = examine(names, EngineOptions(path=engine_path, flags=flags))
    if as_json:
        click.echo(json.dumps(report_as_json(report), indent=2))
    else:
        click.echo("\n".join(_text(report)))
    unusable = [backend.name for backend in report.backends if not backend.usable]
    if unusable and (names or len(unusable) == len(report.backends)):
        raise EngineError(f"cannot be used: {', '.join(unusable)}")


def _text(report: Report) -> Iterator[str]:
    yield "this machine"
    for finding in report.machine:
        yield from _lines(finding)
    for backend in report.backends:
        yield ""
        yield f"{backend.name}: {'can be used' if backend.usable else 'cannot be used'}"
        for finding in backend.findings:
            yield from _lines(finding)


def _lines(finding: Finding) -> Iterator[str]:
    status = click.style(f"{finding.status:<8}", fg=_COLOURS[finding.status])
    said = listed(f"{finding.check}: {finding.found}").splitlines()
    wrapped = [part for line in said for part in _wrapped(line)]
    yield f"  {status}{wrapped[0]}"
    yield from (f"{'':{_INDENT}}{line}" for line in wrapped[1:])
    if finding.cure:
        first, *others = _wrapped(one_line(f"→ {finding.cure}"))
        yield f"{'':{_INDENT}}{first}"
        yield from (f"{'':{_INDENT}}  {line}" for line in others)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(
        line, _WIDTH - _INDENT - 2, break_long_words=False, break_on_hyphens=False
    ) or [""]
