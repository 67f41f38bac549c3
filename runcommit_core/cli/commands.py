"""The verbs of the command line."""

from __future__ import annotations

import logging
from typing import Any

import click

from runcommit_core.cli import options
from runcommit_core.cli.layer import layer

log = logging.getLogger("runcommit")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="runcommit", message="%(prog)s %(version)s")
def cli() -> None:
    """Run commands on a base container image and get exactly the new layer."""


@cli.command(short_help="Run commands on BASE and write the new layer.")
@options.commands
@options.choice
@options.run
@options.layer
@options.outputs
@options.behaviour
@click.argument("base")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
def run(verbose: int, quiet: bool, json_output: bool, **given: Any) -> None:
    r"""Run commands on BASE and write the new layer.

    BASE is oci:PATH[:NAME], oci-archive:PATH, docker-archive:PATH, a path whose kind is
    detected, or engine:REF.  Give -c TEXT (repeatable, each through the shell, the first
    failure stops), or --script FILE, or -- PROGRAM ARG…

    Standard output is the diff_id of the new layer, or nothing when nothing changed.

    \b
    Exit codes: 0 done · 2 usage · 3 a backend breaks its contract · 4 the engine failed
    5 the command failed · 6 an image is not what the spec says · 7 not reproducible
    130, 143 interrupted
    """
    options.set_up_logging(verbose, quiet)
    from runcommit_core.api import run_commit

    result = run_commit(**options.arguments(given))
    if json_output:
        import json

        from runcommit_core.outputs import metadata

        click.echo(json.dumps(metadata(result)))
        return
    for new in result.layers:
        click.echo(new.diff_id)
    if not result.layers:
        log.warning("no new layer: nothing changed")


cli.add_command(layer)


@cli.group(short_help="Look at images.")
def image() -> None:
    """Look at images."""


@image.command("id")
@click.argument("image")
@click.option("--platform", help="os/architecture[/variant], to choose from an index.")
@click.option("--json", "as_json", is_flag=True, help="All the names as JSON.")
def image_id(image: str, platform: str | None, as_json: bool) -> None:
    """Print the config digest of IMAGE, which is what engines call it.

    Docker with its containerd image store calls it by the manifest digest instead; --json gives
    both.
    """
    from runcommit_core.oci.inspect import image_id as read_image_id

    found = read_image_id(image, platform=platform)
    if not as_json:
        click.echo(found.config_digest)
        return
    import json

    click.echo(
        json.dumps(
            {
                "config_digest": found.config_digest,
                "manifest_digest": found.manifest_digest,
                "docker": found.config_digest,
                "docker_containerd_store": found.manifest_digest,
                "podman": found.config_digest.removeprefix("sha256:"),
                "buildah": found.config_digest.removeprefix("sha256:"),
            }
        )
    )


@cli.command()
@options.engine
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def backends(engine_path: str | None, engine_flag: tuple[str, ...], as_json: bool) -> None:
    """List the installed backends and say which are usable, or why not."""
    from runcommit_core.cli.backends import list_backends

    click.echo(list_backends(engine_path, engine_flag, as_json=as_json))
