"""Engine processes that outlive a killed job: it could not end them, and they go on without it."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.errors import EngineError
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROC = Path("/proc")
_PART_OF_THE_CONTAINER = "conmon"


@record
class Orphan:
    """A process that a job started, as the leader of a session of its own."""

    pid: int
    words: tuple[str, ...]

    @property
    def command(self) -> str:
        """Enough of its words to tell what it is."""
        return shlex.join(self.words[:3])

    def end(self) -> None:
        """End it and its process group."""
        process.end_session(self.pid)


def made_by(name: str, ids: Iterable[str]) -> bool:
    """Whether a job of one of these ids gave this name, or one of the jobs that it consists of."""
    return any(re.search(rf"(?<![0-9a-f]){job_id}(?![0-9a-f])", name) for job_id in ids)


def orphans(job_id: str) -> Iterator[Orphan]:
    """Session leaders of this user whose words name the job, our own children aside."""
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            pid = int(folder.name)
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            if (
                any(made_by(word, (job_id,)) for word in words)
                and Path(words[0]).name != _PART_OF_THE_CONTAINER
                and os.getsid(pid) == pid
                and folder.stat().st_uid == os.geteuid()
                and _parent(folder) != os.getpid()
            ):
                yield Orphan(pid, tuple(words))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def end_orphans(job_id: str) -> None:
    """End what a killed job left running, before its container goes."""
    for orphan in list(orphans(job_id)):
        orphan.end()


def await_orphans(ids: Iterable[str], *begin: str, patience: float = 60.0) -> None:
    """Wait for those commands of killed jobs that begin with these words.

    For an engine that finishes such a command even if nobody waits: what comes of it is there
    only then.  Raises EngineError when one still runs after ``patience`` seconds.
    """
    for job_id in ids:
        for orphan in orphans(job_id):
            if orphan.words[: len(begin)] == begin and process.outlived(orphan.pid, patience):
                raise EngineError(
                    f"the engine is still at what a killed job asked for: {orphan.command}",
                    tip=f"wait for process {orphan.pid}, then prune again",
                )


def _parent(folder: Path) -> int:
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
