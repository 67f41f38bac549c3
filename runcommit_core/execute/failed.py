"""What happens to the container of a job that failed: it goes, it stays, or a shell opens in it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shlex
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.errors import RuncommitError
from runcommit_core.interface.progress import ShellOpened
from runcommit_core.interface.values import Container, Entry, RunOptions
from runcommit_core.request.commands import DEFAULT_SHELL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.plan.plan import Plan

log = logging.getLogger("runcommit")


@contextlib.contextmanager
def help_on_failure(planned: Plan, job: Job) -> Iterator[None]:
    """Where the job fails in this block, open a shell in its container or keep it, if asked to."""
    try:
        yield
    except RuncommitError as error:
        asked = planned.request.behaviour
        helps = asked.keep_on_failure or asked.shell_on_failure
        if helps and _container_exists(planned.choice.steps, job):
            if asked.shell_on_failure:
                _open_shell(planned, job, error)
            if asked.keep_on_failure:
                _keep_container(planned, job, error)
        raise


def interactive_shell(shell: Sequence[str]) -> tuple[str, ...]:
    """The shell that commands go through, without the word that makes it take one."""
    words = tuple(word for word in shell if word != "-c")
    return words or DEFAULT_SHELL[:1]


def _container_exists(steps: Pipeline, job: Job) -> bool:
    """Whether the job got as far as to have a container."""
    from runcommit_core.plugins.backends import provides

    if not provides(steps, "leftovers"):
        return True
    try:
        leftovers = steps.leftovers(engine=job.engine, ids=(job.id,))
    except RuncommitError:
        return False  # the engine that fails to answer is what the job failed for
    return any(thing.kind == "container" for thing in leftovers)


def _entry(planned: Plan, job: Job) -> Entry:
    # the container has the variables already, and no command line may hold their values
    run = dataclasses.replace(job.run, env={})
    within = dataclasses.replace(job, argv=interactive_shell(planned.request.shell), run=run)
    return planned.choice.steps.enter(job=within, container=Container(job.name))


def _open_shell(planned: Plan, job: Job, error: RuncommitError) -> None:
    # what the engine said may hold a secret, and has been shown without it already
    log.error("%s", str(error).partition("\n")[0])
    try:
        entry = _entry(planned, job)
        for command in reversed(entry.after):
            job.cleanup.callback(process.undo, *command)
        for command in entry.before:
            process.output(*command)
        log.error("a shell in the failed container; what you change there is lost")
        job.progress(ShellOpened())
        process.interactive(*entry.enter)
    except RuncommitError as problem:
        log.error("no shell: %s", problem)  # noqa: TRY400 - the message is the user's


def _keep_container(planned: Plan, job: Job, error: RuncommitError) -> None:
    """Leave the container, and say how to get into it.

    The job's folder goes, and with it what was mounted from there.
    """
    job.containers.pop_all()
    planned.entry.note(kept=True)
    run = RunOptions(user=job.run.user, workdir=job.run.workdir, network=job.run.network)
    entry = _entry(planned, dataclasses.replace(job, run=run))
    enter = [*entry.before, entry.enter]
    lines = [
        *filter(None, [error.tip]),
        f"the container {job.name} is kept.  To enter it:",
        *(f"  {shlex.join(command)}" for command in enter),
        "To remove it, and what entering it made: runcommit prune --kept",
    ]
    error.tip = "\n".join(lines)
