"""What a user decides about the layer: from words to checked options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from runcommit_core.errors import UsageError
from runcommit_core.interface.values import LayerOptions
from runcommit_core.layer.exclusion import exclusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.layer.profiles import Profile


def layer_options(
    *,
    always: bool,
    mtime: Literal["clamp", "set"],
    xattrs: bool,
    exclude: str | Sequence[str],
    clean: str | Sequence[str],
) -> LayerOptions:
    """Check the options; the epoch is not known before the base is.

    Raises UsageError: a pattern or ``mtime`` without a meaning, an unknown profile
    """
    if mtime not in ("clamp", "set"):
        raise UsageError(f"mtime is 'clamp' or 'set', not {mtime!r}")
    patterns = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    names = (clean,) if isinstance(clean, str) else tuple(clean)
    profiles: tuple[Profile, ...] = ()
    if names:
        from runcommit_core.layer.profiles import find_profiles

        profiles = find_profiles(names)
    return LayerOptions(
        always=always, mtime=mtime, xattrs=xattrs, excluded=exclusion(patterns, profiles)
    )
