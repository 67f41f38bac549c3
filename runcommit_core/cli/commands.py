"""The verbs of the command line."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import click

from runcommit_core.cli import completion, options
from runcommit_core.cli.dash import check_dash, standing_in
from runcommit_core.cli.progress import reporting
from runcommit_core.engine.cleanup import CleanUp
from runcommit_core.engine.interruption import undisturbed

log = logging.getLogger("runcommit")


_ELSEWHERE = {
    "backends": "backendverbs",
    "cache": "cache",
    "doctor": "doctor",
    "extract": "extract",
    "layer": "layer",
    "prune": "prune",
}
"""Verbs that have a module of their own, imported only where they are called or listed."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _ELSEWHERE:
            module = importlib.import_module(f"runcommit_core.cli.{_ELSEWHERE[cmd_name]}")
            command: click.Command = getattr(module, cmd_name)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="runcommit", message="%(prog)s %(version)s")
def cli() -> None:
    """Run commands on a base container image and get exactly the new layer."""


@cli.command(short_help="Run commands on BASE and write the new layer.")
@options.commands
@options.choice
@options.run
@options.layer
@options.config
@options.outputs
@options.behaviour
@click.argument("base", shell_complete=completion.base_images)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, shell_complete=completion.after_base)
def run(
    verbose: int, quiet: bool, progress: str, json_output: bool, explain: bool, **given: Any
) -> None:
    """Run commands on BASE and write the new layer.

    BASE is docker://HOST/NAME[:TAG], oci:PATH[:NAME], oci-archive:PATH, docker-archive:PATH, a
    path whose kind is detected, or engine:REF.  Give -c TEXT (repeatable, all in one shell, the
    first failure stops), or --script FILE, or -- PROGRAM ARG…

    Standard output is the diff_id of the new layer, or nothing when nothing changed; with -o -
    it is the layer's tar.

    \b
    Exit codes: 0 done · 2 usage · 3 a backend breaks its contract · 4 the engine failed
    5 the command failed · 6 an image is not what the spec says · 7 not reproducible
    8 a plugin refuses the layer · 124 timeout · 130, 143 interrupted
    """  # noqa: D301 - click's own mark for lines to keep
    if explain:
        from runcommit_core.cli.explain import print_explanation

        print_explanation(options.arguments(given), as_json=json_output)
        return
    with (
        undisturbed(),
        reporting(progress, verbose=verbose, quiet=quiet) as reporter,
        CleanUp() as stack,
    ):
        from runcommit_core.api import run_commit

        dashed = check_dash(given["layer"], json=json_output, split=given["split"])
        if dashed:
            given["layer"] = stack.enter_context(standing_in())
        result = run_commit(
            **options.arguments(given), console=reporter.console, progress=reporter.progress
        )
        if not result.layers:
            log.warning("no new layer: nothing changed")
    if dashed:
        return
    if json_output:
        import json

        from runcommit_core.publish.report import metadata

        click.echo(json.dumps(metadata(result)))
        return
    for new in result.layers:
        click.echo(new.diff_id)


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
    from runcommit_core.remote.pulling import at_hand

    with at_hand(image, platform=platform) as here:
        id_read = read_image_id(here, platform=platform)
    if not as_json:
        click.echo(id_read.config_digest)
        return
    import json

    click.echo(
        json.dumps(
            {
                "config_digest": id_read.config_digest,
                "manifest_digest": id_read.manifest_digest,
                "docker": id_read.config_digest,
                "docker_containerd_store": id_read.manifest_digest,
                "podman": id_read.config_digest.removeprefix("sha256:"),
                "buildah": id_read.config_digest.removeprefix("sha256:"),
            }
        )
    )


@cli.command(short_help="Run the job that a JSON file describes.")
@click.argument("file", type=click.Path(path_type=Path))
def job(file: Path) -> None:
    """Run the job that a JSON file describes.

    For build systems: the keys are the arguments of run_commit(), docs/reference/job-file.md lists
    them.  Says nothing when the job works, and everything on standard error when it does not.
    """
    from runcommit_core.cli.job import run_job_file

    run_job_file(file)


@cli.command(short_help="Print what changes whenever runcommit's code does.")
def stamp() -> None:
    """Print, as JSON, the version and a digest of the code of runcommit and its backends.

    For build systems, whose caches must know when the program is another one.
    """
    import json

    from runcommit_core.cli.stamp import stamp as stamped

    click.echo(json.dumps(stamped()))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def plugins(as_json: bool) -> None:
    """List the installed plugins, which take part in every job unless blocked: -p no:NAME.

    Exit code 1 if one of them is broken, for then no job runs with it.
    """
    from runcommit_core.cli.plugins import list_plugins

    list_plugins(as_json=as_json)


@cli.command("completion", short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(completion.SHELLS))
def completion_script(shell: str) -> None:
    """Print what makes SHELL complete runcommit's options, choices, backends and profiles.

    \b
    bash  eval "$(runcommit completion bash)"          in ~/.bashrc
    zsh   eval "$(runcommit completion zsh)"           in ~/.zshrc
    fish  runcommit completion fish | source           in ~/.config/fish/config.fish
    """  # noqa: D301 - click's own mark for lines to keep
    click.echo(completion.script(shell, cli, "runcommit"))
