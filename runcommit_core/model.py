"""The values that travel through the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal

from runcommit_core.layer.exclusion import Exclusion

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from runcommit_core.layer.basetree import BaseTree
    from runcommit_core.layer.canonical import LayerReport
    from runcommit_core.oci.model import BaseImage, BaseLayer, DiffId, Digest
    from runcommit_core.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How to call the engine: its program, and flags that stand before its verb."""

    path: str | None = None
    flags: tuple[str, ...] = ()

    def command(self, program: str) -> tuple[str, ...]:
        """The words that every call of the engine begins with."""
        return (self.path or program, *self.flags)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What holds for the run alone and never reaches the result.

    ``user`` is the base's own unless the caller chose another, ``workdir`` is empty unless he
    chose one (the private copy of the base has the base's); ``env`` comes on top of the base's;
    ``network`` None is the engine's default; ``flags`` are further words for the engine's run
    command.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    network: str | None = None
    flags: tuple[str, ...] = ()

    def words(self, *, workdir: str = "--workdir") -> list[str]:
        """All but ``flags`` as words of a command line, for engines that spell them like docker."""
        chosen = [(workdir, self.workdir), ("--user", self.user), ("--network", self.network)]
        words = [word for flag, value in chosen if value for word in (flag, value)]
        return words + [
            word for key, value in self.env.items() for word in ("--env", f"{key}={value}")
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOptions:
    """How the layer is written; ``epoch`` in seconds is SOURCE_DATE_EPOCH.

    ``mtime`` tells what becomes of times that differ from the base's: no later than the epoch, or
    the epoch itself.  ``xattrs`` keeps ``user.*`` attributes, too.
    """

    epoch: int = 0
    always: bool = False
    mtime: Literal["clamp", "set"] = "clamp"
    xattrs: bool = False
    excluded: Exclusion = field(default_factory=Exclusion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run, frozen: all that the steps must know.

    ``id`` is random and part of every name that the job gives; ``argv`` is what the container
    executes; ``tree`` gives the base's merged tree, ``locate`` brings the bytes of one of its
    layers within reach; ``folder`` is private to the job and removed with it; ``output`` is where
    the layer goes (in ``folder`` where the user wants none); ``console`` takes what the command
    says; whoever creates something pushes its undo on ``cleanup``.  The private copy
    of the base stays in the engine unless ``keep_base`` is false.
    """

    id: str
    base: BaseImage
    argv: tuple[str, ...]
    run: RunOptions
    layer: LayerOptions
    engine: EngineOptions
    transport: Transport
    tree: Callable[[], BaseTree]
    locate: Callable[[BaseLayer], BaseLayer]
    folder: Path
    output: Path
    console: Callable[[bytes], None]
    cleanup: contextlib.ExitStack
    keep_base: bool = True

    @property
    def name(self) -> str:
        """The name of the job's container and of whatever else needs one."""
        return f"runcommit-{self.id}"


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the engine: the name it answers to and the engine's id of it, if known.

    ``upper`` is the upper directory of the finished container that stands for an image which was
    not committed, because that directory says all that the image would.
    """

    name: str
    id: str = ""
    upper: Path | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """A container in the engine, whose command has ended with exit code 0."""

    name: str


@dataclass(frozen=True, slots=True)
class RawLayer:
    """A layer as the engine made it; ``open`` gives its uncompressed tar, seekable."""

    diff_id: DiffId
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class SavedImage:
    """What an engine handed over: the config, and the layers that the base does not have.

    ``layers`` holds, in order, those of ``diff_ids`` (all of the image's, the base's first)
    whose bytes travelled.  ``upper`` is an overlay's upper directory that holds one new layer
    more.
    """

    config: bytes
    diff_ids: tuple[DiffId, ...]
    layers: tuple[RawLayer, ...]
    upper: Path | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """A new layer: an uncompressed tar at ``path``, ``size`` bytes with the hash ``diff_id``."""

    path: Path
    diff_id: DiffId
    size: int
    report: LayerReport


@dataclass(frozen=True, slots=True)
class Layers:
    """What ``extract`` found: no layer (nothing changed), one, or several, lowest first."""

    layers: tuple[Layer, ...] = ()
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What a backend knows about its engine; ``problem`` says why it is unusable, if it is."""

    name: str
    version: str = ""
    rootless: bool = False
    storage: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputImage:
    """The complete image that was written."""

    path: Path
    manifest_digest: Digest
    config_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What ``run_commit`` returns.

    ``seconds`` per step, in the order in which they ran; ``transport`` is how the layer travelled:
    ``upper``, ``registry`` or ``archive``.  ``describe`` asks the engine, which takes longer than
    some jobs, for ``engine``.
    """

    backend: str
    describe: Callable[[], EngineInfo]
    base: BaseImage
    layers: tuple[Layer, ...]
    image: OutputImage | None
    transport: str
    epoch: int
    seconds: Mapping[str, float]
    warnings: tuple[str, ...]

    @property
    def engine(self) -> EngineInfo:
        """The engine as it describes itself now."""
        return self.describe()
