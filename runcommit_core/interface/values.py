"""The values that travel through the pipeline."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from runcommit_core.errors import EngineError
from runcommit_core.layer.exclusion import Exclusion
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from runcommit_core.layer.canonical import LayerReport
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.tar.digests import DiffId, Digest


EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
"""What we set in every run, to the layer's epoch."""


@record(kw_only=True)
class EngineOptions:
    """How to call the engine: its program, and flags that stand before its verb."""

    path: str | None = None
    flags: tuple[str, ...] = ()

    def command(self, program: str) -> tuple[str, ...]:
        """The words that every call of the engine begins with."""
        return (self.path or program, *self.flags)


@record(kw_only=True)
class Mount:
    """What the run finds at ``target``, an absolute path in the container.

    Whatever its ``kind``, an engine has to know only two: with a ``source`` it is a bind mount of
    that path (absolute, without links, commas, colons or quotes), without one a tmpfs.  ``size``
    in bytes (0: no limit of its own) and ``mode`` are the tmpfs's.  ``name`` is the id of a cache
    or a secret, whose source has been given what ``mode``, ``uid`` and ``gid`` ask for.
    """

    kind: Literal["bind", "cache", "input", "secret", "tmpfs"]
    target: str
    source: str = ""
    read_only: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    name: str = ""

    def words(self, *, tmpfs: str = "") -> list[str]:
        """``--mount`` in docker's syntax; ``tmpfs`` stands after a tmpfs's own options."""
        if self.source:
            value = f"type=bind,source={self.source},target={self.target}"
            return ["--mount", f"{value},readonly" if self.read_only else value]
        size = f",tmpfs-size={self.size}" if self.size else ""
        mode = f",tmpfs-mode={self.mode:o}" if self.mode is not None else ""
        return ["--mount", f"type=tmpfs,target={self.target}{size}{mode}{tmpfs}"]


@record(kw_only=True)
class RunOptions:
    """What holds for the run alone and never reaches the result.

    ``user`` is the base's own unless the caller chose another, ``workdir`` is empty unless he
    chose one (the private copy of the base has the base's); ``env`` comes on top of the base's;
    ``network`` None is the engine's default; ``flags`` are further words for the engine's run
    command.  ``mounts`` come in the order in which they are to be made.  ``memory`` in bytes and
    ``cpus`` are limits, 0 is none; ``timeout`` in seconds, None is none; ``stop_timeout`` is how
    many seconds an interrupted command has to end by itself.  ``platform`` is empty where this
    machine runs the base's programs natively, else the base's.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    network: str | None = None
    flags: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    memory: int = 0
    cpus: float = 0.0
    timeout: float | None = None
    stop_timeout: float = 2.0
    platform: str = ""

    def limits(self) -> list[str]:
        """``--memory`` and ``--cpus`` as words, for engines that spell them like docker."""
        memory = ["--memory", f"{self.memory}b"] if self.memory else []
        return memory + (["--cpus", f"{self.cpus:g}"] if self.cpus else [])

    def words(self, *, workdir: str = "--workdir") -> list[str]:
        """User, workdir and network as words, for engines that spell them like docker.

        Those of ``env`` are :func:`runcommit_core.variable_words`.
        """
        chosen = [(workdir, self.workdir), ("--user", self.user), ("--network", self.network)]
        return [word for flag, value in chosen if value for word in (flag, value)]


@record(kw_only=True)
class LayerOptions:
    """How the layer is written; ``epoch`` in seconds is SOURCE_DATE_EPOCH.

    ``mtime`` tells what becomes of times that differ from the base's: no later than the epoch, or
    the epoch itself.  ``xattrs`` keeps ``user.*`` attributes, too.  ``mount_points`` are targets
    of the run's mounts, absolute: what engines make there is not in the layer.
    """

    epoch: int = 0
    always: bool = False
    mtime: Literal["clamp", "set"] = "clamp"
    xattrs: bool = False
    excluded: Exclusion = field(default_factory=Exclusion)
    mount_points: tuple[str, ...] = ()


@record
class Image:
    """An image in the engine: the name it answers to and the engine's id of it, if known.

    ``upper`` is the upper directory of the finished container that stands for an image which was
    not committed, because that directory says all that the image would.
    """

    name: str
    id: str = ""
    upper: Path | None = None


@record
class Container:
    """A container in the engine, whose command has ended with exit code 0."""

    name: str


@record(kw_only=True)
class Entry:
    """How to get into a container whose command has ended, as commands to be run in this order.

    ``before`` makes what ``enter`` needs and ``after`` takes back what both made; ``enter`` runs
    attached to the terminal.
    """

    before: tuple[tuple[str, ...], ...] = ()
    enter: tuple[str, ...]
    after: tuple[tuple[str, ...], ...] = ()


@record(kw_only=True)
class Leftover:
    """Something that a job left in its engine, or may leave there: the private copy of a base.

    ``kind`` is one word such as ``container`` or ``image``; ``size`` is in bytes, None where the
    engine does not tell.  ``remove`` takes it away and raises EngineError where it cannot.
    """

    kind: str
    name: str
    remove: Callable[[], object]
    size: int | None = None


@record
class RawLayer:
    """A layer as the engine made it; ``open`` gives its uncompressed tar, seekable.

    One that ``is_ours`` was written from the files themselves, so its whiteouts need no look.
    """

    diff_id: DiffId
    open: Callable[[], BinaryIO]
    is_ours: bool = False


@record
class SavedImage:
    """What an engine handed over: the config, and the layers that the base does not have.

    ``layers`` holds, in order, those of ``diff_ids`` (all of the image's, the base's first)
    whose bytes travelled.  ``upper`` is an overlay's upper directory that holds one new layer
    more.  ``transport`` tells how they travelled: ``registry``, ``archive``, ``upper``, ``root``.
    ``sockets`` are paths of which the layers say nothing; ``warnings`` tells what else got lost.
    """

    config: bytes
    diff_ids: tuple[DiffId, ...]
    layers: tuple[RawLayer, ...]
    upper: Path | None = None
    transport: str = ""
    sockets: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()


@record
class StoredAs:
    """How a compressed layer is stored: hash and size of the file, and what made these bytes.

    ``media_type`` is OCI's; an image of docker's schema 2 has docker's for it.
    """

    digest: Digest
    size: int
    media_type: str
    compressor: str


@record
class Layer:
    """A new layer: an uncompressed tar at ``path``, ``size`` bytes with the hash ``diff_id``.

    In a result whose layers are compressed the file at ``path`` is as ``stored`` says.
    """

    path: Path
    diff_id: DiffId
    size: int
    report: LayerReport
    stored: StoredAs | None = None


@record
class Layers:
    """What ``extract`` found: no layer (nothing changed), one, or several, lowest first."""

    layers: tuple[Layer, ...] = ()
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


@record(kw_only=True)
class EngineInfo:
    """What a backend knows about its engine; ``problem`` says why it is unusable, if it is."""

    name: str
    version: str = ""
    rootless: bool = False
    storage: str = ""
    problem: str = ""

    @classmethod
    def asked(cls, name: str, ask: Callable[[], Mapping[str, Any]]) -> EngineInfo:
        """What ``ask`` answers, as fields; an EngineError of it becomes the ``problem``.

        That is the last line that the engine said, else the first of the error.
        """
        try:
            return cls(name=name, **ask())
        except EngineError as error:
            words = error.output.strip().splitlines()[-1:] or str(error).splitlines()[:1]
            return cls(name=name, problem=words[0])


@record
class Lack:
    """Something that an engine cannot do: a capability, and the reason in a user's words.

    ``capability`` is one of ``runcommit_core.plugins.capabilities.CAPABILITIES``; ``reason``
    names the engine and becomes the error of a job that needs it, ``tip`` says what to do instead.
    """

    capability: str
    reason: str
    tip: str = ""


@record(kw_only=True)
class OutputImage:
    """A complete image that was written; ``kind`` is ``oci``, ``oci-archive``, ``docker-archive``.

    ``manifest_digest`` is None for a docker-archive, where no manifest of the result's own goes.
    """

    path: Path
    kind: str
    name: str | None
    manifest_digest: Digest | None
    config_digest: Digest


@record(kw_only=True)
class LoadedImage:
    """The image that the engine has now under ``name``."""

    name: str
    manifest_digest: Digest
    config_digest: Digest


@record(kw_only=True)
class PushedImage:
    """The image that a registry has now: ``name`` is ``docker://HOST/PATH:TAG`` as it was given."""

    name: str
    manifest_digest: Digest
    config_digest: Digest


@record(kw_only=True)
class Result:
    """What ``run_commit`` returns.

    ``seconds`` per step, in the order in which they ran; ``transport`` is how the layer travelled:
    ``upper``, ``registry`` or ``archive``, or ``cache`` where it did not; then ``backend`` and
    ``engine`` are those of the run that filled the cache.  ``cache`` tells whether the result is
    from there, was not there, or was not to be.  ``describe`` asks the engine, which takes longer
    than some jobs, for ``engine``.  ``started`` and ``finished`` are seconds since 1970;
    ``request`` is what was asked for, as the report tells it.
    """

    id: str
    started: int
    finished: int
    request: Mapping[str, Any]
    backend: str
    describe: Callable[[], EngineInfo]
    base: BaseImage
    layers: tuple[Layer, ...]
    images: tuple[OutputImage, ...]
    loaded: LoadedImage | None
    pushed: tuple[PushedImage, ...] = ()
    transport: str
    epoch: int
    seconds: Mapping[str, float]
    warnings: tuple[str, ...]
    cache: Literal["hit", "miss", "off"] = "off"

    @property
    def image(self) -> OutputImage | None:
        """The first of the complete images that were written."""
        return self.images[0] if self.images else None

    @property
    def engine(self) -> EngineInfo:
        """The engine as it describes itself now."""
        return self.describe()
