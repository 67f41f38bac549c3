"""The options of ``run``, in the groups in which the documentation shows them."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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
        help="A command for the shell in the container.  Repeatable; the first failure stops.",
    ),
    click.option("--script", type=_PATH, metavar="FILE", help="A script to run; #! is honoured."),
    click.option(
        "--shell", default="/bin/sh -c", show_default=True, metavar="WORDS",
        help="The shell for -c and --script.",
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
        show_default=True, metavar="NAME",
        help="docker, podman, buildah, an installed one, or package.module[:object].  auto takes "
        "the first that is usable, in the order of `runcommit backends`.",
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
    click.option("-u", "--user", metavar="USER[:GROUP]", help="Default: the base's."),
    click.option("-w", "--workdir", metavar="PATH", help="Default: the base's, else /."),
    click.option("--network", metavar="NAME", help="none, host, or one that the engine knows."),
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
        "--clean", multiple=True, metavar="PROFILE",
        help="Leave out what apt, dnf, apk, pip, python… leave behind.  Repeatable, commas "
        "allowed; `runcommit layer profiles` lists them.",
    ),
    click.option("--split", is_flag=True, help="A layer for each -c; -o a.tar writes a.1.tar, …"),
    click.option("--always-layer", is_flag=True, help="Write an empty layer if nothing changed."),
)  # fmt: skip

outputs = _group(
    click.option("-o", "--layer", type=_PATH, metavar="PATH", help="Where the layer's tar goes."),
    click.option(
        "--image", type=_PATH, metavar="PATH", help="Where the complete image goes (OCI layout)."
    ),
    click.option("--metadata", type=_PATH, metavar="FILE", help="Where a JSON report goes."),
)

behaviour = _group(
    click.option(
        "--verify",
        is_flag=True,
        help="Compare base and layer with the container's root, file by file.",
    ),
    click.option(
        "--check-reproducible",
        is_flag=True,
        help="Run twice; exit code 7 and the reasons if the layers differ.",
    ),
    click.option("--json", "json_output", is_flag=True, help="Print the JSON report."),
    click.option(
        "-v", "--verbose", count=True, help="Say what is done; twice: every engine command."
    ),
    click.option(
        "-q", "--quiet", is_flag=True, help="Nothing but the command's output and errors."
    ),
)


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """What ``run_commit`` takes, from what the command line gave."""
    return given | {
        "shell": _split("--shell", given["shell"]),
        "engine_flags": _all_split("--engine-flag", given.pop("engine_flag")),
        "run_flags": _all_split("--run-flag", given.pop("run_flag")),
        "env": dict(_variable(item) for item in given["env"]),
    }


def set_up_logging(verbose: int, quiet: bool) -> None:
    """Log to standard error: warnings, with ``-v`` steps, with ``-vv`` every engine command."""
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    level = logging.ERROR if quiet else levels[min(verbose, 2)]
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("runcommit: %(message)s"))
    logger = logging.getLogger("runcommit")
    logger.addHandler(handler)
    logger.setLevel(level)


def _variable(item: str) -> tuple[str, str]:
    key, separator, value = item.partition("=")
    if not key:
        raise click.BadParameter(f"{item!r} has no name", param_hint="--env")
    if not separator:
        if key not in os.environ:
            raise click.BadParameter(
                f"{key} is not set here, so it cannot be passed through", param_hint="--env"
            )
        value = os.environ[key]
    return key, value


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
