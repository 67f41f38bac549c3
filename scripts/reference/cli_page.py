"""docs/reference/cli.md: the verbs of the command line and their options."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import click
from markdown import MADE, code, table, words

from runcommit_core.cli import options
from runcommit_core.cli.commands import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = f"""\
# Command line

{MADE}
Results go to standard output and nothing else does. [Exit codes](errors.md) are the same for all
verbs, and all have `-h` and `--help`; `runcommit --version` tells the version.
What the options of a run mean in detail: [run](run-options.md), [outputs](outputs.md),
[config](config-edits.md), [cache](cache.md), [progress](progress.md).
"""

VARIABLES = {
    "RUNCOMMIT_BACKEND": "the backend, where `-b` does not name one",
    "RUNCOMMIT_BLOBS_SIZE": "how large the blobs of [registries](registries.md) in it may be",
    "RUNCOMMIT_CACHE": "as `--cache`: `always`, `hermetic` or `off`",
    "RUNCOMMIT_CACHE_DIR": "the folder of [the cache](cache.md), of the indexes of bases, of cache "
    "mounts and of what `prune` knows; else `$XDG_CACHE_HOME/runcommit`",
    "RUNCOMMIT_CACHE_SIZE": "how large the results in it may be, such as `10g`",
    "RUNCOMMIT_CACHE_STORE": "as `--cache-store`",
    "SOURCE_DATE_EPOCH": "as `--source-date-epoch`",
    "TMPDIR": "where jobs keep their files; else `/var/tmp`",
}
"""Beside those of the engines, which hold as they do without runcommit."""

GROUPS = {
    "What runs": options.commands,
    "Choice of engine and plugins": options.choice,
    "The run": options.run,
    "The layer": options.layer,
    "The image's config": options.config,
    "Outputs": options.outputs,
    "Behaviour": options.behaviour,
}
"""What `run` and `extract` share has a table of its own."""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for path, command in _commands(cli, ("runcommit",)):
        parts.append(_section(path, command))
    parts.append("## Options of a run\n")
    for title, group in GROUPS.items():
        rows = map(_row, _options_of(group))
        parts.append(f"### {title}\n\n{table(('option', '', 'default'), rows)}")
    rows = ((code(name), told) for name, told in VARIABLES.items())
    parts += ["## Variables\n", table(("variable", ""), rows)]
    return "\n".join(parts)


def _commands(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if found := command.get_command(context, name):
                yield from _commands(found, (*path, name))


def _section(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join(command.collect_usage_pieces(context))
    shared = {name for title in GROUPS for name in _names(GROUPS[title])}
    own = [each for each in command.params if isinstance(each, click.Option)]
    runs = {"commands", "network"} <= {each.name for each in own}
    groups = [title for title in GROUPS if _names(GROUPS[title]) <= {each.name for each in own}]
    own = [each for each in own if not (runs and each.name in shared)]
    parts = [f"## {' '.join(path)}\n", f"`{' '.join(path)} {usage}`\n", _help(command)]
    if own:
        parts.append(table(("option", "", "default"), map(_row, own)))
    if runs:
        links = (
            f"[{title}](#{title.lower().replace(' ', '-').replace(chr(39), '')})"
            for title in groups
        )
        parts.append(f"Options: {', '.join(links)}.\n")
    return "\n".join(parts)


def _help(command: click.Command) -> str:
    """The text of ``--help``; lines after click's mark for those to keep are kept as they are."""
    text = words(inspect.cleandoc(command.help or ""))
    pieces = []
    for paragraph in text.split("\n\n"):
        kept = paragraph.startswith("\b\n")
        pieces.append("  \n".join(paragraph.splitlines()[1:]) if kept else paragraph)
    return "\n\n".join(pieces) + "\n"


def _options_of(group: Any) -> list[click.Option]:
    """What a decorator adds."""

    def bare() -> None:
        """Nothing but a place for options."""

    group(bare)
    return list(reversed(bare.__click_params__))  # type: ignore[attr-defined]


def _names(group: Any) -> set[str | None]:
    return {each.name for each in _options_of(group)}


def _row(option: click.Option) -> tuple[str, str, str]:
    value = "" if option.is_flag or option.count else f" {_metavar(option)}"
    name = ", ".join(f"`{word}`" for word in option.opts[:-1]) + (", " if option.opts[1:] else "")
    told = words(re.sub(r"\s*\[env var: (\w+)\]", r" Variable: `\1`.", option.help or ""))
    if option.show_envvar:
        told += f" Variable: `{option.envvar}`."
    default = code(str(option.default)) if option.show_default else ""
    return f"{name}`{option.opts[-1]}{value}`", told, default


def _metavar(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.metavar or (option.name or "").upper()
