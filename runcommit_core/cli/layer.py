"""``runcommit layer …``: looking at layers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runcommit_core.cli.say import say
from runcommit_core.mouth.plain import one_line

if TYPE_CHECKING:
    from runcommit_core.layer.compare import Comparison
    from runcommit_core.layer.contents import Contents
    from runcommit_core.layer.listing import Listed

as_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(short_help="Look at layers.")
def layer() -> None:
    """Look at layers."""


@layer.command()
@click.argument("image")
@click.option("--platform", help="os/architecture[/variant], to choose from an index.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where the layer's plain tar goes."
)
def last(image: str, platform: str | None, output: Path | None) -> None:
    """Print the diff_id of the topmost layer of IMAGE; with -o also write its plain tar.

    IMAGE is what `run` takes as BASE, except engine:REF.
    """
    from runcommit_core.oci.extraction import write_last_layer
    from runcommit_core.remote.pulling import at_hand

    with at_hand(image, platform=platform) as here:
        click.echo(write_last_layer(here, output, platform=platform))


@layer.command()
@click.argument("name", metavar="LAYER")
@click.option("--base", help="Tell added from changed by this image, which is below LAYER.")
@as_json_option
def show(name: str, base: str | None, as_json: bool) -> None:
    """Show what is in LAYER, the largest first.

    LAYER is a tar file, compressed or not, or an image (a directory, or with a prefix as the
    BASE of `run` has it) whose topmost layer is meant.

    \b
    + added    ~ changed    - removed    told apart by --base; without it, only removals are marked
    """  # noqa: D301 - click's own mark for lines to keep
    from runcommit_core.index.imagetree import with_image_tree
    from runcommit_core.layer.contents import read_contents
    from runcommit_core.layer.listing import list_changes
    from runcommit_core.remote.pulling import at_hand

    with at_hand(name) as here:
        contents = read_contents(here)
    if base is None:
        listed = list_changes(contents, None)
    else:
        with at_hand(base) as below:
            listed = with_image_tree(below, lambda tree, _: list_changes(contents, tree))
    click.echo(_listing_json(contents, listed) if as_json else _listing_text(contents, listed))


@layer.command()
@click.argument("a")
@click.argument("b")
@as_json_option
def diff(a: str, b: str, as_json: bool) -> None:
    """Tell why layers A and B differ; see `show` for how they are named.

    Exit code 0 if they are the same tar, however compressed, and 1 if not.
    """
    from runcommit_core.layer.compare import compare_layers
    from runcommit_core.remote.pulling import at_hand

    with at_hand(a) as one, at_hand(b) as other:
        comparison = compare_layers(one, other)
    if as_json:
        click.echo(_comparison_json(comparison))
    else:
        for difference in comparison.paths:
            say(one_line(str(difference)))
        if comparison.form:
            click.echo(comparison.form)
    if not comparison.equal:
        sys.exit(1)


@layer.command()
@click.argument("base")
@click.argument("name", metavar="LAYER")
@click.option(
    "--source-date-epoch", type=int, metavar="SECONDS", help="The one that LAYER was made with."
)
def validate(base: str, name: str, source_date_epoch: int | None) -> None:
    """Check that LAYER is canonical and says nothing needless of BASE; print its diff_id.

    BASE is what `run` takes, except engine:REF; see `show` for how LAYER is named.
    """
    from runcommit_core.index.imagetree import with_image_tree
    from runcommit_core.layer.check import validate_layer
    from runcommit_core.remote.pulling import at_hand
    from runcommit_core.request.epoch import choose_epoch

    with at_hand(base) as below, at_hand(name) as here:
        diff_id = with_image_tree(
            below,
            lambda tree, image: validate_layer(
                tree, here, epoch=choose_epoch(source_date_epoch, image.config)
            ),
        )
    click.echo(diff_id)


@layer.command()
@as_json_option
def profiles(as_json: bool) -> None:
    """List the profiles of `run --clean`: what each leaves out of the layer, and why."""
    from runcommit_core.layer.profiles import profiles as all_profiles

    if as_json:
        import dataclasses

        click.echo(json.dumps([dataclasses.asdict(each) for each in all_profiles()], indent=2))
        return
    for profile in all_profiles():
        also = f" (also: {', '.join(profile.aliases)})" if profile.aliases else ""
        click.echo(f"{profile.name}{also}: {profile.about}")
        for removal in profile.removes:
            spared = ", but no directory" if removal.keep_directories else ""
            click.echo(f"  {removal.pattern}{spared}: {removal.reason}")


def _counts(listed: list[Listed]) -> dict[str, int]:
    changes = [each.change for each in listed]
    return {change: changes.count(change) for change in sorted(set(changes))}


def _listing_text(contents: Contents, listed: list[Listed]) -> str:
    from runcommit_core.layer.listing import tree_text
    from runcommit_core.layer.wording import size_text

    counts = ", ".join(f"{count} {change}" for change, count in _counts(listed).items())
    head = f"{contents.diff_id}  {size_text(contents.size)}  {counts or 'empty'}"
    return "\n".join([head, *tree_text(listed)])


def _listing_json(contents: Contents, listed: list[Listed]) -> str:
    from runcommit_core.layer.wording import KIND_NAMES, json_path

    entries = [
        {
            "path": json_path(each.path),
            "change": each.change,
            "type": KIND_NAMES[each.item.entry.kind],
            "size": each.item.entry.size,
            "mode": f"{each.item.entry.mode:04o}",
            "uid": each.item.entry.uid,
            "gid": each.item.entry.gid,
            "mtime": each.item.entry.mtime,
            "link": json_path(each.item.entry.link) or None,
            "sha256": each.item.sha256 or None,
        }
        for each in listed
    ]
    return json.dumps(
        {
            "diff_id": contents.diff_id,
            "size": contents.size,
            "counts": _counts(listed),
            "entries": entries,
        },
        indent=2,
    )


def _comparison_json(comparison: Comparison) -> str:
    from runcommit_core.layer.wording import json_path

    form = comparison.form
    return json.dumps(
        {
            "equal": comparison.equal,
            "diff_ids": [comparison.first.diff_id, comparison.second.diff_id],
            "differences": [
                {
                    "path": json_path(each.path),
                    "in": each.there,
                    "attributes": each.attributes,
                }
                for each in comparison.paths
            ],
            "form": form
            and {
                "offset": form.offset,
                "entry_offset": form.entry_offset,
                "path": None if form.path is None else json_path(form.path),
            },
        },
        indent=2,
    )
