"""The options of ``run``, in the groups in which the documentation shows them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from runcommit_core.cli import completion
from runcommit_core.cli.progress import MODES
from runcommit_core.plugins.builtin import BUILT_IN

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)


def _group(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


commands = _group(
    click.option(
        "-c", "--command", "commands", multiple=True, metavar="TEXT",
        help="A command for the shell in the container.  Repeatable: one shell has all"
        " of them, and the first failure stops.",
    ),
    click.option("--script", type=_PATH, metavar="FILE", help="A script to run; #! is honoured."),
    click.option(
        "--shell", metavar="WORDS",
        help="The shell for -c and --script.  Default: the base's (SHELL), else /bin/sh -c.",
    ),
)  # fmt: skip

engine = _group(
    click.option("--engine-path", metavar="PATH", help="The engine's program."),
    click.option(
        "--engine-flag", multiple=True, metavar="WORDS",
        help="Flags of the engine that stand before its verb.  Repeatable, split like a shell.",
    ),
)  # fmt: skip

choice = _group(
    click.option(
        "-b", "--backend", default="auto", envvar="RUNCOMMIT_BACKEND", show_envvar=True,
        show_default=True, metavar="NAME", shell_complete=completion.backend_names,
        help=f"{', '.join(BUILT_IN)}, an installed one, or package.module[:object].  "
        "auto takes the first that is usable, in the order of `runcommit backends`.",
    ),
    click.option(
        "-p", "--plugin", "plugins", multiple=True, metavar="NAME",
        shell_complete=completion.plugin_names,
        help="A plugin: an installed one or package.module[:object].  no:NAME leaves out an "
        "installed one, which takes part else.  Repeatable.",
    ),
    click.option(
        "--transport", type=click.Choice(["auto", "registry", "archive"]), default="auto",
        show_default=True, help="How images travel to and from the engine.",
    ),
    engine,
    click.option(
        "--run-flag", multiple=True, metavar="WORDS",
        help="Further flags for the engine's run.  Repeatable, split like a shell.",
    ),
    click.option("--platform", help="os/architecture[/variant], to choose from an index."),
)  # fmt: skip

run = _group(
    click.option(
        "-e", "--env", multiple=True, metavar="KEY[=VALUE]",
        help="A variable for the run alone; without a value it is passed through.  Repeatable.",
    ),
    click.option(
        "--env-file", "env_files", type=_PATH, multiple=True, metavar="FILE",
        help="Variables, one KEY=VALUE a line; -e wins.  Repeatable.",
    ),
    click.option("-u", "--user", metavar="USER[:GROUP]", help="Default: the base's."),
    click.option("-w", "--workdir", metavar="PATH", help="Default: the base's, else /."),
    click.option("--network", metavar="NAME", help="none, host, or one that the engine knows."),
    click.option(
        "--input", "inputs", multiple=True, metavar="SRC:DST",
        help="A file or directory that is there during the run, read-only.  Repeatable.",
    ),
    click.option(
        "--mount", "mounts", multiple=True, metavar="type=TYPE,…",
        help="bind, tmpfs, cache or secret, in docker's syntax.  Repeatable.",
    ),
    click.option(
        "--secret", "secrets", multiple=True, metavar="id=NAME,…",
        help="With src=FILE or env=VAR: to be read at /run/secrets/NAME.  Repeatable.",
    ),
    click.option("-m", "--memory", metavar="SIZE", help="The most memory, such as 512m."),
    click.option("--cpus", metavar="NUMBER", help="The most processors, such as 1.5."),
    click.option("--timeout", metavar="TIME", help="End the run after 90s, 5m, 1h30m; exit 124."),
    click.option(
        "--stop-timeout", metavar="TIME",
        help="How long after Ctrl-C the command may take to end.  Default: 2s.",
    ),
)  # fmt: skip

layer = _group(
    click.option(
        "--source-date-epoch", type=int, metavar="SECONDS",
        help="No file of the layer is newer.  Default: SOURCE_DATE_EPOCH, else the base's created.",
    ),
    click.option(
        "--mtime", type=click.Choice(["clamp", "set"]), default="clamp", show_default=True,
        help="Times that differ from the base's: no later than the epoch, or the epoch itself.",
    ),
    click.option("--xattrs", is_flag=True, help="Keep user.* attributes, which docker loses."),
    click.option(
        "--exclude", multiple=True, metavar="GLOB",
        help="Paths from the image's root that count as unchanged, with all below them: * within a "
        "component, ** across.  Repeatable.",
    ),
    click.option(
        "--clean", multiple=True, metavar="PROFILE", shell_complete=completion.profile_names,
        help="Leave out what apt, dnf, apk, pip, python… leave behind.  Repeatable, commas "
        "allowed; `runcommit layer profiles` lists them.",
    ),
    click.option("--split", is_flag=True, help="A layer for each -c; -o a.tar writes a.1.tar, …"),
    click.option("--always-layer", is_flag=True, help="Write an empty layer if nothing changed."),
)  # fmt: skip

config = _group(
    click.option(
        "--config-env", multiple=True, metavar="KEY=VALUE",
        help="A variable of the image; $NAME in the value is the image's own.  Repeatable.",
    ),
    click.option(
        "--entrypoint", metavar="TEXT",
        help="A JSON array, else for the image's shell; an empty one clears.  Clears the base's "
        "cmd.",
    ),
    click.option("--cmd", metavar="TEXT", help="A JSON array, else for the image's shell."),
    click.option(
        "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Repeatable."
    ),
    click.option(
        "--annotation", "annotations", multiple=True, metavar="KEY=VALUE",
        help="For the manifest.  Repeatable.",
    ),
    click.option("--config-user", metavar="USER[:GROUP]", help="As whom containers run."),
    click.option(
        "--config-workdir", metavar="PATH", help="Where containers start; relative to the base's."
    ),
    click.option(
        "--expose", multiple=True, metavar="PORT[/PROTO]", help="Also FIRST-LAST.  Repeatable."
    ),
    click.option("--author", metavar="TEXT", help="Default: the base's."),
    click.option("--comment", metavar="TEXT", help="For the new history items."),
)  # fmt: skip

outputs = _group(
    click.option(
        "-o", "--layer", type=_PATH, metavar="PATH",
        help="Where the layer's tar goes, compressed as --compression says.",
    ),
    click.option(
        "--image", "image", multiple=True, metavar="[FORM:]PATH[:NAME]",
        help="Where the complete image goes; FORM is that of --format.  Repeatable.",
    ),
    click.option(
        "--format", "image_format", default="oci", show_default=True, metavar="FORM",
        type=click.Choice(["oci", "oci-archive", "docker-archive"]),
        help="The form of an --image without one: oci, oci-archive or docker-archive.",
    ),
    click.option("--load", metavar="NAME", help="What the image shall be called in the engine."),
    click.option(
        "--push", multiple=True, metavar="docker://HOST/NAME[:TAG]",
        help="A registry that the complete image goes to.  Repeatable.",
    ),
    click.option(
        "--compression", default="none", show_default=True, metavar="KIND[:LEVEL]",
        help="How the new layer is stored: none, gzip (1-9, default 2) or zstd (1-19, default 3).",
    ),
    click.option("--metadata", type=_PATH, metavar="FILE", help="Where a JSON report goes."),
    click.option(
        "--provenance", type=_PATH, metavar="FILE",
        help="Where an in-toto statement with SLSA provenance goes.",
    ),
)  # fmt: skip

behaviour = _group(
    click.option(
        "--verify",
        is_flag=True,
        help="Compare base and layer with the container's root, file by file.",
    ),
    click.option(
        "--keep-on-failure",
        is_flag=True,
        help="Leave the container of a job that fails, and say how to enter it.",
    ),
    click.option(
        "--shell-on-failure",
        is_flag=True,
        help="Open a shell in the container of a job that fails; needs a terminal.",
    ),
    click.option(
        "--check-reproducible",
        is_flag=True,
        help="Run twice; exit code 7 and the reasons if the layers differ.",
    ),
    click.option(
        "--cache", type=click.Choice(["always", "hermetic", "off"]),
        help="When the result of an earlier, equal run may serve: hermetic, the default, asks for "
        "--network none, and for neither bind or cache mounts nor engine flags.  "
        "[env var: RUNCOMMIT_CACHE]",
    ),
    click.option("--no-cache", "cache", flag_value="off", help="The same as --cache off."),
    click.option(
        "--cache-store", metavar="WHERE",
        help="A cache to share: a directory, or oci://HOST[:PORT]/REPOSITORY in any registry.  "
        "[env var: RUNCOMMIT_CACHE_STORE]",
    ),
    click.option(
        "--progress", type=click.Choice(MODES), default="auto", show_default=True,
        help="What standard error shows: auto is live on a terminal and the command's output alone "
        "elsewhere; plain has lines for the steps, too; json one event a line; none nothing.",
    ),
    click.option(
        "--explain", is_flag=True,
        help="Print what would run, with every engine command, and run nothing.",
    ),
    click.option("--json", "json_output", is_flag=True, help="Print the JSON report."),
    click.option(
        "-v", "--verbose", count=True, help="Say what is done; twice: every engine command."
    ),
    click.option(
        "-q", "--quiet", is_flag=True, help="Nothing but the command's output and errors."
    ),
)  # fmt: skip


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """What ``run_commit`` takes, from what the command line gave."""
    return given | {
        "shell": _split("--shell", given["shell"]) if given["shell"] is not None else (),
        "engine_flags": _all_split("--engine-flag", given.pop("engine_flag")),
        "run_flags": _all_split("--run-flag", given.pop("run_flag")),
        "env": dict(_variable(item) for item in given["env"]),
        **{name: _pairs(option, given[name]) for name, option in _PAIRS.items() if name in given},
    }


def engine_flags(values: tuple[str, ...]) -> tuple[str, ...]:
    """The words of ``--engine-flag``."""
    return _all_split("--engine-flag", values)


def _variable(item: str) -> tuple[str, str]:
    key, separator, value = item.partition("=")
    if not key:
        raise click.BadParameter("a variable has no name", param_hint="--env")
    if not separator:
        if key not in os.environ:
            raise click.BadParameter(
                f"{key} is not set here, so it cannot be passed through", param_hint="--env"
            )
        value = os.environ[key]
    return key, value


_PAIRS = {"config_env": "--config-env", "labels": "--label", "annotations": "--annotation"}


def _pairs(option: str, items: Sequence[str]) -> dict[str, str]:
    if option == "--label":  # as with docker, one without a value has an empty one
        items = [item if "=" in item else f"{item}=" for item in items]
    for item in items:
        if "=" not in item[1:]:
            raise click.BadParameter(f"{item!r} is not KEY=VALUE", param_hint=option)
    return dict(item.split("=", 1) for item in items)


def _all_split(option: str, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for value in values for word in _split(option, value))


def _split(option: str, value: str) -> list[str]:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}", param_hint=option) from error
    if not words:
        raise click.BadParameter("is empty", param_hint=option)
    return words
