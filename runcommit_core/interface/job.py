"""One run, as the steps are given it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.interface.progress import Progress, ignore
from runcommit_core.records import record

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.interface.place import Place
    from runcommit_core.interface.values import EngineOptions, LayerOptions, RawLayer, RunOptions
    from runcommit_core.interface.ways import Ways as Transport  # its public name
    from runcommit_core.oci.model import BaseImage, BaseLayer


@record(kw_only=True)
class Job:
    """One run, frozen: all that the steps must know.

    ``id`` is random and part of every name that the job gives; ``argv`` is what the container
    executes; ``backend`` is the name of the backend that runs it, or may be ``auto`` for a result
    from the cache; ``check_base`` raises what is wrong with the base, ``tree`` gives its merged
    tree, ``locate`` brings the bytes of one of its layers within reach; ``folder`` is private to
    the job and removed with it; ``output`` is where the layer goes (in ``folder`` where the user
    wants none); ``console`` takes what the command says, ``progress`` the events; whoever creates
    something pushes its undo on ``cleanup``, or, for the container that the command runs in, on
    ``containers``, which unwinds first. The private copy of the base stays in the engine unless
    ``keep_base`` is false. ``place`` is where the engine is, as far as the backend tells. ``made``
    are layers that the private copy has above the base's: what docker would make for the container,
    which counts as the command's.
    """

    id: str
    base: BaseImage
    argv: tuple[str, ...]
    run: RunOptions
    layer: LayerOptions
    engine: EngineOptions
    backend: str
    transport: Transport
    check_base: Callable[[], None]
    tree: Callable[[], BaseTree]
    locate: Callable[[BaseLayer], BaseLayer]
    folder: Path
    output: Path
    console: Callable[[bytes], None]
    cleanup: contextlib.ExitStack
    containers: contextlib.ExitStack
    progress: Progress = ignore
    keep_base: bool = True
    place: Place | None = None
    made: tuple[RawLayer, ...] = ()

    @property
    def name(self) -> str:
        """The name of the job's container and of whatever else needs one."""
        return f"runcommit-{self.id}"

    @property
    def elsewhere(self) -> bool:
        """Whether the engine is on another machine."""
        return self.place is not None and not self.place.here
