"""``runcommit backends``: the verb that lists them."""

from __future__ import annotations

import click

from runcommit_core.cli import options


@click.command()
@options.engine
@click.option("-b", "--backend", default="", metavar="NAME", help="Only this one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Also what private copies of bases occupy.")
def backends(
    engine_path: str | None,
    engine_flag: tuple[str, ...],
    backend: str,
    as_json: bool,
    verbose: bool,
) -> None:
    """List the installed backends: which are usable, or why not, and what their engines lack."""
    from runcommit_core.cli.backends import list_backends, list_copies

    click.echo(list_backends(engine_path, engine_flag, as_json=as_json, only=backend))
    if verbose and not as_json:
        click.echo(list_copies(engine_path, engine_flag))
