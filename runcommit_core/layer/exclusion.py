"""What the user keeps out of the layer: patterns of their own, and clean-up profiles.

An excluded path, and all below it, counts as unchanged: it is not in the layer, nothing that the
base has there is deleted, and what the run made of the base's is forgotten.  The directories
above it stay as the run left them, also where that leaves a new one empty, because the program
that made a directory may count on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.layer.globs import matcher
from runcommit_core.records import record
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.layer.changes import Changes
    from runcommit_core.layer.profiles import Profile


@record
class Exclusion:
    """Patterns of paths to exclude: of any kind, and of everything but directories."""

    patterns: tuple[str, ...] = ()
    not_directories: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.patterns or self.not_directories)

    def test(self, is_directory: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
        """Compile to a test of paths; what is below an excluded directory is not looked at.

        Raises UsageError: a pattern without a meaning
        """
        chosen = matcher(self.patterns)
        if not self.not_directories:
            return chosen
        file_chosen = matcher(self.not_directories)
        return lambda path: chosen(path) or (file_chosen(path) and not is_directory(path))


def exclusion(patterns: Sequence[str] = (), profiles: Sequence[Profile] = ()) -> Exclusion:
    """Put patterns and profiles together.

    Raises UsageError: a pattern without a meaning
    """
    matcher(patterns)
    removals = [removal for profile in profiles for removal in profile.removes]
    return Exclusion(
        (*patterns, *(item.pattern for item in removals if not item.keep_directories)),
        tuple(item.pattern for item in removals if item.keep_directories),
    )


def directories_of(tree: BaseTree, raw_layers: Sequence[Changes]) -> Callable[[bytes], bool]:
    """Make a test whether a path is a directory: in the last raw layer that has it, else in B."""

    def is_directory(path: bytes) -> bool:
        for changes in reversed(raw_layers):
            entry = changes.entries.get(path)
            if entry is not None:
                return entry.kind is Kind.DIRECTORY
        node = tree.get(path)
        return node is not None and node.kind is Kind.DIRECTORY

    return is_directory
