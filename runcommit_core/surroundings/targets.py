"""Where mounts lie: those of the job, and those that ``--run-flag`` asks the engine for."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runcommit_core.interface.values import Mount
    from runcommit_core.surroundings.specs import Wanted

_VOLUME = ("-v", "--volume")
_MOUNT = ("--mount",)
_TMPFS = ("--tmpfs",)
_TARGETS = ("target", "dst", "destination")


def flag_targets(flags: Sequence[str]) -> tuple[str, ...]:
    """The targets that an engine's own flags name, as far as they can be told."""
    targets = (_target(flag, value) for flag, value in _pairs(flags))
    return tuple(target for target in targets if target.startswith("/") and target != "/")


def in_order(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """What lies in another mount comes after it."""
    return tuple(sorted(mounts, key=lambda mount: mount.target.count("/")))


def check_targets(wanted: Sequence[Wanted]) -> None:
    """Refuse two mounts at one place; UsageError."""
    seen: dict[str, Wanted] = {}
    for mount in wanted:
        other = seen.setdefault(mount.target, mount)
        if other is not mount:
            raise UsageError(
                f"two mounts have the target {mount.target}: a {other.kind} and a {mount.kind}"
            )


def check_nested(mounts: Sequence[Mount]) -> None:
    """Refuse a mount in a bind mount that has no place for it: the engine would make one there.

    Raises UsageError.
    """
    for outer in mounts:
        if not outer.source or outer.kind == "cache":
            continue
        for inner in mounts:
            below = posixpath.relpath(inner.target, outer.target)
            if inner is outer or below.startswith(".."):
                continue
            if not Path(outer.source, below).exists():
                raise UsageError(
                    f"{inner.target} lies in the {outer.kind} mount {outer.target}, which has no "
                    f"{below} to mount over",
                    tip=f"make {below} in {outer.source}, or choose another target",
                )


def _pairs(flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = iter(flags)
    for word in words:
        flag, separator, value = word.partition("=")
        if flag in (*_VOLUME, *_MOUNT, *_TMPFS):
            yield flag, value if separator else next(words, "")
        elif word.startswith("-v") and len(word) > len("-v"):
            yield "-v", word[2:]


def _target(flag: str, value: str) -> str:
    if flag in _MOUNT:
        pairs = dict(part.strip('"').partition("=")[::2] for part in value.split(","))
        target = next((pairs[key] for key in _TARGETS if key in pairs), "")
    elif flag in _TMPFS:
        target = value.partition(":")[0]
    else:
        parts = value.split(":")
        target = parts[0] if len(parts) == 1 else parts[1]
    return "/" + posixpath.normpath(target).lstrip("/") if target.startswith("/") else ""
