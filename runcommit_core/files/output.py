"""The extraction of one job: opened before it runs, filled from its result, published with it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from runcommit_core.cachedir import cache_dir
from runcommit_core.disk.places import real_place
from runcommit_core.errors import UsageError
from runcommit_core.files.inplace import Landing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runcommit_core.disk.swaps import Swaps
    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Layers
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.request.extraction import Extraction
    from runcommit_core.staging import Staging

T = TypeVar("T")


class Opened:
    """Where the files of one job go; :meth:`fill` it, then :meth:`swap`."""

    def __init__(self, asked: Extraction, staged: Staging) -> None:
        self._asked = asked
        self._tar = staged.beside(asked.tar) if asked.tar else None
        self._landing = None if asked.tar else Landing(_places(asked), _folder(asked))
        for place in self._landing.places if self._landing else ():
            staged.claim(place)

    @property
    def places(self) -> list[Path]:
        """Paths in the folders in which unfinished files may be, for the job's record."""
        return [folder / "x" for folder in self._landing.folders] if self._landing else []

    def fill(self, job: Job, layers: Layers) -> None:
        """Take the files out of the base and the new layers.

        Raises UsageError: the result has no such path, or something in the way at its place
        """
        from runcommit_core.files.contents import collect
        from runcommit_core.files.selection import select

        image = result_image(job, layers)
        selected = with_result_tree(image, job, lambda tree: select(tree, self._asked.paths))
        folder = job.folder / "contents"
        folder.mkdir()
        contents = collect(selected, image.layers, job.locate, folder)
        if self._landing:
            self._landing.fill(selected, contents)
        elif self._tar:
            from runcommit_core.files.tarball import write_tar

            write_tar(self._tar, selected, self._asked.names, contents)

    def swap(self, swaps: Swaps) -> None:
        """Put what is not a tar, which is published with the job's other outputs."""
        if self._landing:
            self._landing.swap(swaps)

    def discard(self) -> None:
        """Remove what was not published."""
        if self._landing:
            self._landing.discard()


@contextlib.contextmanager
def opened(asked: Extraction, staged: Staging) -> Iterator[Opened]:
    """Check the places before the job runs, and leave nothing beside them when it is over."""
    output = Opened(asked, staged)
    try:
        yield output
    finally:
        output.discard()


def _folder(asked: Extraction) -> Path | None:
    if asked.to is None:
        return None
    folder = real_place(asked.to)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"cannot write into {asked.to}: it is no directory")
    return folder


def _places(asked: Extraction) -> list[Path]:
    """The real places: links in the caller's own paths are followed, a last one is not."""
    return [_real(place) for place in asked.written]


def _real(place: Path) -> Path:
    return real_place(place.parent) / place.name if place.name else real_place(place)


def result_image(job: Job, layers: Layers) -> BaseImage:
    """The job's base with the new layers on top."""
    from runcommit_core.steps.stacking import on_top

    return on_top(job.base, layers, job.base.config)


def with_result_tree(image: BaseImage, job: Job, use: Callable[[BaseTree], T]) -> T:
    """Call ``use`` with the tree of the job's base or result; once more as ``with_tree`` does."""
    from runcommit_core.index.basetree import with_tree
    from runcommit_core.index.indexing import Indexing

    return with_tree(Indexing(cache_dir(), image, job.locate).tree, use)
