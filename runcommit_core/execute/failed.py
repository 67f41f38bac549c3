"""What happens to the container of a job that failed: it goes, it stays, or a shell opens in it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shlex
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.errors import RuncommitError, UsageError
from runcommit_core.interface.progress import ShellOpened
from runcommit_core.interface.values import Container, Entry, RunOptions
from runcommit_core.request.commands import DEFAULT_SHELL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runcommit_core.housekeeping.ledger import Record
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job

log = logging.getLogger("runcommit")


def help_on_failure(
    steps: Pipeline, record: Record, shell: Sequence[str], *, keep: bool, open_shell: bool
) -> Callable[[Job], contextlib.AbstractContextManager[Job]]:
    """Choose what to do with a container whose job failed.

    The answer, given a job, yields the one for the steps to take, and helps when they raise.

    Raises UsageError where a shell has no terminal.
    """
    if not keep and not open_shell:
        return contextlib.nullcontext
    if open_shell and not (os.isatty(0) and os.isatty(2)):
        raise UsageError(
            "--shell-on-failure needs a terminal on standard input and standard error",
            tip="--keep-on-failure keeps the container, to be entered later",
        )
    helper = _Helper(steps, record, interactive_shell(shell), keep=keep, open_shell=open_shell)
    return helper.watching


def interactive_shell(shell: Sequence[str]) -> tuple[str, ...]:
    """The shell that commands go through, without the word that makes it take one."""
    words = tuple(word for word in shell if word != "-c")
    return words or DEFAULT_SHELL[:1]


class _Helper:
    """What is done for one job, see :func:`help_on_failure`."""

    def __init__(
        self,
        steps: Pipeline,
        record: Record,
        shell: tuple[str, ...],
        *,
        keep: bool,
        open_shell: bool,
    ) -> None:
        self._steps = steps
        self._record = record
        self._shell = shell
        self._keeps = keep
        self._opens = open_shell

    @contextlib.contextmanager
    def watching(self, job: Job) -> Iterator[Job]:
        """A job whose container has a stack of undos for itself."""
        with contextlib.ExitStack() as containers:
            watched = dataclasses.replace(job, containers=containers)
            try:
                yield watched
            except RuncommitError as error:
                if self._exists(watched):
                    if self._opens:
                        self._open(watched, error)
                    if self._keeps:
                        self._keep(watched, error)
                raise

    def _exists(self, job: Job) -> bool:
        """Whether the job got as far as to have a container."""
        from runcommit_core.plugins.backends import provides

        if not provides(self._steps, "leftovers"):
            return True
        try:
            found = self._steps.leftovers(engine=job.engine, ids=(job.id,))
        except RuncommitError:
            return False  # the engine that fails to answer is what the job failed for
        return any(thing.kind == "container" for thing in found)

    def _entry(self, job: Job) -> Entry:
        # the container has the variables already, and no command line may hold their values
        run = dataclasses.replace(job.run, env={})
        within = dataclasses.replace(job, argv=self._shell, run=run)
        return self._steps.enter(job=within, container=Container(job.name))

    def _open(self, job: Job, error: RuncommitError) -> None:
        # what the engine said may hold a secret, and has been shown without it already
        log.error("%s", str(error).partition("\n")[0])
        try:
            entry = self._entry(job)
            for command in reversed(entry.after):
                job.cleanup.callback(process.undo, *command)
            for command in entry.before:
                process.output(*command)
            log.error("a shell in the failed container; what you change there is lost")
            job.progress(ShellOpened())
            process.interactive(*entry.enter)
        except RuncommitError as problem:
            log.error("no shell: %s", problem)  # noqa: TRY400 - the message is the user's

    def _keep(self, job: Job, error: RuncommitError) -> None:
        """Leave the container, and say how to get into it.

        The job's folder goes, and with it what was mounted from there.
        """
        job.containers.pop_all()
        self._record.note(kept=True)
        run = RunOptions(user=job.run.user, workdir=job.run.workdir, network=job.run.network)
        entry = self._entry(dataclasses.replace(job, run=run))
        enter = [*entry.before, entry.enter]
        lines = [
            *filter(None, [error.tip]),
            f"the container {job.name} is kept.  To enter it:",
            *(f"  {shlex.join(command)}" for command in enter),
            "To remove it, and what entering it made: runcommit prune --kept",
        ]
        error.tip = "\n".join(lines)
