"""The core's own implementations of steps; a backend or plugin may override them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.interface.hookspecs import hookimpl

if TYPE_CHECKING:
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Container, Image, Layers, SavedImage


@hookimpl(trylast=True)
def resolve(reference: str) -> Image:
    """Refuse: finding an image in the engine is the backend's to implement."""
    raise UsageError(f"this backend takes no engine:REF bases, so not engine:{reference}")


@hookimpl(trylast=True)
def root(container: Container) -> SavedImage:
    """Refuse: showing a container's root is the backend's to implement."""
    raise UsageError(f"this backend cannot show the root of {container.name}, so not --verify it")


@hookimpl(trylast=True)
def deliver(reference: str) -> Image:
    """Refuse: giving an image to the engine is the backend's to implement."""
    raise UsageError(f"this backend loads no images into its engine, so not --load {reference}")


@hookimpl(trylast=True)
def extract(job: Job, saved: SavedImage) -> Layers:
    """Find the new layers by comparing diff_ids with the base's, and write the canonical one."""
    from runcommit_core.steps.extract import extract_layers

    return extract_layers(job, saved)
