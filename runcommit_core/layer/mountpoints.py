"""Where in the image a path of the container lies: engines follow the base's links to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core.index.links import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runcommit_core.index.basetree import BaseTree


def mount_points(tree: BaseTree, targets: Iterable[str]) -> tuple[bytes, ...]:
    """The normalised paths, in the base or yet to be made, that absolute ``targets`` lead to."""
    return tuple(resolve(tree, os.fsencode(target)).path for target in targets)
