"""``runcommit cache …``: what earlier runs left for later ones."""

from __future__ import annotations

import json

import click

from runcommit_core.cli.say import say
from runcommit_core.mouth.plain import one_line

as_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(short_help="Look at the cache of results, and clear it.")
def cache() -> None:
    """Look at the cache of results and of what bases hold, and clear it.

    RUNCOMMIT_CACHE_DIR says where it is, RUNCOMMIT_CACHE_SIZE how large the results may be (10g).
    """


@cache.command()
@as_json_option
def show(as_json: bool) -> None:
    """List what is in the cache, the most recently used first."""
    from runcommit_core.cache import listing
    from runcommit_core.layer.wording import size_text

    contents = listing.cache_contents()
    if as_json:
        items = [listing.as_json(item) for item in contents.items]
        said = {"path": str(contents.where), "size": contents.size, "items": items}
        click.echo(json.dumps(said, indent=2))
        return
    for item in contents.items:
        say(one_line(listing.as_text(item)))
    click.echo(
        f"{contents.where}: {contents.count('result')} results, {contents.count('index')} indexes,"
        f" {contents.count('blob')} blobs, {size_text(contents.size)}"
    )


@cache.command()
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--size", metavar="SIZE", help="The least recently used beyond so much, like 2g.")
@click.option(
    "--older-than", metavar="TIME", help="What was not used for so long, like 30d or 12h."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@as_json_option
def prune(
    everything: bool, size: str | None, older_than: str | None, dry_run: bool, as_json: bool
) -> None:
    """Remove results, indexes and blobs; without an option, results beyond RUNCOMMIT_CACHE_SIZE.

    Running jobs do without what goes: they run, or index their base anew.  Blobs of registries stay
    while a job that uses any of them runs.
    """
    from runcommit_core.cache import listing
    from runcommit_core.cache.store import own_limit
    from runcommit_core.layer.wording import size_text
    from runcommit_core.surroundings.amounts import age, size_in_bytes

    given = everything or size or older_than
    contents = listing.cache_contents()
    gone = listing.prune(
        contents if given else contents.without_blobs(),
        everything=everything,
        size=size_in_bytes(size, "--size") if size else None if given else own_limit(),
        older_than=age(older_than) if older_than else None,
    )
    if not dry_run:
        gone = listing.remove(gone)
    if as_json:
        click.echo(json.dumps([listing.as_json(item) for item in gone], indent=2))
        return
    for item in gone:
        say(one_line(listing.as_text(item)))
    freed = size_text(sum(item.kept.size for item in gone))
    click.echo(f"{'would remove' if dry_run else 'removed'} {len(gone)}, {freed}", err=True)
