"""Shell completion: what click cannot know by itself, and the script that a shell sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")

_ADDED = "COMPREPLY+=($value)"
_NO_SPACE = "[[ $value != *[:/] ]] || compopt -o nospace"
_TRANSPORTS = ("oci", "oci-archive", "docker-archive", "engine")


def backend_names(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The installed backends that begin like what was typed."""
    from runcommit_core.plugins.backends import installed

    return _matching(["auto", *(item.name for item in installed())], incomplete)


def plugin_names(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The installed plugins, and the words that block them."""
    from runcommit_core.plugins.chosen import installed_points

    names = installed_points()
    return _matching([*names, *(f"no:{name}" for name in names)], incomplete)


def profile_names(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The clean-up profiles; those before the last comma stay."""
    from runcommit_core.layer.profiles import profiles

    before, comma, _ = incomplete.rpartition(",")
    return _matching([f"{before}{comma}{profile.name}" for profile in profiles()], incomplete)


def base_images(
    _context: click.Context, _argument: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Files, and the names of transports; behind those of archives and layouts, files again."""
    from click.shell_completion import CompletionItem

    transport, colon, path = incomplete.partition(":")
    if not colon:
        prefixes = _matching([f"{name}:" for name in _TRANSPORTS], incomplete)
        return prefixes or [CompletionItem(incomplete, type="file")]
    if transport == "engine":
        return []
    return [CompletionItem(f"{transport}:{image_path}") for image_path in _paths(path)]


def after_base(
    context: click.Context, _argument: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Files for the rest of ``oci:PATH``, which bash takes for three words, and for programs."""
    from click.shell_completion import CompletionItem

    if incomplete == ":" and context.params.get("base") in _TRANSPORTS:
        return [CompletionItem(path) for path in _paths("")]
    return [CompletionItem(incomplete, type="file")]


def script(shell: str, command: click.Command, name: str) -> str:
    """What ``eval`` or ``source`` makes the shell complete the command called ``name``."""
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    if completion is None:
        raise LookupError(shell)
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    # a prefix or a folder is not the end of a word
    return (
        completion(command, {}, name, variable).source().replace(_ADDED, f"{_ADDED}; {_NO_SPACE}")
    )


def _matching(names: list[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _paths(beginning: str) -> list[str]:
    import glob
    import os

    paths = sorted(glob.glob(glob.escape(beginning) + "*"))  # noqa: PTH207 - text, as it was typed
    return [f"{path}{os.sep}" if os.path.isdir(path) else path for path in paths]  # noqa: PTH112
