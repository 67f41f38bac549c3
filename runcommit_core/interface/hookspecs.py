"""The steps of the pipeline: hook specification, interface and static type in one.

Every step returns a value and never None, for None makes pluggy ask the next implementation.
Parameters of an implementation may be left out but not renamed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from runcommit_core.interface.completed import Completed
    from runcommit_core.interface.findings import Finding
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.place import Place
    from runcommit_core.interface.values import (
        Container,
        EngineInfo,
        EngineOptions,
        Entry,
        Image,
        Lack,
        Layers,
        Leftover,
        RunOptions,
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

        The copy has the layers ``job.transport.diff_ids`` and ``job.transport.config``; it stays in
        the engine.  The answer is what ``run`` is given.  There is a second call, with a transport
        of one layer more, where the base lacks the run's working directory.  Raises EngineError
        when the engine does not take it, and UsageError when nothing here runs programs of its
        platform (``runcommit_core.check_emulation``).
        """
        ...

    @hookspec(firstresult=True)
    def run(self, job: Job, image: Image) -> Container:
        """Run ``job.argv`` to its end in a new container, its output going to ``job.console``.

        What a command finds is what docker gives it: ids, groups and HOME from the base's own
        files, umask 022, no signal ignored, an empty standard input and no terminal, ``/proc``,
        ``/dev`` with ``shm`` and ``pts``, the interface lo, the host name ``runcommit``.

        The removal of the container is on ``job.containers`` before there is one.  Raises
        CommandError when the command fails (its code is 127 where there is no such program, 126
        where it may not be executed, 128 + N after signal N), CommandTimeoutError when it takes
        longer than ``job.run.timeout`` seconds, EngineError when the engine fails, which it did
        wherever the command never began.
        """
        ...

    @hookspec(firstresult=True)
    def commit(self, job: Job, container: Container) -> Image:
        """Make an image of the container's file system.

        Where ``save`` needs none, the answer says what stands for it: the container's name, or
        ``upper``.  Raises EngineError.
        """
        ...

    @hookspec(firstresult=True)
    def save(self, job: Job, image: Image) -> SavedImage:
        """Bring the config and the new layers of an image out of the engine.

        Layers come as uncompressed tars, which ``extract`` reads after this step: what they lie
        in goes with the job, in ``job.folder`` or by ``job.cleanup``.  Raises EngineError, and
        ArchiveError when what came is not what the engine said that it is.
        """
        ...


class Pipeline(Backend, Protocol):
    """The backend's steps and the core's own."""

    @hookspec(firstresult=True)
    def lacks(
        self, engine: EngineOptions, run: RunOptions, wanted: Collection[str]
    ) -> Sequence[Lack]:
        """Declare what of ``wanted`` the engine cannot do here, before anything of a job runs.

        ``wanted`` holds what one job needs, or all capabilities for ``runcommit backends``: ask
        the engine nothing for what is not in it.  ``run`` is what the job asks for.  A job that
        needs what is lacking is refused with the reason.  Optional: a backend without it lacks
        the optional steps that it does not implement, and nothing else.
        """
        ...

    @hookspec(firstresult=True)
    def place(self, engine: EngineOptions) -> Place:
        """Say where the engine is, without asking the engine itself, and pin that choice.

        ``runcommit_core.place_at`` makes a place of an address.  The ``engine`` of the answer is
        what all other steps of the job are given.  Images travel accordingly; what else another
        machine makes impossible is for ``lacks`` to declare.  Optional: without it the engine is
        on this machine.
        """
        ...

    @hookspec(firstresult=True)
    def resolve(self, job: Job, reference: str) -> Image:
        """Find the image that the engine calls ``reference``, pulling it if it is not there.

        The answer has the name under which ``save`` finds it, and the engine's own id, which is
        its key in the cache.  Optional: a backend without it takes no ``engine:REF`` bases.  Raises
        EngineError when there is none.
        """
        ...

    @hookspec(firstresult=True)
    def root(self, job: Job, container: Container) -> SavedImage:
        """Compare the finished container's root with ``job.base``; what differs is one raw layer.

        Optional: a backend without it cannot ``--verify``.  ``runcommit_core.save_root`` does it
        for every engine that can show a root as a folder.  Raises EngineError.
        """
        ...

    @hookspec(firstresult=True)
    def rehearse(self, engine: EngineInfo, argv: Sequence[str]) -> Completed:
        """Say how a command would end that a step starts, for ``--explain``.

        Optional: only the steps of a backend that has it, and that starts processes through
        ``runcommit_core.process`` alone, are rehearsed; what is no process, such as a request,
        must not happen while ``process.is_rehearsed()``.  ``argv`` is the command, ``engine`` what
        ``describe`` knows.  The imagined engine holds none of the job's images; where nothing
        depends on the answer, an empty one will do.
        """
        ...

    @hookspec(firstresult=True)
    def diagnose(self, engine: EngineOptions) -> Sequence[Finding]:
        """Look for what is wrong with the engine, or unusual, for ``runcommit doctor``.

        The findings are shown in this order.  Optional; called when ``describe`` has no problem
        to tell.  Must not change anything; the job that is tried afterwards is no matter of this
        hook.  What it raises becomes a warning.
        """
        ...

    @hookspec(firstresult=True)
    def enter(self, job: Job, container: Container) -> Entry:
        """Say how ``job.argv`` runs attached to a terminal, with what the container holds now.

        Nothing is run here.  ``job.run`` is to hold as it did for the command, but for the
        variables, which the container has.  Optional: a
        backend without it takes neither ``--keep-on-failure`` nor ``--shell-on-failure``; one
        with it has pushed the removal of the container on ``job.containers``.
        """
        ...

    @hookspec(firstresult=True)
    def leftovers(self, engine: EngineOptions, ids: Sequence[str]) -> Sequence[Leftover]:
        """Find what the jobs of these ids left in the engine, in the order of its removal.

        Each name that a job gives holds its id (``runcommit_core.made_by``).  The container's kind
        is ``container``: without one there is none to keep on failure.  Optional: without it
        ``runcommit prune`` finds what killed jobs left in files alone.  Raises EngineError when
        the engine cannot be asked; it is asked again by the next call.
        """
        ...

    @hookspec(firstresult=True)
    def base_copies(self, engine: EngineOptions) -> Sequence[Leftover]:
        """Find the private copies of bases, by the names that ``load`` gave them.

        Their removal must fail while a container needs them.  Optional: without it ``runcommit
        prune`` leaves them alone.  Raises EngineError when the engine cannot be asked.
        """
        ...

    @hookspec(firstresult=True)
    def deliver(self, job: Job, reference: str) -> Image:
        """Bring the image that ``job.transport`` serves into the engine and call it ``reference``.

        The name moves when the image is complete and not before; what bore it is not removed.
        The answer has the name as the engine completed it.  Optional: a backend without it cannot
        ``--load``.  Raises EngineError.
        """
        ...

    @hookspec(firstresult=True)
    def extract(self, job: Job, saved: SavedImage) -> Layers:
        """Write the canonical layer of what was saved to ``job.output``.

        The answer is empty where nothing changed.  The core has this step; a plugin may take its
        place.  Raises ArchiveError for layers that are not what the specification says.
        """
        ...

    @hookspec
    def check(self, job: Job, layers: Layers) -> None:
        """Look at the new layers before anything is published; raise PolicyError to refuse them.

        Optional, for plugins: all of them are called once for each job, also when the layers come
        from the cache.  ``layers`` are those of the whole job, uncompressed, and not to be changed;
        ``runcommit_core.read_files`` and ``list_files`` tell what lies in the base and above it.
        """
        ...


REQUIRED_STEPS = ("describe", "load", "run", "commit", "save")
