"""The ways of images between us and the engine, as steps use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from runcommit_core.index.feeder import Feeder
    from runcommit_core.interface.access import Access
    from runcommit_core.interface.mode import Mode
    from runcommit_core.interface.values import SavedImage
    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.tar.digests import DiffId


class Ways(Protocol):
    """What a job's ``transport`` can do; :class:`runcommit_core.Transport` does it.

    ``name`` is what the private copy of the base is called in the engine, ``diff_ids`` are its
    layers, ``config`` is its config.
    """

    @property
    def offered(self) -> bool:
        """Whether the base was to travel; what the engine refused may be no image at all."""
        ...

    @property
    def mode(self) -> Mode:
        """The ways that are open."""
        ...

    @property
    def base(self) -> BaseImage:
        """The image whose private copy the engine is given: the job's base, or one like it."""
        ...

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> bytes: ...

    @property
    def diff_ids(self) -> tuple[DiffId, ...]: ...

    def tag(self, job_id: str) -> str:
        """A name to commit under, such that a push of it goes to this job's registry."""
        ...

    def deliver(
        self,
        *,
        pull: Callable[[Access], object] | None = None,
        load: Callable[[Iterator[bytes]], object],
    ) -> None:
        """Bring the private copy of the base into the engine: it pulls, or loads an archive."""
        ...

    def upper(self, find: Callable[[], str], *, enter: Sequence[str] = ()) -> Path | None:
        """The container's upper directory, where it can serve instead of a commit."""
        ...

    def collect_upper(self, upper: Path) -> SavedImage:
        """What ``save`` returns for an image that is an upper directory."""
        ...

    def collect(
        self,
        tag: str,
        *,
        push: Callable[[Access], object] | None = None,
        save: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
    ) -> SavedImage:
        """Bring an image out of the engine that was committed under ``access.reference(tag)``."""
        ...

    def serving(self, result: BaseImage, *, name: str) -> Ways:
        """The same ways for another image, which ``deliver`` brings into the engine."""
        ...

    def for_base(
        self,
        base: BaseImage,
        *,
        feeder: Callable[[BaseLayer], Feeder | None],
        locate: Callable[[BaseLayer], BaseLayer] | None = None,
        **route: Any,
    ) -> Ways:
        """The ways of another job on another base; ``route`` is what differs."""
        ...
