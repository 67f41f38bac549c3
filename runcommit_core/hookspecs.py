"""The steps of the pipeline: hook specification, interface and static type in one.

Every step returns a value and never None, for None makes pluggy ask the next implementation.
Parameters of an implementation may be left out but not renamed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from runcommit_core.model import (
        Container,
        EngineInfo,
        EngineOptions,
        Image,
        Job,
        Layers,
        SavedImage,
    )

PROJECT = "runcommit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Backend(Protocol):
    """What a backend must provide."""

    @hookspec(firstresult=True)
    def describe(self, engine: EngineOptions) -> EngineInfo:
        """Tell the engine's version and whether it can be used, without changing anything.

        Must not raise for a missing or broken engine: ``problem`` of the answer says why.
        """
        ...

    @hookspec(firstresult=True)
    def load(self, job: Job) -> Image:
        """Make the private copy of the base known to the engine, unless it is already.

        The copy has the base's layers and ``job.transport.config``; it stays in the engine.
        """
        ...

    @hookspec(firstresult=True)
    def run(self, job: Job, image: Image) -> Container:
        """Run ``job.argv`` to its end in a new container, its output going to ``job.console``.

        Raises CommandError when the command fails, EngineError when the engine does.
        """
        ...

    @hookspec(firstresult=True)
    def commit(self, job: Job, container: Container) -> Image:
        """Make an image of the container's file system."""
        ...

    @hookspec(firstresult=True)
    def save(self, job: Job, image: Image) -> SavedImage:
        """Bring the config and the new layers of an image out of the engine."""
        ...


class Pipeline(Backend, Protocol):
    """The backend's steps and the core's own."""

    @hookspec(firstresult=True)
    def resolve(self, job: Job, reference: str) -> Image:
        """Find the image that the engine calls ``reference``, pulling it if it is not there.

        Optional: a backend without it takes no ``engine:REF`` bases.
        """
        ...

    @hookspec(firstresult=True)
    def root(self, job: Job, container: Container) -> SavedImage:
        """Compare the finished container's root with ``job.base``; what differs is one raw layer.

        Optional: a backend without it cannot ``--verify``.  ``runcommit_core.save_root`` does it
        for every engine that can show a root as a folder.
        """
        ...

    @hookspec(firstresult=True)
    def extract(self, job: Job, saved: SavedImage) -> Layers:
        """Write the canonical layer of what was saved to ``job.output``."""
        ...


REQUIRED_STEPS = ("describe", "load", "run", "commit", "save")
