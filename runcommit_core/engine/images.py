"""What a job does with an engine's images: bring the base, look anew when it was lost, deliver.

For backends: each function does a step, or most of it, with the engine's own verbs.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from runcommit_core.engine import process
from runcommit_core.engine.copies import forget_copy, found_copy, recalled_copy
from runcommit_core.engine.interruption import undisturbed
from runcommit_core.engine.turns import in_turn
from runcommit_core.errors import EngineError
from runcommit_core.interface.values import Image
from runcommit_core.records import record

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.engine.client import Client
    from runcommit_core.interface.access import Access
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import SavedImage

Facts = tuple[str, Sequence[str]]
"""The engine's id of an image, and the diff_ids of its layers."""

T = TypeVar("T")

_LOSSES = 8
"""How often a job brings a base anew, for somebody who takes it away all the time."""


@record(kw_only=True)
class Images:
    """An engine's images by name, as far as a job has to do with them.

    ``look`` answers what the image of a name is, None where there is none.  ``pull`` brings what
    the job's registry has under a reference, ``push`` takes an image there, both with the
    credentials of the access; ``load`` takes an archive and ``save`` streams one.  ``fetch`` pulls
    with the user's own credentials.  ``tag`` gives an image one more name.  ``untag`` takes a name
    away, and ``remove`` the image with it where the engine tells these apart: both are undos and
    never raise (``process.undo``, ``process.taken_back``).  All others raise EngineError.
    """

    look: Callable[[str], Facts | None]
    pull: Callable[[Access, str], object]
    push: Callable[[Access, str], object]
    load: Callable[[Iterator[bytes]], object]
    save: Callable[[str], AbstractContextManager[BinaryIO]]
    fetch: Callable[[str], object]
    tag: Callable[[str, str], object]
    untag: Callable[[str], object]
    remove: Callable[[str], object]


def bring_base(job: Job, images: Images) -> Image:
    """What ``load`` returns: the private copy of the base, brought unless the engine has it.

    A copy whose id an earlier job has noted is not looked at: see :func:`on_base`.
    """
    if known := recalled_copy(job):
        return Image(known)
    name = job.transport.name
    image = images.look(name)
    if image is None or not found_copy(job, *image):
        if not job.keep_base:
            job.cleanup.callback(images.remove, name)
        job.transport.deliver(pull=functools.partial(_pull_as, images, name), load=images.load)
    return Image(name)


def on_base(job: Job, images: Images, image: Image, make: Callable[[Image], T]) -> T:
    """What ``make`` returns, which makes the job's container of the base that ``load`` returned.

    Where ``make`` raises EngineError, having made none, because the engine has lost the base, the
    base is brought anew, and ``make`` is called again with what it is called now.  Others may take
    it away at any time, so that happens as often as the engine loses it, within a limit.
    """
    for _ in range(_LOSSES):
        try:
            return make(image)
        except EngineError as error:
            if not _was_lost(images, image, error):
                raise
        forget_copy(job)
        image = _brought_for_itself(job, images)
    return make(image)


def bring_lost(job: Job, images: Images, image: Image) -> Image | None:
    """The base brought anew where the engine has it no more; None where it has.

    For backends that were written before :func:`on_base`, which does so as often as it is needed.
    """
    if images.look(image.name):
        return None
    forget_copy(job)
    return _brought_for_itself(job, images)


def _was_lost(images: Images, image: Image, error: EngineError) -> bool:
    """Whether the engine has the image no more, or had not, though another job brought it since."""
    return (image.name in error.output and process.missed(error.output)) or not images.look(
        image.name
    )


def _brought_for_itself(job: Job, images: Images) -> Image:
    """The base brought anew, under a name of the job's own, which nobody else takes away."""
    name, own = job.transport.name, f"localhost/runcommit/job:{job.id}-base"

    def load(archive: Iterator[bytes]) -> None:
        images.load(archive)
        images.tag(name, own)

    job.cleanup.callback(in_turn(name, _give_back), images, own, name)
    job.transport.deliver(pull=functools.partial(_pull_as, images, own), load=load)
    return Image(own)


def _give_back(images: Images, own: str, name: str) -> None:
    """Give the base back the name that all jobs know, then take the job's own away.

    The last name of an image goes with it, and other jobs may stand on it.
    """
    with contextlib.suppress(EngineError):
        images.tag(own, name)
    images.untag(own)


def deliver(job: Job, images: Images, reference: str) -> Image:
    """What ``deliver`` returns: the image that the job's transport serves, named ``reference``."""

    def load_as(archive: Iterator[bytes]) -> None:
        images.load(archive)
        _rename(images, job.transport.name, reference)

    pull = functools.partial(_pull_as, images, reference)
    job.transport.deliver(pull=pull, load=load_as)
    return Image(reference)


def save(job: Job, images: Images, image: Image) -> SavedImage:
    """What the step ``save`` returns for a committed image, or for an upper directory."""
    if image.upper:
        return job.transport.collect_upper(image.upper)
    return job.transport.collect(
        job.id,
        push=lambda access: images.push(access, image.name),
        save=lambda: images.save(image.name),
    )


def resolve(
    job: Job, images: Images, reference: str, look: Callable[[str], Facts | None] | None = None
) -> Image:
    """What the step ``resolve`` returns: an image of the engine's, with a name for a push.

    ``look`` looks for it, if ``images.look`` is not to.  Raises EngineError when there is none.
    """
    image_id = find(images, reference, look)
    name = job.transport.tag(job.id)
    job.cleanup.callback(images.untag, name)
    images.tag(reference, name)
    return Image(name, image_id)


def find(images: Images, reference: str, look: Callable[[str], Facts | None] | None = None) -> str:
    """The engine's id of an image, which is fetched if it is not there; see :func:`resolve`."""
    look = look or images.look
    image = look(reference)
    if image is None:
        images.fetch(reference)
        image = look(reference)
    if image is None:
        raise EngineError(f"the engine pulled {reference}, but has no image of that name")
    return image[0]


def by_client(
    client: Client,
    transfer: Callable[[str, Access, str], object],
    look: Callable[[str], Facts | None] | None = None,
) -> Images:
    """The images of an engine that is driven by its client, with ``look`` if that is given.

    ``transfer`` is given the verb, ``pull`` or ``push``, and then what these are given.
    """
    remove = functools.partial(process.undo, *client.words(*client.remove_image))
    untag = client.untag
    return Images(
        look=look or functools.partial(inspected, *client.look),
        pull=functools.partial(transfer, "pull"),
        push=functools.partial(transfer, "push"),
        load=lambda archive: process.output(
            *client.words(*client.load), stdin=archive, env=client.env
        ),
        save=lambda name: process.streaming(*client.words(*client.save, name), env=client.env),
        fetch=lambda name: process.output(*client.words(*client.pull, name), env=client.env),
        tag=functools.partial(process.output, *client.words(*client.tag)),
        untag=(lambda name: process.undo(*client.words(*untag(name)))) if untag else remove,
        remove=remove,
    )


def inspected(*inspect: str) -> Facts | None:
    """Look at an image with a command of the engine's, for engines whose templates are Go's.

    ``inspect`` are its words, the image's name the last.  Raises EngineError.
    """
    *command, name = inspect
    template = "{{.Id}} {{json .RootFS.Layers}}"
    answer = process.found(*command, "--format", template, name)
    if answer is None:
        return None
    image_id, _, layers = answer.output.strip().partition(" ")
    return image_id, tuple(json.loads(layers or "[]") or ())


def _pull_as(images: Images, name: str, access: Access) -> None:
    reference = access.reference("base")
    with undisturbed():
        try:
            images.pull(access, reference)
        except EngineError:
            raise
        except BaseException:
            # interrupted: the engine may have been about to name it
            images.untag(reference)
            raise
        _rename(images, reference, name)


def _rename(images: Images, reference: str, name: str) -> None:
    with undisturbed():
        try:
            images.tag(reference, name)
        finally:
            images.untag(reference)


@contextmanager
def in_a_file(job: Job, archive: Iterator[bytes]) -> Iterator[Path]:
    """An archive as a file, for the length of the block: for an engine that seeks in it."""
    path = job.folder / "base.tar"
    with path.open("wb") as file:
        file.writelines(archive)
    yield path
    path.unlink()
