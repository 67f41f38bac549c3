"""The only module that starts processes.

Engines are started from an argument list, never through a shell, without a standard input of the
user's, and as leaders of a session of their own: a Ctrl-C at the terminal reaches runcommit alone,
which then decides in which order things end.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import logging
import os
import re
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from runcommit_core.engine import interruption, sessions
from runcommit_core.engine.interruption import CutShortError, pause, waiting
from runcommit_core.engine.interruption import undisturbed as undisturbed  # noqa: PLC0414
from runcommit_core.errors import (
    CommandError,
    CommandTimeoutError,
    EngineError,
    UsageError,
)
from runcommit_core.interface.completed import Completed as Completed  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

log = logging.getLogger("runcommit")

TAIL_BYTES = 16 * 1024
"""How much of an attached command's output is kept for messages."""

GRACE_SECONDS = 2.0
"""How long an interrupted engine command may take to end before it is killed."""

UNDO_SECONDS = 30.0
"""How long a command may take that takes something back, before it is left to ``prune``."""

_NO_PATIENCE_SECONDS = 2.0
"""The same for those that come after one that took too long: the engine hangs."""

BEGIN_SECONDS = 10.0
"""How long an interrupted run may take to make its container, which must not come afterwards."""

_KILLED_SECONDS = 5.0
"""How long the kernel may take to end what was killed; one that waits for a disk takes longer."""

_ORPHAN_GRACE_SECONDS = 2.0
"""The same for what a killed runcommit left, whose work nobody waits for."""

_CHUNK = 64 * 1024

_EXIT_TIPS = {
    126: "126 is what a shell says of a file that it may not execute",
    127: "127 is what a shell says of a program that is not there: is it in the base's PATH?",
}
_INSTALL = "install the engine, or name its program with --engine-path"
_START_TIPS = {
    errno.ENOENT: _INSTALL,
    errno.EACCES: _INSTALL,
    errno.E2BIG: "words and variables together are more than the kernel takes: give fewer",
}

_GONE = re.compile(
    r"no such (?!file or directory|host)|(?<!service )not known"
    r"|(?<!command )(?<!context )(?<!file )not found",
    re.IGNORECASE,
)
"""How engines say that something does not exist.

What misses a file, a command, a host or a context has not reached its engine.
"""


Rehearsal = Callable[[tuple[str, ...], Iterable[bytes] | None], Completed]
"""What stands in for processes: it is given a command, and what would be streamed to it."""

_rehearsal: ContextVar[Rehearsal | None] = ContextVar("rehearsal", default=None)


@contextlib.contextmanager
def rehearsed(rehearsal: Rehearsal) -> Iterator[None]:
    """Start no process in this block, in this thread: ``rehearsal`` says how each would end."""
    token = _rehearsal.set(rehearsal)
    try:
        yield
    finally:
        _rehearsal.reset(token)


def rehearsed_answer(
    argv: Sequence[str], answers: Mapping[str, str], *, errors: str = ""
) -> Completed:
    """How a command ends in a rehearsal: the first of its words that is in ``answers`` tells."""
    answer = next((answers[word] for word in argv if word in answers), "")
    return Completed(tuple(argv), 0, answer, errors)


def is_rehearsed() -> bool:
    """Whether nothing is to happen: for backends that do not go by processes alone."""
    return _rehearsal.get() is not None


@contextlib.contextmanager
def for_real() -> Iterator[None]:
    """Start processes in this block even in a rehearsal: for what asks no engine at all."""
    token = _rehearsal.set(None)
    try:
        yield
    finally:
        _rehearsal.reset(token)


def output(
    *argv: str,
    env: Mapping[str, str] | None = None,
    stdin: Iterable[bytes] | None = None,
    patience: float = 0.0,
) -> str:
    """Standard output of a command, without the final newline.

    ``stdin`` is streamed to the command as it is produced.  When we are interrupted, the command
    has ``patience`` seconds to end by itself before it is told to: for what its engine finishes
    even if nobody waits.  Raises EngineError when the program is missing or its exit code is not 0.
    """
    completed = attempt(*argv, env=env, stdin=stdin, patience=patience)
    return checked(completed).output.rstrip("\n")


def checked(completed: Completed) -> Completed:
    """The same value; raises EngineError when the exit code is not 0."""
    if completed.returncode:
        raise failure(completed.argv, completed.returncode, completed.words)
    return completed


def found(*argv: str) -> Completed | None:
    """Ask the engine for something; None where it answers that there is no such thing.

    Raises EngineError where it does not answer.
    """
    completed = attempt(*argv)
    if completed.returncode and _already_gone(completed.words, argv[-1]):
        return None
    return checked(completed)


def attempt(
    *argv: str,
    env: Mapping[str, str] | None = None,
    stdin: Iterable[bytes] | None = None,
    patience: float = 0.0,
    limit: float | None = None,
) -> Completed:
    """Run a command and say how it ended, whatever its exit code; see :func:`output`.

    Raises EngineError only when the program cannot be started, or does not end within ``limit``
    seconds, and was killed; in clean-up there is always a limit.
    """
    if rehearsal := _rehearsal.get():
        return rehearsal(argv, stdin)
    fed = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
    pipe = subprocess.PIPE
    if limit is None and interruption.is_cleaning():
        limit = _undo_limit()
    leave = functools.partial(_end, patience=patience)
    with _running(argv, env, pipe, pipe, stdin=fed, leave=leave) as process:
        errors = _Collector(_pipe(process.stderr))
        feeder = _Feeder(_pipe(process.stdin), stdin) if stdin is not None else None
        with waiting():
            out, returncode = _output_and_code(process, argv, limit)
            if feeder:
                feeder.join()
            said = errors.result(limit)
        log.debug("exit code %d: %s", returncode, argv[0])
        return Completed(tuple(argv), returncode, _text(out), _text(said))


def _output_and_code(
    process: Running, argv: Sequence[str], limit: float | None
) -> tuple[bytes, int]:
    """What a process says, and its exit code; EngineError where that takes over ``limit``."""
    stream = _pipe(process.stdout)
    if limit is None:
        return stream.read(), process.wait()
    said = bytearray()
    in_time = _deadline(stream.fileno(), limit)
    while in_time():
        if chunk := os.read(stream.fileno(), _CHUNK):
            said += chunk
            continue
        with contextlib.suppress(subprocess.TimeoutExpired):
            return bytes(said), process.wait(limit)
        break
    _overdue.append(argv[0])
    raise EngineError(f"{Path(argv[0]).name} did not end within {limit:g} s", argv=argv)


def attached(
    *argv: str,
    console: Callable[[bytes], None],
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    end: Sequence[str] = (),
    ends_all: bool = False,
    begun: Path | None = None,
    grace: float = GRACE_SECONDS,
) -> Completed:
    """Run a command whose output belongs to the user: all of it goes to ``console``, live.

    Both streams come interleaved as they were written; ``output`` of the result is the end of
    it (TAIL_BYTES).  After ``timeout`` seconds the command ``end`` makes an end of it, if there is
    one, and CommandTimeoutError is raised.  ``ends_all`` is for engines of which nothing else ends
    what the command leaves running: what is in its process group ends with it, and before its time
    what is in other sessions as well.

    When we are interrupted, the command is told to end, and killed ``grace`` seconds later.  Where
    its engine would go on making a container without it, ``begun`` is a file that has something in
    it as soon as there is one: that is waited for first.
    """
    if rehearsal := _rehearsal.get():
        return rehearsal(argv, None)
    tail = bytearray()
    leave = functools.partial(_end, grace=grace, begun=begun)
    with (
        _running(argv, env, subprocess.PIPE, subprocess.STDOUT, leave=leave) as process,
        _ended_in_other_sessions(process) if ends_all else contextlib.nullcontext(),
    ):
        for chunk in _chunks(_pipe(process.stdout).fileno(), timeout):
            if chunk is None:
                if end:
                    _make_an_end(*end)
                raise CommandTimeoutError(
                    f"the command did not end within {timeout:g} s", output=_text(bytes(tail))
                )
            console(chunk)
            tail += chunk
            del tail[:-TAIL_BYTES]
        with waiting():
            if ends_all:
                _end_the_rest(process)
            returncode = process.wait()
    log.debug("exit code %d: %s", returncode, argv[0])
    return Completed(tuple(argv), returncode, _text(bytes(tail)), "")


@contextlib.contextmanager
def _ended_in_other_sessions(process: Running) -> Iterator[None]:
    """End what a process has there, before it is itself ended from without."""
    try:
        yield
    except BaseException:
        _end_other_sessions(process.pid)
        raise


def _end_other_sessions(leader: int) -> None:
    """End what a leader has in other sessions, and let it tidy up as after any end of that."""
    if others := sessions.end_others(leader):
        for pid in (*others, leader):
            outlived(pid, GRACE_SECONDS)


def _end_the_rest(process: Running) -> None:
    """Kill what a process has left in its group, while that is the group's name for certain."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    _signal_group(process, signal.SIGKILL)


def _chunks(descriptor: int, timeout: float | None) -> Iterator[bytes | None]:
    """What comes, until the end; None where that does not come in time."""
    in_time = _deadline(descriptor, timeout)
    while True:
        with waiting():
            chunk = os.read(descriptor, _CHUNK) if in_time() else None
        if chunk == b"":
            return
        yield chunk


def _make_an_end(*argv: str) -> None:
    """Run the command that ends another; where the engine hangs the clean-up tells of it."""
    with contextlib.suppress(EngineError):
        attempt(*argv, limit=_undo_limit())


def _deadline(descriptor: int, timeout: float | None) -> Callable[[], bool]:
    """What waits for something to read, and says whether it came before the time was over."""
    if timeout is None:
        return lambda: True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    end = time.monotonic() + timeout

    def in_time() -> bool:
        left = end - time.monotonic()
        return left > 0 and bool(poll.poll(left * 1000))

    return in_time


@contextlib.contextmanager
def streaming(*argv: str, env: Mapping[str, str] | None = None) -> Iterator[BinaryIO]:
    """Standard output of a command as a stream that is read while the command runs.

    Leaving the block reads what is left, so that the engine can finish; EngineError if it fails.
    """
    if rehearsal := _rehearsal.get():
        yield io.BytesIO(rehearsal(argv, None).output.encode())
        return
    with _running(argv, env, subprocess.PIPE, subprocess.PIPE) as process:
        errors = _Collector(_pipe(process.stderr))
        stream = _pipe(process.stdout)
        with waiting():
            yield stream
            while stream.read(_CHUNK):
                pass
            returncode, said = process.wait(), errors.result()
        if returncode:
            raise failure(argv, returncode, _text(said))


Running = subprocess.Popen[bytes]
"""A process that goes on beside us, see :func:`started`."""


@contextlib.contextmanager
def started(*argv: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Run a command beside us, its output going to the file ``log``; end it with the block."""
    with log.open("wb") as file, _running(argv, env, file.fileno(), subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            _end(process)


def undo(*argv: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command that takes something back; never raises.

    What is gone already is as good as taken back; anything else is a warning to the user, and
    keeps the job in the ledger, so that ``runcommit prune`` tries again.  A command that does not
    end in time counts as failed.
    """
    taken_back(shlex.join(argv), lambda: remove(*argv, env=env))


def taken_back(what: str, take_back: Callable[[], object]) -> None:
    """Call what takes something back, where no command does; an EngineError of it is a warning.

    ``what`` tells the user what there is to remove.  Nothing counts as taken back before the call
    has returned.
    """
    _owed.append(what)
    try:
        with interruption.cleaning():
            take_back()
    except EngineError as error:
        answered = error.returncode is not None
        log.warning(
            "could not clean up: %s", f"{what}\n{error.output.strip()}" if answered else error
        )
    except CutShortError:
        log.warning("not cleaned up: %s", what)
    else:
        _owed.remove(what)


def remove(*argv: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command that takes something away; what is gone already is as good as that.

    The last word is the name of what goes.  Raises EngineError.
    """
    completed = attempt(*argv, env=env)
    if not _already_gone(completed.words, argv[-1]):
        checked(completed)


_owed: list[str] = []
"""What was to be taken back, and is not known to be."""


def owed() -> int:
    """How much of what :func:`undo` and :func:`taken_back` were to take back may still be there."""
    return len(_owed)


_overdue: list[str] = []
"""The programs that did not end in time; what hangs once is not waited for again."""


def _undo_limit() -> float:
    return min(_NO_PATIENCE_SECONDS, UNDO_SECONDS) if _overdue else UNDO_SECONDS


def interactive(*argv: str) -> int:
    """Run a command that the user talks to at the terminal; its exit code.

    It belongs to the terminal's foreground, as we do, so a Ctrl-C there is for it and must not
    end us.  What it says goes where our standard error goes: standard output is for results.
    Raises EngineError when the program cannot be started.
    """
    log.debug("%s", shlex.join(argv))
    with _undisturbed_terminal(), undisturbed():
        try:
            process = subprocess.Popen(argv, stdin=0, stdout=2, stderr=2, env=environment())
        except OSError as error:
            raise EngineError(f"cannot start {argv[0]}: {error.strerror}", argv=argv) from error
        try:
            with waiting():
                return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


@contextlib.contextmanager
def _undisturbed_terminal() -> Iterator[None]:
    """Leave Ctrl-C to somebody else, and the terminal as it was found."""
    import termios

    settings = termios.tcgetattr(0)
    ours = threading.current_thread() is threading.main_thread()
    handlers = {
        number: signal.signal(number, lambda *_: None)  # a process inherits what is ignored
        for number in (signal.SIGINT, signal.SIGQUIT)
        if ours
    }
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, settings)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def failure(argv: Sequence[str], returncode: int, words: str) -> EngineError:
    """The EngineError for an engine's command that ended with ``returncode``."""
    how = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    verb = next((word for word in argv[1:] if not word.startswith("-")), "")
    from runcommit_core.engine.cures import cure_for

    return EngineError(
        f"{Path(argv[0]).name} {verb} failed with {how}".replace("  ", " "),
        argv=argv,
        returncode=returncode,
        output=words,
        tip=cure_for(words),
    )


def command_failure(completed: Completed, *, code: int = 0, reason: str = "") -> CommandError:
    """The CommandError for the user's command, which ended with ``code`` if not like its engine."""
    code = code or completed.returncode
    return CommandError(
        f"the command failed with exit code {code}{reason}",
        command_exit_code=code,
        output=completed.output,
        tip=_EXIT_TIPS.get(code, ""),
    )


def missed(words: str) -> bool:
    """Whether an engine says that something does not exist."""
    return _GONE.search(words) is not None


def _already_gone(words: str, name: str) -> bool:
    """Whether the engine says that there is nothing of this name: it names what it misses."""
    named = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    return any(named.search(line) and missed(line) for line in words.splitlines())


@contextlib.contextmanager
def _running(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    stdout: int,
    stderr: int,
    *,
    stdin: int = subprocess.DEVNULL,
    leave: Callable[[Running], None] | None = None,
) -> Iterator[Running]:
    """A process that runs; what interrupts the block makes ``leave`` end it."""
    with undisturbed():
        process = _popen(argv, env, stdin, stdout, stderr)
        try:
            yield process
        except BaseException:
            (leave or _end)(process)
            raise
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()


def _popen(
    argv: Sequence[str], env: Mapping[str, str] | None, stdin: int, stdout: int, stderr: int
) -> Running:
    interruption.check()
    log.debug("%s", shlex.join(argv))
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env) if env is not None else environment(),
            start_new_session=True,
            bufsize=0 if stdout == subprocess.PIPE and stderr == subprocess.STDOUT else -1,
        )
    except OSError as error:
        raise EngineError(
            f"cannot start {argv[0]}: {error.strerror}",
            argv=argv,
            tip=_START_TIPS.get(error.errno or 0, ""),
        ) from error
    except ValueError as error:
        # NUL characters, or a variable's name that holds "="
        raise UsageError(f"cannot start {argv[0]}: {error}") from error


_withheld: list[str] = []


@contextlib.contextmanager
def withheld(variable: str) -> Iterator[None]:
    """Keep a variable of ours, which holds a secret, out of the engines' environments."""
    _withheld.append(variable)
    try:
        yield
    finally:
        _withheld.remove(variable)


def environment() -> dict[str, str]:
    """Our own environment, as engines inherit it when nobody says what they have."""
    return {name: value for name, value in os.environ.items() if name not in _withheld}


def _end(
    process: Running,
    *,
    patience: float = 0.0,
    grace: float | None = None,
    begun: Path | None = None,
) -> None:
    """End a process and its group: asked first, killed after a grace.

    It may take ``patience`` seconds, or until the file ``begun`` has something in it, before it is
    asked.
    """
    if begun and not interruption.granted(BEGIN_SECONDS, lambda: _has_begun(process, begun)):
        _owed.append(f"what process {process.pid} was about to make")
    elif patience:
        interruption.granted(patience, lambda: _is_over(process))
    if not _is_over(process):
        _signal_group(process, signal.SIGTERM)
        seconds = GRACE_SECONDS if grace is None else grace
        interruption.granted(seconds, lambda: _is_over(process))
    # also what outlives its leader, which would hold our pipes open
    _signal_group(process, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILLED_SECONDS)


def _is_over(process: Running) -> bool:
    return process.poll() is not None


def _has_begun(process: Running, begun: Path) -> bool:
    return _is_over(process) or (begun.exists() and begun.stat().st_size > 0)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def outlived(pid: int, patience: float) -> bool:
    """Whether a process that is no child of ours still runs after that many seconds."""
    end = time.monotonic() + patience
    while runs := _runs(pid):
        if time.monotonic() >= end:
            break
        pause(0.02)
    return runs


def end_session(leader: int) -> None:
    """End what an earlier runcommit started: a session's leader, its group, all below it."""
    _end_other_sessions(leader)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGTERM)
        outlived(leader, _ORPHAN_GRACE_SECONDS)
        os.killpg(leader, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class _Collector:
    """Reads a pipe to its end beside the main thread, so that neither side waits for the other."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._chunks: list[bytes] = []
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            self._chunks.append(stream.read())

    def result(self, timeout: float | None = None) -> bytes:
        self._thread.join(timeout)
        return b"".join(self._chunks)


class _Feeder:
    """Writes chunks into a pipe beside the main thread; what goes wrong there surfaces in join."""

    def __init__(self, pipe: IO[bytes], chunks: Iterable[bytes]) -> None:
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write, args=(pipe, chunks), daemon=True)
        self._thread.start()

    def _write(self, pipe: IO[bytes], chunks: Iterable[bytes]) -> None:
        try:
            with contextlib.suppress(BrokenPipeError), pipe:
                for chunk in chunks:
                    pipe.write(chunk)
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            self._error = error

    def join(self) -> None:
        self._thread.join()
        if self._error:
            raise self._error


def _pipe(stream: IO[bytes] | None) -> BinaryIO:
    return cast("BinaryIO", stream)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
