"""What jobs are there, and what killed ones may have left: one small file per job in the cache.

A job holds an exclusive flock on its record for as long as it lives, which the kernel drops with
the process however that ends.  It removes the record when it
knows that all is cleaned up.  So a record that
can be locked tells of a job that was killed, whose clean-up failed, or whose container was kept.
The environment's words in it are those that choose an engine; none of them is a secret.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runcommit_core.cachedir import cache_dir
from runcommit_core.engine import interruption, process
from runcommit_core.engine.choosing import selecting
from runcommit_core.engine.copies import used_marker
from runcommit_core.errors import ArchiveError
from runcommit_core.interface.values import EngineOptions
from runcommit_core.oci.jsondoc import object_at, parse_record, text_at, texts_at
from runcommit_core.records import record
from runcommit_core.staging import mark, replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

log = logging.getLogger("runcommit")

_FORM = 1
_SUFFIX = ".json"
_MOST_BYTES = 1 << 20
_UNREADABLE = b"{}"


class LedgerEntry:
    """One job in the ledger: on disk from ``begin`` to the end of the block.

    A record that cannot be written is not worth a job: that is logged, and ``prune`` will know
    nothing of the job.
    """

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}
        self._path = Path()
        self._file = -1
        self._owed = 0

    def __enter__(self) -> Self:
        self._owed = process.owed()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file < 0:
            return
        incomplete = process.owed() > self._owed or interruption.is_cut_short()
        if incomplete:
            log.warning("not all could be cleaned up: `runcommit prune` takes the rest away")
        if self._facts.get("kept") or incomplete:
            self.note(outputs=[])  # what was staged is gone, and a later job may use its name
        else:
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def begin(
        self,
        job_id: str,
        backend: str,
        engine: EngineOptions,
        folder: Path,
        outputs: Iterable[Path | None],
    ) -> None:
        """Write down all that it takes to find what this job leaves.

        A colon ends the name of a ``backend`` that is to be imported.
        """
        self._facts = {
            "form": _FORM,
            "id": job_id,
            "pid": os.getpid(),
            "machine": os.uname().nodename,
            "started": int(time.time()),
            "backend": backend,
            "engine_path": _absolute(engine.path),
            "engine_flags": list(engine.flags),
            "environment": selecting(backend),
            "folder": os.fspath(folder),
            "mark": mark(),
            "outputs": sorted({os.fspath(path.resolve().parent) for path in outputs if path}),
            "base": "",
            "kept": False,
        }
        self._path = jobs_folder() / f"{job_id}{_SUFFIX}"
        try:
            self._file = _locked(self._path, _encoded(self._facts))
        except OSError as error:
            log.info("no record of this job for `runcommit prune`: %s", error)

    def on_base(self, name: str) -> None:
        """Note the private copy that the job is about to use, and that it was used now."""
        used = used_marker(name)
        try:
            used.touch()
        except FileNotFoundError:
            used.parent.mkdir(mode=0o700, exist_ok=True)
            used.touch()
        self.note(base=name)

    def note(self, **facts: Any) -> None:
        """Change what the record says."""
        self._facts |= facts
        if self._file >= 0:
            text = _encoded(self._facts)
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))


@record
class Known:
    """A record as it was found; ``living`` while its job runs."""

    path: Path
    living: bool
    id: str
    machine: str
    backend: str
    engine: EngineOptions
    environment: Mapping[str, str]
    folder: Path
    mark: str
    outputs: tuple[Path, ...]
    base: str
    kept: bool

    @property
    def elsewhere(self) -> bool:
        """Whether the job ran on another machine that shares this cache folder."""
        return self.machine != os.uname().nodename


@contextlib.contextmanager
def known_jobs() -> Iterator[list[Known]]:
    """All records, oldest first; those of jobs that are no more stay locked within the block."""
    with contextlib.ExitStack() as locks:
        paths = sorted(jobs_folder().glob(f"*{_SUFFIX}"), key=_written)
        yield [job for path in paths if (job := _known(path, locks))]


@contextlib.contextmanager
def environment_of(job: Known) -> Iterator[None]:
    """Let the engine be chosen as the job had it; its backend is best loaded before."""
    before = selecting(job.backend) | {
        name: os.environ[name] for name in job.environment if name in os.environ
    }
    try:
        _select(before, job.environment)
        yield
    finally:
        _select(job.environment, before)


def jobs_folder() -> Path:
    """Where the records are."""
    folder = cache_dir() / "jobs"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _select(names: Iterable[str], chosen: Mapping[str, str]) -> None:
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(chosen)


def _locked(path: Path, text: bytes) -> int:
    """Make the file such that nobody ever sees it unlocked."""
    with contextlib.ExitStack() as undo:
        with replacing(path) as beside:
            file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            undo.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(file, text)
        undo.pop_all()
        return file


def _known(path: Path, locks: contextlib.ExitStack) -> Known | None:
    """The record at ``path``; None when its job has removed it meanwhile."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    locks.callback(os.close, file)
    living = not _lock(file)
    if not living and not path.exists():
        return None
    text = os.pread(file, _MOST_BYTES, 0)
    try:
        return _decoded(text, path, living=living)
    except ArchiveError as error:
        log.info("%s", error)
        return _decoded(_UNREADABLE, path, living=living)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _encoded(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts).encode()


def _decoded(text: bytes, path: Path, *, living: bool) -> Known:
    """What a record says; of one of another form nothing is read, which makes it another machine's.

    Raises ArchiveError: it makes no sense
    """
    where = str(path)
    record = parse_record(text, where)
    facts = record if record.get("form") == _FORM else {}
    environment = object_at(facts, "environment", where)
    return Known(
        path=path,
        living=living,
        id=path.stem,
        machine=text_at(facts, "machine", where),
        backend=text_at(facts, "backend", where),
        engine=EngineOptions(
            path=text_at(facts, "engine_path", where) or None,
            flags=tuple(texts_at(facts, "engine_flags", where)),
        ),
        environment={name: text_at(environment, name, where) for name in environment},
        folder=Path(text_at(facts, "folder", where)),
        mark=text_at(facts, "mark", where),
        outputs=tuple(map(Path, texts_at(facts, "outputs", where))),
        base=text_at(facts, "base", where),
        kept=facts.get("kept") is True,
    )


def _absolute(program: str | None) -> str | None:
    return os.path.abspath(program) if program and "/" in program else program  # noqa: PTH100
