"""A backend without any engine: its runs always change the same, so it needs no rights at all."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from runcommit_core import Container, EngineInfo, Image, RawLayer, SavedImage, hookimpl
from runcommit_core.tar.digests import DiffId
from tests import images

if TYPE_CHECKING:
    from runcommit_core import EngineOptions, Job

NEW = images.layer({"new": b"content"})
STEPS = ("load", "run", "commit", "save", "extract")


@hookimpl
def describe(engine: EngineOptions) -> EngineInfo:
    return EngineInfo(name="canned", version="1.2", storage="none", rootless=True)


@hookimpl
def load(job: Job) -> Image:
    return Image(job.transport.name)


@hookimpl
def run(job: Job) -> Container:
    job.console(b"the command speaks\n")
    return Container(job.name)


@hookimpl
def commit(container: Container) -> Image:
    return Image(container.name)


@hookimpl
def save(job: Job) -> SavedImage:
    diff_id = DiffId(images.digest(NEW))
    layer = RawLayer(diff_id, lambda: io.BytesIO(NEW))
    return SavedImage(b"", (*job.base.diff_ids, diff_id), (layer,))


@hookimpl
def save_nothing(job: Job) -> SavedImage:
    """In place of ``save``: the engine saw no change."""
    return SavedImage(b"", job.base.diff_ids, ())


def backend(**steps: Any) -> Any:
    """The backend with some steps replaced; a step given as None is left out."""
    own = {name: globals()[name] for name in ("describe", *STEPS[:-1])}
    kept = {name: step for name, step in (own | steps).items() if step is not None}
    return SimpleNamespace(__name__="canned", **kept)
