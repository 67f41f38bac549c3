"""``runcommit job``: run the job that a file describes, as build systems want it."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.api import run_commit
from runcommit_core.cli.say import PlainFormatter
from runcommit_core.disk.places import real_place
from runcommit_core.engine.cleanup import CleanUp
from runcommit_core.engine.interruption import undisturbed
from runcommit_core.request import userenv
from runcommit_core.request.jobfile import read_job
from runcommit_core.staging import staging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO

    from runcommit_core.interface.values import Result
    from runcommit_core.request.jobfile import JobFile

log = logging.getLogger("runcommit")


def run_job_file(path: Path) -> None:
    """Run the job; say nothing when it works, everything on standard error when it does not.

    Raises what ``run_commit`` raises, and UsageError for a wrong file.
    """
    job = read_job(path)
    userenv.set_missing()
    with undisturbed(), CleanUp() as stack:
        staged = stack.enter_context(staging())
        diff_ids = staged.beside(job.diff_id) if job.diff_id else None
        place = (
            real_place(job.log)
            if job.log
            else Path(stack.enter_context(tempfile.NamedTemporaryFile()).name)  # noqa: SIM115
        )
        file = stack.enter_context(_told_on_failure(place))
        result = _run(job, lambda chunk: _all_into(file, chunk))
        if diff_ids:
            diff_ids.write_text("".join(f"{layer.diff_id}\n" for layer in result.layers))
        staged.publish()


def _file_until(stack: contextlib.ExitStack) -> Path:
    """An empty file that goes with the stack."""
    return Path(stack.enter_context(tempfile.NamedTemporaryFile()).name)


def _run(job: JobFile, console: Callable[[bytes], None]) -> Result:
    if job.extracts:
        from runcommit_core.api import run_extract

        return run_extract(**job.arguments, console=console).result
    return run_commit(**job.arguments, console=console)


@contextlib.contextmanager
def _told_on_failure(place: Path) -> Iterator[FileIO]:
    """The file for all that the job says, shown on standard error if the job fails."""
    with place.open("wb") as emptied:
        emptied.truncate()
    # two writers, each of whose writes goes to the end
    handler = logging.FileHandler(place, "a", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(PlainFormatter("runcommit: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with place.open("ab", buffering=0) as file:
            yield file
    except BaseException:
        _show(place)
        raise
    finally:
        log.removeHandler(handler)
        handler.close()


def _all_into(file: FileIO, chunk: bytes) -> None:
    while chunk:
        chunk = chunk[file.write(chunk) :]


def _show(place: Path) -> None:
    sys.stderr.flush()
    with place.open("rb") as file:
        shutil.copyfileobj(file, sys.stderr.buffer)
    sys.stderr.buffer.flush()
