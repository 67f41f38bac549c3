"""Going through a backend's own steps while no process starts: each command is written down.

So an explanation cannot differ from what a run does: the words come out of the very same code.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from runcommit_core.engine import process
from runcommit_core.engine.transport import Transport
from runcommit_core.engine.tunnel import tunnel_command
from runcommit_core.errors import UsageError
from runcommit_core.explanation.model import (
    ADDRESS,
    FOLDER,
    JOB,
    PORT,
    REPOSITORY,
    SECRETS,
    PlannedCommand,
)
from runcommit_core.explanation.unknown import UNKNOWN_LAYER, unknown_config
from runcommit_core.interface.access import Access
from runcommit_core.interface.mode import Mode
from runcommit_core.interface.values import SavedImage
from runcommit_core.plan.engine_base import base_of_config
from runcommit_core.plan.making import OpenBase, located
from runcommit_core.plugins.capabilities import refuse_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import EngineInfo, Image
    from runcommit_core.interface.ways import Ways

ABSENT = "unless the engine has the private copy of the base"
UNREACHED = "instead, if the engine cannot use the job's registry"

UNREAD = "only the first time with this image"

_NAMELESS = "localhost/runcommit/base:HASH"
_NOTHING_NEW = '{"diff_id": "sha256:0", "warnings": []}'
_APART = {
    "runcommit_core.engine.saveroot": _NOTHING_NEW,
    "runcommit_core.engine.saveupper": _NOTHING_NEW,
    "runcommit_core.engine.untold": '{"sockets": [], "warnings": []}',
}
"""What our own programs would answer, which run where a rootless engine's files are."""


class Recorder:
    """Stands in for all processes of a rehearsal and remembers their command lines."""

    def __init__(self, steps: Pipeline, engine: EngineInfo) -> None:
        self.commands: list[PlannedCommand] = []
        self.undos = contextlib.ExitStack()
        """What the job's end undoes of what came before its steps."""
        self._steps = steps
        self.engine = engine
        self._placeholders: dict[str, str] = {}
        self._step = ""
        self._conditions: list[str] = []

    def __call__(self, argv: tuple[str, ...], stdin: Iterable[bytes] | None) -> process.Completed:
        shown = tuple(map(self._on_paper, argv))
        condition = self._conditions[-1] if self._conditions else ""
        image = "result" if self._step == "deliver" else "base"
        source = "" if stdin is None else f"the {image} as an archive"
        self.commands.append(PlannedCommand(self._step, shown, condition, source))
        for word in argv:
            if word in _APART:
                return process.Completed(argv, 0, _APART[word], "")
        answer: object = self._steps.rehearse(engine=self.engine, argv=argv)
        if isinstance(answer, process.Completed):
            return answer
        return process.Completed(argv, 0, "", "")

    def hide(self, path: Path, placeholder: str) -> None:
        """Show a placeholder for a path that the next run will not have."""
        self._placeholders[os.fspath(path)] = placeholder

    def _on_paper(self, word: str) -> str:
        for path, placeholder in self._placeholders.items():
            word = word.replace(path, placeholder)
        return word

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Commands in this block belong to the step of that name."""
        before, self._step = self._step, name
        with process.rehearsed(self):
            yield
        self._step = before

    @contextlib.contextmanager
    def condition(self, words: str) -> Iterator[None]:
        """Commands in this block run on a condition."""
        self._conditions.append(words)
        try:
            yield
        finally:
            self._conditions.pop()


class RehearsedTransport(Transport):
    """A job's transport on paper: of two possible ways, both are shown."""

    def __init__(self, original: Ways, recorder: Recorder, folder: Path) -> None:
        vars(self).update(vars(original))
        self._recorder = recorder
        authfile = folder / "auth-PORT.json"
        authfile.write_text("{}")
        self._placeholder = Access(ADDRESS, REPOSITORY, authfile)
        self._when = ABSENT
        recorder.hide(folder, FOLDER)
        self._called = _NAMELESS if self._base.diff_ids == (UNKNOWN_LAYER,) else original.name

    @property
    def name(self) -> str:
        """The private copy's name, which depends on a config that may not be known yet."""
        return self._called

    def of_result(self) -> RehearsedTransport:
        """The transport that brings the result into the engine."""
        other = copy.copy(self)
        vars(other).update(_when="", _called=f"localhost/runcommit/result:{JOB}")
        return other

    def show_tunnel(self) -> None:
        """Show how the registry gets to another machine, if it does."""
        place = self._route.place
        if place and place.ssh and self.mode is not Mode.ARCHIVE:
            words = tunnel_command(place.ssh, PORT, f"{FOLDER}/tunnel-{JOB}.log")
            self._recorder(words, None)

    def _access(self) -> Access:
        return self._placeholder

    def deliver(
        self,
        *,
        pull: Callable[[Access], object] | None = None,
        load: Callable[[Iterator[bytes]], object],
    ) -> None:
        with self._recorder.condition(self._when):
            if pull is None or self.mode is Mode.ARCHIVE or not self._image.portable:
                load(iter(()))
                return
            pull(self._access())
        if self.mode is Mode.AUTO:
            with self._recorder.condition(UNREACHED):
                load(iter(()))

    def _serves(self, folder: str, enter: Sequence[str]) -> bool:  # noqa: ARG002 - the real one's
        return True

    def collect(
        self,
        tag: str,  # noqa: ARG002 - the same as the real one's
        *,
        push: Callable[[Access], object] | None = None,
        save: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
    ) -> SavedImage:
        used = "archive" if push is None or self.mode is Mode.ARCHIVE else "registry"
        if push and self.mode is not Mode.ARCHIVE:
            push(self._access())
        if used == "archive":
            with save():
                pass
        elif self.mode is Mode.AUTO:
            with self._recorder.condition(UNREACHED), save():
                pass
        return SavedImage(self._image.config, self._base.diff_ids, (), transport=used)


class _NoTree:
    """Stands for the base's tree, which a rehearsal does not read."""

    def close(self) -> None:
        """There is nothing to close."""


def rehearse(
    steps: Pipeline, recorder: Recorder, job: Job, *, verified: bool, result: str | None
) -> str:
    """Go through the steps of ``job``; tell the transport that would serve.

    ``result`` is the name that the complete image gets in the engine, if any.
    """
    with recorder.step("clean up"), contextlib.ExitStack() as cleanup:
        cleanup.callback(recorder.undos.close)
        for mount in job.run.mounts:
            if mount.kind == "secret":
                recorder.hide(Path(mount.source).parent, SECRETS)
        planned, transport = _on_paper(job, recorder, cleanup)
        with recorder.step("load"):
            transport.show_tunnel()
            refuse_run(steps, recorder.engine.name, planned)
            base = steps.load(job=planned)
        with recorder.step("run"):
            container = steps.run(job=planned, image=base)
        with recorder.step("commit"):
            committed = steps.commit(job=planned, container=container)
        with recorder.step("save"):
            saved = steps.save(job=planned, image=committed)
        if verified:
            # docker looks at the real container, of which there is none
            with recorder.step("verify"), contextlib.suppress(UsageError, OSError):
                steps.root(job=planned, container=container)
        if result:
            delivery = dataclasses.replace(planned, transport=transport.of_result())
            with recorder.step("deliver"):
                steps.deliver(job=delivery, reference=result)
    return saved.transport


def read_on_paper(steps: Pipeline, recorder: Recorder, job: Job, reference: str) -> OpenBase:
    """Go through finding and reading an image that only the engine has; one stands for it."""
    image = _resolve_on_paper(steps, recorder, job, reference.removeprefix("engine:"))
    with recorder.step("clean up"), contextlib.ExitStack() as cleanup:
        planned, _ = _on_paper(job, recorder, cleanup)
        with recorder.step("read"), recorder.condition(UNREAD):
            steps.save(job=planned, image=image)
    return OpenBase(image=base_of_config(reference, unknown_config()), locate=located)


def _resolve_on_paper(steps: Pipeline, recorder: Recorder, job: Job, name: str) -> Image:
    with recorder.step("clean up"), contextlib.ExitStack() as cleanup:
        planned, _ = _on_paper(job, recorder, cleanup)
        with recorder.step("resolve"):
            image = steps.resolve(job=planned, reference=name)
        recorder.undos = cleanup.pop_all()
        return image


def _on_paper(
    job: Job, recorder: Recorder, cleanup: contextlib.ExitStack
) -> tuple[Job, RehearsedTransport]:
    """The same job with placeholders for what only a run knows, and its transport on paper."""
    transport = RehearsedTransport(job.transport, recorder, job.folder)
    planned = dataclasses.replace(
        job,
        id=JOB,
        transport=transport,
        tree=lambda: cast("BaseTree", _NoTree()),
        cleanup=cleanup,
        containers=cleanup,
        console=_ignored,
    )
    return planned, transport


def _ignored(chunk: bytes) -> None:
    """Nothing speaks in a rehearsal."""
