"""From the options of a layer to the policy for its canonical form on one base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.layer.canonical import Policy
from runcommit_core.layer.exclusion import directories_of
from runcommit_core.layer.mountpoints import mount_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.interface.values import LayerOptions
    from runcommit_core.layer.changes import Changes


def policy(options: LayerOptions, tree: BaseTree, raw_layers: Sequence[Changes]) -> Policy:
    """Make the policy for the canonical form of these raw layers on this base."""
    excluded = options.excluded
    return Policy(
        epoch=options.epoch,
        mtime=options.mtime,
        keep_user_xattrs=options.xattrs,
        exclude=excluded.test(directories_of(tree, raw_layers)) if excluded else None,
        always_layer=options.always,
        mount_points=tuple(filter(None, mount_points(tree, options.mount_points))),
    )
