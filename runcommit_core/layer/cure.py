"""Which clean-up profiles would have kept paths out of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.layer.exclusion import exclusion
from runcommit_core.layer.profiles import profiles
from runcommit_core.layer.scrub import with_ancestors
from runcommit_core.tar.whiteout import split_marker

if TYPE_CHECKING:
    from collections.abc import Mapping


def cures(paths: Mapping[bytes, bool]) -> dict[str, set[bytes]]:
    """Map the names of profiles to those of the paths that each would remove.

    ``paths`` are those of the entries of canonical layers, and whether each is a directory.

    A profile that removes nothing beyond what an earlier one with as many paths does is left out.
    """
    targets = {path: split_marker(path)[1] for path in paths}
    files = {target for path, target in targets.items() if not paths[path]}
    removed = {}
    for profile in profiles():
        is_removed = with_ancestors(
            exclusion(profiles=[profile]).test(lambda path: path not in files)
        )
        covered = {path for path, target in targets.items() if is_removed(target)}
        if covered:
            removed[profile.name] = covered
    chosen: dict[str, set[bytes]] = {}
    for name, covered in sorted(removed.items(), key=lambda item: -len(item[1])):
        if covered - set().union(*chosen.values()):
            chosen[name] = covered
    return chosen
