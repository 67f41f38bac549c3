"""``runcommit prune``: take away what jobs left that could not do it themselves.

A killed job leaves a container, images, engine processes that go on without it, its private
folder and half outputs beside their places.  Its record (:mod:`runcommit_core.housekeeping.ledger`)
leads to all of them.  Nothing else is looked at, so nothing of a living job, of another user or
of another program is ever touched.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import time
from typing import TYPE_CHECKING

from runcommit_core.cachedir import cache_dir
from runcommit_core.disk.mounts import mount_points
from runcommit_core.disk.swaps import put_aside
from runcommit_core.engine import process
from runcommit_core.engine.copies import used_marker
from runcommit_core.engine.turns import unused
from runcommit_core.errors import EngineError, RuncommitError, UnknownBackendError
from runcommit_core.housekeeping import ledger
from runcommit_core.housekeeping.orphans import orphans
from runcommit_core.housekeeping.strays import strays
from runcommit_core.interface.values import EngineOptions, Leftover
from runcommit_core.plugins.backends import describe, find_backend, installed, pipeline, provides
from runcommit_core.records import record
from runcommit_core.staging import PREFIX, UNFINISHED
from runcommit_core.surroundings.memory import folders_in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from runcommit_core.housekeeping.ledger import Known
    from runcommit_core.interface.hookspecs import Pipeline

log = logging.getLogger("runcommit")

STALE_SECONDS = 3600.0
"""How long an unfinished file of the cache must not have been written to, to be abandoned."""


@record
class Found:
    """A thing to remove: where it is (a backend's name, or empty), and whose it was."""

    thing: Leftover
    backend: str = ""
    job: str = ""
    kept: bool = False


@record(kw_only=True)
class Choice:
    """What to prune besides the leftovers of killed jobs.

    ``kept``: containers that ``--keep-on-failure`` kept.  ``bases``: private copies of bases that
    this user's jobs used, if not within the last ``older_than`` seconds; with ``strangers`` those
    that no job is known to have used, too.  ``results``: the cache of results and indexes.
    ``forget``: records of jobs whose engine cannot be asked what they left there.  ``backend``:
    nothing but what is in this backend's engines, and what its jobs left on this machine.
    """

    kept: bool = False
    bases: bool = False
    older_than: float = 0.0
    strangers: bool = False
    results: bool = False
    forget: bool = False
    backend: str = ""


class Prune:
    """One call of ``runcommit prune``: ``found`` yields what there is, removed if ``remove`` does.

    ``problems`` tells, at the end, what could not be looked at or removed.
    """

    def __init__(self, choice: Choice, remove: Callable[[Leftover], object]) -> None:
        self.problems: list[str] = []
        self._choice = choice
        self._remove = remove

    def found(self, engines: Sequence[tuple[str, EngineOptions]]) -> Iterator[Found]:
        """Things one by one, each after its removal; ``engines`` are searched for bases."""
        with ledger.known_jobs() as jobs:
            for job in filter(self._is_chosen, jobs):
                if job.living:
                    log.info("job %s is running: left alone", job.id)
                elif job.elsewhere:
                    log.info("job %s ran on another machine (%s): left alone", job.id, job.machine)
                else:
                    yield from self._of_job(job)
            if self._choice.bases:
                used = {job.base for job in jobs if job.living}
                for name, engine in engines:
                    yield from self._bases(name, engine, used)
        if not self._choice.backend:
            yield from self._all_removed(_stale_files(), Found)
        if self._choice.results:
            yield from self._all_removed(_cached(), Found)

    def _is_chosen(self, job: Known) -> bool:
        return self._choice.backend in ("", job.backend.removesuffix(":"))

    def _of_job(self, job: Known) -> Iterator[Found]:
        problems = len(self.problems)
        with contextlib.suppress(RuncommitError):
            _steps(job.backend)  # which tells what variables chose the engine
        found = functools.partial(Found, job=job.id, kept=job.kept)
        if job.kept and not self._choice.kept:
            with contextlib.suppress(RuncommitError), ledger.environment_of(job):
                yield from (found(thing, job.backend) for thing in _in_engine(job))
            return
        with ledger.environment_of(job):
            if any(orphans(job.id)):
                self._in_engine(job)  # which waits for what the engine finishes in any case
            # what goes on might make more: none of it runs when the list is made that counts
            yield from self._all_removed(_processes(job), found)
            things = self._in_engine(job)
            yield from self._all_removed(things or (), lambda thing: found(thing, job.backend))
        yield from self._all_removed(_on_this_machine(job), found)
        if len(self.problems) > problems:
            return
        if things is None and self._choice.forget:
            yield from self._all_removed([_file("record", job.path)], found)
        elif things is not None:
            with contextlib.suppress(RuncommitError):
                self._remove(_file("record", job.path))

    def _in_engine(self, job: Known) -> Sequence[Leftover] | None:
        """What the job left in its engine; None where that cannot be asked, which is told.

        A backend that is no longer installed is no failure of this call, nor of every later one;
        an engine that does not answer is, until it does or is forgotten.
        """
        try:
            return _in_engine(job)
        except UnknownBackendError as error:
            log.warning("job %s: %s; %s", job.id, error, error.tip)
        except Exception as error:  # noqa: BLE001 - a backend is anybody's, and others' jobs wait
            said = str(error) if isinstance(error, RuncommitError) else repr(error)
            if not self._choice.forget:
                self.problems.append(f"job {job.id}: {said}")
            else:
                log.warning("job %s: what it left in its engine is not known: %s", job.id, said)
        return None

    def _bases(self, name: str, engine: EngineOptions, used: set[str]) -> Iterator[Found]:
        steps = _steps(name)
        if not provides(steps, "base_copies"):
            return
        try:
            copies = steps.base_copies(engine=engine)
        except EngineError as error:
            self.problems.append(f"{name}: {error}")
            return
        by_age = sorted((_last_use(copy.name), copy.name, copy) for copy in copies)
        chosen = [copy for used_at, _, copy in by_age if self._may_go(copy, used_at, used)]
        for copy in chosen:
            with unused(copy.name) as free:
                if free:
                    yield from self._all_removed([copy], functools.partial(Found, backend=name))
                else:
                    log.info("%s is in use: left alone", copy.name)

    def _may_go(self, copy: Leftover, used_at: float, used: set[str]) -> bool:
        if copy.name in used:
            log.info("%s is in use: left alone", copy.name)
            return False
        if not used_at and not self._choice.strangers:
            log.info("%s was used by no job that is known here: left alone", copy.name)
            return False
        return time.time() - used_at >= self._choice.older_than

    def _all_removed(
        self, things: Iterable[Leftover], found: Callable[[Leftover], Found]
    ) -> Iterator[Found]:
        for thing in things:
            try:
                self._remove(thing)
            except (RuncommitError, OSError) as error:
                self.problems.append(f"{thing.kind} {thing.name}: {error}")
            else:
                yield found(thing)


def remove(thing: Leftover) -> None:
    """Do remove a thing, as opposed to a dry run."""
    thing.remove()


def look(_thing: Leftover) -> None:
    """Leave a thing where it is: a dry run."""


def usable_engines(engine: EngineOptions, only: str = "") -> list[tuple[str, EngineOptions]]:
    """The installed backends whose engines answer, or that one of them.

    Raises UnknownBackendError where there is none of that name.
    """
    if only:
        find_backend(only)
    names = [only] if only else [item.name for item in installed()]
    return [(name, engine) for name in names if not describe(name, engine).problem]


def occupied(name: str, engine: EngineOptions) -> tuple[int, int | None] | None:
    """How many private copies of bases an engine holds, and their bytes as far as it tells.

    None for a backend that cannot tell.
    """
    steps = _steps(name)
    if not provides(steps, "base_copies"):
        return None
    copies = steps.base_copies(engine=engine)
    sizes = [copy.size for copy in copies if copy.size is not None]
    return len(copies), sum(sizes) if len(sizes) == len(copies) else None


def _steps(name: str) -> Pipeline:
    return pipeline(find_backend(name), name)


def _in_engine(job: Known) -> Sequence[Leftover]:
    """What the backend finds in the engine of the job.

    Raises EngineError when the engine cannot be asked, UnknownBackendError without the backend.
    """
    try:
        steps = _steps(job.backend)
    except UnknownBackendError as error:
        raise UnknownBackendError(
            f"its backend {job.backend!r} cannot be found to look into the engine ({error})",
            tip="install it again, or let `runcommit prune --forget` drop what is known of the job",
        ) from error
    if provides(steps, "leftovers"):
        return steps.leftovers(engine=job.engine, ids=(job.id,))
    log.info("backend %s cannot tell what its jobs left in the engine", job.backend)
    return ()


def _processes(job: Known) -> list[Leftover]:
    """What goes on without the job: commands of its engine, then what these lost sight of."""
    processes = [(orphan.pid, orphan.command, orphan.end) for orphan in orphans(job.id)]
    if job.folder.is_absolute():
        processes += [(stray.pid, stray.command, stray.end) for stray in strays(job.folder)]
    return [
        Leftover(kind="process", name=f"{pid} ({command})", remove=end)
        for pid, command, end in {each[0]: each for each in reversed(processes)}.values()
    ][::-1]


def _on_this_machine(job: Known) -> Iterator[Leftover]:
    if job.folder.is_absolute():
        for place in _mounts_below(job.folder):
            unmount = functools.partial(_unmount, place)
            yield Leftover(kind="mount", name=os.fspath(place), remove=unmount)
        for path in (*folders_in_memory(job.folder, job.environment), job.folder):
            if path.is_dir():
                yield _file("folder", path)
    for folder in job.outputs if job.mark else ():
        for path in sorted(folder.glob(f"{PREFIX}{job.mark}-*")):
            yield _put_back(path) if put_aside(path) else _file("output", path)


def _put_back(path: Path) -> Leftover:
    """An image that a job took away to replace it, and did not come to replace."""
    place = put_aside(path) or path
    return Leftover(kind="restored", name=os.fspath(place), remove=lambda: path.rename(place))


def _file(kind: str, path: Path) -> Leftover:
    if path.is_dir():
        remove_it: Callable[[], object] = functools.partial(_remove_folder, path)
    else:
        remove_it = functools.partial(path.unlink, missing_ok=True)
    return Leftover(kind=kind, name=os.fspath(path), size=_size(path), remove=remove_it)


def _remove_folder(folder: Path) -> None:
    """Remove a folder, unless something is mounted in it that would be emptied as well."""
    if mounted := _mounts_below(folder):
        raise OSError(f"{mounted[0]} is still mounted")
    shutil.rmtree(folder)


def _unmount(place: Path) -> None:
    if place in _mounts_below(place):
        process.output("umount", "-n", os.fspath(place))


def _mounts_below(folder: Path) -> list[Path]:
    """What is mounted in a folder, the inner mounts first."""
    return [place for place in reversed(mount_points()) if place.is_relative_to(folder)]


def _stale_files() -> Iterator[Leftover]:
    """Files of the cache that somebody began to write long ago and never finished."""
    cache = cache_dir()
    horizon = time.time() - STALE_SECONDS
    folders = ("", "bases/", "engine-configs/", "index/*/", "jobs/")
    for folder in folders:
        for path in sorted(cache.glob(f"{folder}*{UNFINISHED}*")):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < horizon:
                    yield _file("file", path)
    # a record is written before it gets its name: an empty one is what a crash of the machine left
    for path in sorted(ledger.jobs_folder().glob("*.json")):
        with contextlib.suppress(FileNotFoundError):
            if not path.stat().st_size and path.stat().st_mtime < horizon:
                yield _file("record", path)


def _cached() -> Iterator[Leftover]:
    """The cache of results and of indexes; jobs that run do without what goes."""
    from runcommit_core.cache import listing
    from runcommit_core.remote.blobs import remove_blobs

    contents = listing.cache_contents()
    if not remove_blobs(()):  # a job uses some of them
        contents = contents.without_blobs()
    for item in contents.items:
        yield Leftover(
            kind=item.kind,
            name=os.fspath(item.kept.path),
            size=item.kept.size,
            remove=functools.partial(listing.remove, [item]),
        )


def _last_use(base: str) -> float:
    """When a job of ours used this private copy last; 0 when none is known to have."""
    try:
        return used_marker(base).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    """The bytes of a file, or of all files of a folder."""
    if not path.is_dir():
        return path.lstat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_size
    return total
