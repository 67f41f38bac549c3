"""``runcommit backends``: the verb that lists them, and the one that begins a new one."""

from __future__ import annotations

from pathlib import Path

import click

from runcommit_core.cli import options
from runcommit_core.cli.say import say


@click.group(invoke_without_command=True, short_help="List backends, or begin a new one.")
@options.engine
@click.option("-b", "--backend", default="", metavar="NAME", help="Only this one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Also what private copies of bases occupy.")
@click.pass_context
def backends(
    context: click.Context,
    engine_path: str | None,
    engine_flag: tuple[str, ...],
    backend: str,
    as_json: bool,
    verbose: bool,
) -> None:
    """List the installed backends: which are usable, or why not, and what their engines lack."""
    if context.invoked_subcommand:
        return
    from runcommit_core.cli.backends import list_backends, list_copies

    say(list_backends(engine_path, engine_flag, as_json=as_json, only=backend))
    if verbose and not as_json:
        say(list_copies(engine_path, engine_flag))


@backends.command(short_help="Write the beginnings of a backend called NAME.")
@click.argument("name")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def new(name: str, folder: Path | None) -> None:
    """Write the beginnings of a backend called NAME into FOLDER (default: runcommit-NAME).

    A distribution that can be installed at once, with the steps to fill in and the contract as
    its tests.  docs/how-to/write-a-backend.md goes on from there.
    """
    from runcommit_core.cli.newbackend import write_backend

    for path in write_backend(name, folder or Path(f"runcommit-{name}")):
        say(path)
