"""How images travel between us and the engine: by the loopback registry, or as archive streams.

The registry comes first; ssh takes it to an engine on another machine.  An engine that cannot use
it (another machine without ssh, a network namespace of its own, a layer form that it does not
know) gets archives; which way was taken is logged and told in the metadata.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from runcommit_core.engine.interruption import undisturbed
from runcommit_core.engine.turns import in_turn
from runcommit_core.engine.untold import Untold, untold_in
from runcommit_core.errors import EngineError, UsageError
from runcommit_core.interface.mode import Mode
from runcommit_core.interface.progress import Meter, Progress, ignore, metered, metered_stream
from runcommit_core.records import record
from runcommit_core.registry.served import (
    claims,
    private_image,
    result_image,
    unpacked_image,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runcommit_core.index.feeder import Feeder
    from runcommit_core.interface.access import Access
    from runcommit_core.interface.place import Place
    from runcommit_core.interface.values import SavedImage
    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.registry.endpoint import Endpoint
    from runcommit_core.registry.served import ServedImage
    from runcommit_core.tar.digests import DiffId

log = logging.getLogger("runcommit")


@record(kw_only=True)
class Route:
    """What the ways of one job are made of, whatever image goes along them.

    ``folder`` and ``cleanup`` are the job's; ``place`` None is this machine.
    """

    job_id: str
    mode: Mode
    folder: Path
    cleanup: contextlib.ExitStack
    progress: Progress = ignore
    place: Place | None = None


class Transport:
    """The ways of one job between us and the engine.

    ``name`` is what the private copy of the base is called in the engine, ``diff_ids`` are its
    layers, ``config`` is its config.  ``offered`` tells whether the base was to travel.
    """

    def __init__(
        self,
        base: BaseImage,
        route: Route,
        *,
        locate: Callable[[BaseLayer], BaseLayer],
        feeder: Callable[[BaseLayer], Feeder | None],
        image: ServedImage | None = None,
    ) -> None:
        self._base = base
        self._route = route
        self._locate = locate
        self._feeder = feeder
        self._image = image or private_image(base)
        self._is_private = image is None
        # what the job finds out on its way, and need not try again
        self._endpoint: Endpoint | None = None
        self._port = 0
        self.offered = False
        self._archives_only = route.mode is Mode.ARCHIVE or self._leads_nowhere()
        self._untold = Untold()

    def _leads_nowhere(self) -> bool:
        """Whether another machine has neither our loopback nor a tunnel to it.

        A registry that was asked for is tried all the same.
        """
        place = self._route.place
        if place is None or place.loopback or place.ssh or self._route.mode is not Mode.AUTO:
            return False
        log.info("the engine is on another machine (%s): images go as archives", place.address)
        return True

    @property
    def mode(self) -> Mode:
        """The ways that are open: archives alone once the registry proved out of reach."""
        return Mode.ARCHIVE if self._archives_only else self._route.mode

    @property
    def base(self) -> BaseImage:
        """The image whose private copy the engine is given: the job's base, or one like it."""
        return self._base

    @property
    def name(self) -> str:
        return self._image.name

    @property
    def config(self) -> bytes:
        return self._image.config

    @property
    def diff_ids(self) -> tuple[DiffId, ...]:
        return self._base.diff_ids

    def tag(self, job_id: str) -> str:
        """A name to commit under, such that a push of it goes to this job's registry."""
        if not self._reachable():
            return f"localhost/runcommit/job:{job_id}"
        return self._access().reference(job_id)

    def deliver(
        self,
        *,
        pull: Callable[[Access], object] | None = None,
        load: Callable[[Iterator[bytes]], object],
    ) -> None:
        """Bring the private copy of the base into the engine.

        ``pull`` is given what the engine needs to pull ``access.reference("base")``, ``load`` an
        archive to stream into the engine, which holds the image under ``name``.  Without ``pull``,
        for an engine that has no client of registries, archives go.
        """
        self.offered = True
        _check_client(pull, self.mode)
        if pull and self._image.portable and self._reachable():
            try:
                self._serve(in_turn(self.name, pull))
            except EngineError as error:
                self._give_up("pull from", error)
            else:
                return
        in_turn(self.name, load)(
            metered(self._archive(), Meter(self._route.progress, "to engine", "archive"))
        )

    def upper(self, find: Callable[[], str], *, enter: Sequence[str] = ()) -> Path | None:
        """The container's upper directory, where it can serve instead of a commit.

        ``find`` asks the engine for it and may answer with an empty string.  Only the real root
        on the engine's own machine can read one, or a command after the words ``enter``, which
        bring it where root and ids are the container's own: give the same to ``save_upper``.  A
        forced transport rules it out; then it is but looked through for what no image tells of.
        """
        from runcommit_core.layer.upper import can_read_uppers

        if not self._is_near() or not (enter or can_read_uppers()):
            return None
        folder = find().strip()
        if not folder.startswith("/") or not self._serves(folder, enter):
            return None
        if self.mode is Mode.AUTO:
            return Path(folder)
        self._untold = untold_in(Path(folder), enter=enter)
        return None

    def _is_near(self) -> bool:
        """Whether the engine shares this machine's loopback."""
        place = self._route.place
        return place is None or place.loopback

    def _serves(self, folder: str, enter: Sequence[str]) -> bool:
        """Whether the folder is there, and its ids are the container's own.

        Root can read the store of a rootless engine, too, whose root is another user.
        """
        try:
            status = Path(folder).stat()
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) and (bool(enter) or status.st_uid == 0)

    def collect_upper(self, upper: Path) -> SavedImage:
        """What ``save`` returns for an image that is an upper directory."""
        from runcommit_core.interface.values import SavedImage

        return SavedImage(self._image.config, self._base.diff_ids, (), upper, "upper")

    def collect(
        self,
        tag: str,
        *,
        push: Callable[[Access], object] | None = None,
        save: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
    ) -> SavedImage:
        """Bring an image out of the engine that was committed under ``access.reference(tag)``.

        ``push`` pushes it there, if the engine has a client of registries; ``save`` opens a
        docker-archive of it as a stream.
        """
        _check_client(push, self.mode)
        if push and self._reachable():
            try:
                self._ask_us(push)
            except EngineError as error:
                self._give_up("push to", error)
            else:
                return self._with_untold(self._pushed(tag))
        return self._with_untold(self._saved(save))

    def _with_untold(self, saved: SavedImage) -> SavedImage:
        untold = self._untold
        return dataclasses.replace(saved, sockets=untold.sockets, warnings=untold.warnings)

    def _pushed(self, tag: str) -> SavedImage:
        from runcommit_core.oci.saved import from_push

        received = self._registry().received
        pushed = from_push(received.manifests, received.blobs, tag, self._base.diff_ids)
        return _saved_image(pushed, "registry")

    def _saved(self, save: Callable[[], contextlib.AbstractContextManager[BinaryIO]]) -> SavedImage:
        from runcommit_core.oci.saved import from_archive

        try:
            spooled = from_archive(
                lambda: self._metered(save),
                self._route.folder,
                known_blobs=claims(self._base),
                known=self._base.diff_ids,
            )
        except EngineError as error:
            _raise_marker(error)
            raise
        return _saved_image(spooled, "archive")

    @contextlib.contextmanager
    def _metered(
        self, save: Callable[[], contextlib.AbstractContextManager[BinaryIO]]
    ) -> Iterator[BinaryIO]:
        with (
            save() as stream,
            metered_stream(stream, self._route.progress, "from engine", "archive") as counted,
        ):
            yield counted

    def serving(self, result: BaseImage, *, name: str) -> Transport:
        """The same ways for another image, which ``deliver`` brings into the engine.

        Where it comes as an archive the engine holds it under ``name``.
        """
        return Transport(
            result,
            dataclasses.replace(self._route, mode=self.mode),
            locate=self._locate,
            feeder=lambda _: None,
            image=result_image(result, name),
        )

    def for_base(
        self,
        base: BaseImage,
        *,
        feeder: Callable[[BaseLayer], Feeder | None],
        locate: Callable[[BaseLayer], BaseLayer] | None = None,
        **route: Any,
    ) -> Transport:
        """The ways of another job on another base; ``route`` are fields of Route.

        ``locate`` brings the bytes of its layers within reach, if not where this one's are.
        """
        changed = dataclasses.replace(self._route, mode=self.mode, **route)
        return Transport(base, changed, locate=locate or self._locate, feeder=feeder)

    def _archive(self) -> Iterator[bytes]:
        from runcommit_core.oci.dockertar import archive_stream

        layers = [self._locate(layer) for layer in self._base.layers]
        return archive_stream(self._image.config, layers, name=self._image.name)

    def _reachable(self) -> bool:
        """Whether the registry is to be tried; opens the tunnel that it takes.

        Raises EngineError where there is none and no other way is allowed.
        """
        if self.mode is Mode.ARCHIVE:
            return False
        try:
            self._access()
        except EngineError as error:
            if self.mode is Mode.REGISTRY:
                raise
            log.warning("no tunnel to the engine, using archives instead: %s", _last_word(error))
            self._archives_only = True
            return False
        return True

    def _serve(self, pull: Callable[[Access], object]) -> None:
        """Let the engine pull; once more with layers as they are stored where that fails."""
        endpoint = self._registry()
        if self._is_near() and self._is_private:
            endpoint.serve(unpacked_image(self._image, self._base.layers))
        try:
            self._ask_us(pull)
        except EngineError as error:
            if endpoint.image is self._image or not endpoint.requests:
                raise
            log.info("serving the base's layers as they are stored: %s", _last_word(error))
            endpoint.serve(self._image)
            self._ask_us(pull)

    def _ask_us(self, transfer: Callable[[Access], object]) -> None:
        """Let the engine pull or push.

        Where another machine's loopback was behind a local address, somebody else may answer it.
        """
        access, endpoint = self._access(), self._registry()
        before = endpoint.requests
        transfer(access)
        if endpoint.requests == before:
            raise EngineError(f"at {access.address} the engine found another registry than ours")

    def _access(self) -> Access:
        endpoint = self._registry()
        self._port = self._port or self._opened(endpoint.port)
        return endpoint.access(self._port)

    def _opened(self, port: int) -> int:
        """The port by which the engine reaches the registry: our own, or a tunnel's far end."""
        place = self._route.place
        if place is None or not place.ssh:
            return port
        from runcommit_core.engine.tunnel import tunnel

        said = self._route.folder / f"tunnel-{self._route.job_id}-{port}.log"
        with undisturbed():
            return self._route.cleanup.enter_context(tunnel(place.ssh, port, said))

    def _registry(self) -> Endpoint:
        from runcommit_core.registry.endpoint import Endpoint

        if self._endpoint is None:
            endpoint = Endpoint(
                self._route.folder,
                self._image,
                job_id=self._route.job_id,
                claimed=claims(self._base),
                locate=self._locate,
                feeder=self._feeder,
                progress=self._route.progress,
            )
            with undisturbed():
                self._endpoint = self._route.cleanup.enter_context(endpoint)
        return self._endpoint

    def _give_up(self, verb: str, error: EngineError) -> None:
        """Raise what our own side found wrong, or where no other way is allowed; else go on."""
        endpoint = self._registry()
        if endpoint.problem:
            raise endpoint.problem from error
        _raise_marker(error)
        if self.mode is Mode.REGISTRY:
            raise error
        reached = "failed to" if endpoint.requests else "cannot reach us to"
        log.warning(
            "the engine %s %s the loopback registry, using archives instead: %s",
            reached,
            verb,
            _last_word(error),
        )
        self._archives_only = True


def _check_client(transfer: object | None, mode: Mode) -> None:
    """Refuse a registry that the engine has no client for."""
    if transfer is None and mode is Mode.REGISTRY:
        raise UsageError(
            "this backend's engine has no client for registries", tip="leave --transport out"
        )


def _last_word(error: EngineError) -> str:
    return str(error).splitlines()[-1].strip(" |")


def _raise_marker(error: EngineError) -> None:
    """Raise what a command did wrong where the engine only says that it cannot read a file."""
    from runcommit_core.layer.markers import marker_in

    if marker := marker_in(error.output):
        raise marker from error


def _saved_image(
    spooled: tuple[bytes, tuple[DiffId, ...], dict[DiffId, Path]], transport: str
) -> SavedImage:
    from runcommit_core.interface.values import RawLayer, SavedImage

    config, diff_ids, tars = spooled
    layers = tuple(
        RawLayer(diff_id, lambda path=path: path.open("rb"))  # type: ignore[misc]
        for diff_id, path in tars.items()
    )
    return SavedImage(config, diff_ids, layers, transport=transport)
