"""``runcommit prune``: what it says of each thing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from runcommit_core.cli import options
from runcommit_core.cli.progress import reporting
from runcommit_core.cli.say import say
from runcommit_core.errors import EngineError
from runcommit_core.mouth.plain import one_line

if TYPE_CHECKING:
    from runcommit_core.housekeeping.prune import Choice, Found
    from runcommit_core.interface.values import EngineOptions


@click.command(short_help="Take away what killed jobs left.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--kept", is_flag=True, help="Also containers that --keep-on-failure kept.")
@click.option(
    "--bases",
    is_flag=True,
    help="Also the private copies of bases that this user's jobs made fast with.",
)
@click.option(
    "--older-than",
    metavar="TIME",
    help="Of those copies only the ones that no job has used for so long, like 30d or 12h.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All of these, copies that no job here has used, and the cache of results.",
)
@click.option(
    "--forget",
    is_flag=True,
    help="Also the records of jobs whose backend or engine is no longer there.",
)
@click.option("-b", "--backend", default="", metavar="NAME", help="In this one's engines alone.")
@options.engine
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("-v", "--verbose", count=True, help="Say what is left alone; twice: every command.")
def prune(
    dry_run: bool,
    kept: bool,
    bases: bool,
    older_than: str | None,
    everything: bool,
    as_json: bool,
    verbose: int,
    **more: Any,
) -> None:
    """Take away what killed jobs left in engines, in the cache and in temporary folders.

    One line for each thing: what it is, in which backend's engine, its name, its size.  Nothing
    of a living job, of another user or of another program is touched.  What cannot be reached now
    is told, and found again by the next call.
    """
    from runcommit_core.housekeeping.prune import Choice
    from runcommit_core.interface.values import EngineOptions
    from runcommit_core.surroundings.amounts import age

    choice = Choice(
        kept=kept or everything,
        bases=bases or everything,
        older_than=age(older_than) if older_than else 0.0,
        results=everything,
        strangers=everything,
        forget=more["forget"],
        backend=more["backend"],
    )
    options_of_engine = EngineOptions(
        path=more["engine_path"], flags=options.engine_flags(more["engine_flag"])
    )
    with reporting("plain", verbose=verbose):
        _prune(choice, options_of_engine, dry_run=dry_run, as_json=as_json)


def _prune(choice: Choice, engine: EngineOptions, *, dry_run: bool, as_json: bool) -> None:
    """Print each thing as it goes, or would go.

    Raises EngineError, when all else is done, with what could not be removed.
    """
    from runcommit_core.housekeeping.prune import Prune, look, remove, usable_engines

    pruning = Prune(choice, look if dry_run else remove)
    rows = []
    engines = usable_engines(engine, choice.backend) if choice.bases else ()
    for found in pruning.found(engines):
        stays = found.kept and not choice.kept
        if as_json:
            rows.append(_row(found, removed=not (dry_run or stays)))
        else:
            say(one_line(_line(found, stays=stays)))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    if pruning.problems:
        raise EngineError(
            "\n  ".join(["not all could be removed:", *pruning.problems]),
            tip="mend what is said there, then call `runcommit prune` again: it still knows",
        )


def _line(found: Found, *, stays: bool) -> str:
    from runcommit_core.layer.wording import size_text

    thing = found.thing
    kind = "kept" if stays else thing.kind
    size = "" if thing.size is None else size_text(thing.size)
    cells = [f"{kind:9}", f"{found.backend or '-':7}", thing.name, size]
    return "  ".join(cells).rstrip()


def _row(found: Found, *, removed: bool) -> dict[str, object]:
    return {
        "kind": found.thing.kind,
        "name": found.thing.name,
        "backend": found.backend or None,
        "job": found.job or None,
        "size": found.thing.size,
        "kept": found.kept,
        "removed": removed,
    }
