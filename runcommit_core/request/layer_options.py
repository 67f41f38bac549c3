"""What a user decides about the layer: from words to checked options, and on to a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from runcommit_core.errors import UsageError
from runcommit_core.interface.values import LayerOptions
from runcommit_core.layer.exclusion import directories_of, exclusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.layer.canonical import Policy
    from runcommit_core.layer.changes import Changes
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

    :raises UsageError: a pattern or ``mtime`` without a meaning, an unknown profile
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


def policy(options: LayerOptions, tree: BaseTree, raw_layers: Sequence[Changes]) -> Policy:
    """Make the policy for the canonical form of these raw layers on this base."""
    from runcommit_core.layer.canonical import Policy
    from runcommit_core.layer.mountpoints import mount_points

    excluded = options.excluded
    return Policy(
        epoch=options.epoch,
        mtime=options.mtime,
        keep_user_xattrs=options.xattrs,
        exclude=excluded.test(directories_of(tree, raw_layers)) if excluded else None,
        always_layer=options.always,
        mount_points=tuple(filter(None, mount_points(tree, options.mount_points))),
    )
