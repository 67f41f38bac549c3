"""Clean-up profiles: what ``--clean NAME`` leaves out of a layer, and why.

The profiles themselves are data: ``profiles.toml`` beside this module.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


@record
class Removal:
    """A pattern (:mod:`runcommit_core.layer.globs`) and why what it chooses is worth nothing.

    With ``keep_directories`` it chooses everything but directories.
    """

    pattern: str
    reason: str
    keep_directories: bool = False


@record
class Profile:
    """What one program leaves behind that differs with every run."""

    name: str
    about: str
    aliases: tuple[str, ...]
    removes: tuple[Removal, ...]


@functools.cache
def profiles() -> tuple[Profile, ...]:
    """Read all profiles, in the order of the file."""
    text = resources.files(__package__).joinpath("profiles.toml").read_text(encoding="utf-8")
    return tuple(_profile(name, table) for name, table in tomllib.loads(text).items())


def find_profiles(names: Iterable[str]) -> tuple[Profile, ...]:
    """Find profiles by name or alias; each name may be several with commas between.

    Raises UsageError: no profile has this name
    """
    known = {name: each for each in profiles() for name in (each.name, *each.aliases)}
    by_name = {}
    for name in (part.strip() for text in names for part in text.split(",")):
        if name not in known:
            raise UsageError(
                f"no clean-up profile is called {name!r}; there are: "
                + ", ".join(each.name for each in profiles()),
                tip="`runcommit layer profiles` tells what each removes",
            )
        by_name[known[name].name] = known[name]
    return tuple(by_name.values())


def _profile(name: str, table: dict[str, Any]) -> Profile:
    removes = tuple(Removal(**removal) for removal in table["removes"])
    return Profile(name, table["about"], tuple(table.get("aliases", ())), removes)
