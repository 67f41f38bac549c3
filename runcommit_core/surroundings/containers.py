"""A job's container: the words that describe it, and whose fault it was when it failed."""

from __future__ import annotations

import dataclasses
import logging
import re
import signal
from typing import TYPE_CHECKING, Any

from runcommit_core.engine import images, process
from runcommit_core.errors import EngineError
from runcommit_core.interface.values import Entry, Image
from runcommit_core.records import record
from runcommit_core.surroundings.variables import client_environment, variable_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runcommit_core.engine.client import Client
    from runcommit_core.engine.images import Images
    from runcommit_core.engine.process import Completed
    from runcommit_core.errors import CommandError, RuncommitError
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Container, SavedImage

log = logging.getLogger("runcommit")

COMMAND_NOT_FOUND = 127
COMMAND_NOT_EXECUTABLE = 126
_KILLED = 128 + 9
_ENGINE_FAILED = 125
_NOT_FOUND = "not found|no such file or directory"
_NOT_EXECUTABLE = "permission denied|exec format error|(is|not) a directory"
# crun does not name what it may not execute
_UNNAMED = "open executable: permission denied"


def run_words(job: Job, *own: str, tmpfs: str = "") -> list[str]:
    """The job's options for the engine's ``run``, before its image.

    ``own`` are options of the engine's own; ``tmpfs`` stands after each tmpfs's options.
    """
    run = job.run
    options = ["--name", job.name, "--label", f"runcommit.job={job.id}", "--pull=never"]
    options += [
        "--log-driver=none",
        "--hostname=runcommit",
        *own,
        *run.words(),
        *variable_words(job),
    ]
    options += run.limits()
    options += ["--platform", run.platform] if run.platform else []
    options += [word for mount in run.mounts for word in mount.words(tmpfs=tmpfs)]
    return [*options, *run.flags]


def id_file(job: Job) -> Path:
    """Where the engine's client is to write the container's id as soon as there is one.

    It must not be there yet.
    """
    return job.folder / f"container-{job.id}"


def attached(job: Job, *words: str, **how: Any) -> Completed:
    """Run a command attached to the job's console, for as long as the job allows.

    ``how`` is what :func:`process.attached` takes besides.
    """
    run = job.run
    return process.attached(
        *words, console=job.console, timeout=run.timeout, grace=run.stop_timeout, **how
    )


def run(job: Job, client: Client, *words: str) -> Completed:
    """Run a command of the client's, attached to the job's console.

    The removal of the job's container is registered before, and its end when the time is over.
    An engine that goes on when its client is ended may make the container after its removal.  Where
    the words have the client write the container's id to :func:`id_file`, that is waited for.
    Raises EngineError and CommandTimeoutError; whose the exit code is tells :func:`failed`.
    """
    job.containers.callback(process.undo, *client.words(*client.remove, job.name))
    end = client.words(*client.kill, job.name)
    id_file(job).unlink(missing_ok=True)
    return attached(
        job,
        *words,
        env=client_environment(job),
        end=end,
        begun=id_file(job) if str(id_file(job)) in words else None,
    )


def run_on_base(
    job: Job,
    client: Client,
    images_there: Images,
    image: Image,
    words: Callable[..., Sequence[str]],
) -> Completed:
    """:func:`run` on the base that ``load`` returned, which is brought anew where it was lost.

    ``words`` gives all words that run a job's container; it is given job, base, and options.
    """

    def make(base: Image) -> Completed:
        completed = run(job, client, *words(job, base, "--cidfile", str(id_file(job))))
        if completed.returncode == _ENGINE_FAILED and outcome(job, client).begun is None:
            raise process.failure(completed.argv, completed.returncode, completed.output)
        return completed

    return images.on_base(job, images_there, image, make)


def commit(job: Job, client: Client, container: Container, *, patience: float = 0.0) -> Image:
    """What the step ``commit`` returns: an image under the name that a push needs.

    It goes with the job; ``patience`` in seconds as :func:`process.output` has it.
    """
    name = job.transport.tag(job.id)
    remove = client.remove_commit or client.remove_image
    job.cleanup.callback(process.undo, *client.words(*remove, name))
    words = client.words(*client.commit, container.name, name)
    return Image(name, process.output(*words, patience=patience, env=client.env))


def read_upper(job: Job, upper: Path, *, enter: Sequence[str] = ()) -> SavedImage | None:
    """What :func:`runcommit_core.save_upper` returns; None where the directory cannot be read.

    The user is warned then, and the container is to be committed.
    """
    from runcommit_core.engine.saveupper import save_upper

    try:
        return save_upper(job, upper, enter=enter)
    except EngineError as error:
        log.warning("cannot read the container's changes, so committing them: %s", error)
        return None


def entry_by_image(
    job: Job, client: Client, container: Container, words: Callable[[Job, Image], Sequence[str]]
) -> Entry:
    """What ``enter`` returns where an ended container cannot be entered: a shell in its image.

    ``words`` gives all words that run a job's container.
    """
    image = f"localhost/runcommit/kept:{job.id}"
    flags = ("--rm", "--interactive", "--tty", *job.run.flags)
    options = dataclasses.replace(job.run, flags=flags)
    shell = dataclasses.replace(job, id=f"{job.id}-shell", run=options)
    return Entry(
        # what a user is to call by hand may say what it does
        before=(client.words(*client.commit[:1], container.name, image),),
        enter=tuple(words(shell, Image(image))),
        after=(
            client.words(*client.remove, shell.name),
            client.words(*client.remove_image, image),
        ),
    )


@record(kw_only=True)
class Outcome:
    """What an engine knows of a container whose run did not end well.

    ``begun`` is whether the command in it was started, None where there is no such container.
    ``code`` is the exit code that the command ended with, None where it has not.
    ``out_of_memory`` is None where the engine cannot tell.
    """

    begun: bool | None = None
    code: int | None = None
    out_of_memory: bool | None = None


def outcome(job: Job, client: Client) -> Outcome:
    """What the client tells of the job's container."""
    template = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}"
    inspect = client.words(*client.inspect, "--format", template, job.name)
    state = process.attempt(*inspect).output.split()
    if not state:
        return Outcome()
    status, code, killed = state
    ended = status in ("exited", "stopped")
    return Outcome(
        begun=status != "created",
        code=int(code) if ended else None,
        out_of_memory=killed == "true",
    )


def failed(job: Job, completed: Completed, outcome: Outcome) -> RuncommitError:
    """The error for a client that ended like the command, or else because the engine failed.

    Where a connection was cut the command goes on, or ended otherwise than its client.
    """
    code = completed.returncode
    # the engine's own helpers can be missing as well
    named = job.argv[0] in completed.output or _UNNAMED in completed.output.lower()
    unstarted = code in (COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE) and named
    ended_like_it = outcome.code == code or (outcome.begun is False and unstarted)
    memory = outcome.out_of_memory
    return run_error(job, completed, code if ended_like_it else None, out_of_memory=memory)


def run_error(
    job: Job, completed: Completed, code: int | None, *, out_of_memory: bool | None = None
) -> RuncommitError:
    """The error for a run that did not end well, where ``code`` is the command's exit code.

    None is for a command that was not begun, or has not ended: then the engine failed.
    """
    if code is None:
        return process.failure(completed.argv, completed.returncode, completed.output)
    return command_error(job, completed, code=code, out_of_memory=out_of_memory)


def command_error(
    job: Job, completed: Completed, *, code: int = 0, out_of_memory: bool | None = None
) -> CommandError:
    """The CommandError for the job's command, with what the engine knows of its memory.

    ``code`` is the command's exit code where its engine ended otherwise.
    """
    killed = (code or completed.returncode) == _KILLED
    reason = " (probably out of memory)" if job.run.memory and killed else ""
    if out_of_memory is not None:
        reason = " (out of memory)" if out_of_memory else ""
    return process.command_failure(completed, code=code, reason=reason)


def unstarted_code(argv: Sequence[str], words: str) -> int:
    """The exit code, as a shell has it, of a command that an engine says it could not start.

    127 where there is no such program, 126 where it cannot be executed; 0 where ``words`` tell of
    something else, which is the engine's own failure.
    """
    # such as `exec: "NAME": stat NAME: no such file or directory`; mounts fail with the same words
    what = rf"\bexec(utable file)?:? [\\\"`]*(\S*/)?{re.escape(argv[0])}[\\\"`: ].*"
    if re.search(f"{what}({_NOT_FOUND})", words, re.IGNORECASE):
        return COMMAND_NOT_FOUND
    denied = f"{what}({_NOT_EXECUTABLE})|{_UNNAMED}"
    return COMMAND_NOT_EXECUTABLE if re.search(denied, words, re.IGNORECASE) else 0


def killed_code(name: str) -> int | None:
    """The exit code, as a shell has it, of a command that was ended by a signal.

    ``name`` is the signal in the C library's words, ``killed`` or ``Terminated``; None if unknown.
    """
    for number in signal.valid_signals():
        if (signal.strsignal(number) or "").lower() == name.lower():
            return 128 + number
    return None


def missing_workdir(engine: str, workdir: str) -> EngineError:
    """The error for a working directory that the base has not, where the engine makes none."""
    return EngineError(
        f"{engine} makes no working directory, and the base has no {workdir}",
        tip=f"make it first: -c 'mkdir -p {workdir}', then cd there",
    )
