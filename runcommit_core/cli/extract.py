"""``runcommit extract``: files and directories out of the result of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from runcommit_core.cli import completion, options
from runcommit_core.cli.dash import check_dash, standing_in
from runcommit_core.cli.progress import reporting
from runcommit_core.cli.say import say
from runcommit_core.engine.cleanup import CleanUp
from runcommit_core.engine.interruption import undisturbed
from runcommit_core.mouth.plain import one_line

_PATH = click.Path(path_type=Path)


@click.command(short_help="Run commands on BASE and take files out of the result.")
@click.option(
    "--path",
    "paths",
    multiple=True,
    required=True,
    metavar="PATH",
    help="An absolute path in the result: a file, or a directory with all it holds.  Repeatable.",
)
@click.option(
    "-o",
    "--output",
    "tar",
    type=_PATH,
    metavar="TAR",
    help="A tar to write, - for standard output: each PATH under its base name, owners and modes"
    " kept.",
)
@click.option(
    "--to",
    type=_PATH,
    metavar="DIR",
    help="A directory to write into: each PATH under its base name, as files of your own.",
)
@click.option(
    "--as",
    "places",
    type=_PATH,
    multiple=True,
    metavar="PLACE",
    help="Exactly where a PATH goes.  Repeatable: one for each --path, in their order.",
)
@options.commands
@options.choice
@options.run
@options.layer
@options.behaviour
@click.argument("base", shell_complete=completion.base_images)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, shell_complete=completion.after_base)
def extract(
    verbose: int, quiet: bool, progress: str, json_output: bool, explain: bool, **given: Any
) -> None:
    """Run commands on BASE and take files and directories out of the result.

    Without an image and from any engine.  BASE and the commands are those of `run`; so are all
    options that say what runs and what of it counts.

    A PATH that leads over symlinks is followed inside the image; links inside a directory stay
    links.  With --to and --as, existing files are replaced, existing directories entered, set-id
    bits of others' ids dropped and devices left out.

    Standard output is what was written, a line for each, or with -o - the tar itself.
    """
    if explain:
        from runcommit_core.cli.explain import print_extraction

        print_extraction(options.arguments(given), as_json=json_output)
        return
    with (
        undisturbed(),
        reporting(progress, verbose=verbose, quiet=quiet) as reporter,
        CleanUp() as stack,
    ):
        from runcommit_core.api import run_extract

        dashed = check_dash(given["tar"], json=json_output)
        if dashed:
            given["tar"] = stack.enter_context(standing_in())
        extracted = run_extract(
            **options.arguments(given), console=reporter.console, progress=reporter.progress
        )
    if dashed:
        return
    if json_output:
        import json

        from runcommit_core.publish.report import metadata

        written = [str(place) for place in extracted.places]
        click.echo(json.dumps({**metadata(extracted.result), "extracted": written}))
        return
    for place in extracted.places:
        say(one_line(str(place)))
