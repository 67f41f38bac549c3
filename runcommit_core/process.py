"""The only module that starts processes.

Engines are started from an argument list, never through a shell, without a standard input of the
user's, and as leaders of a session of their own: a Ctrl-C at the terminal reaches runcommit alone,
which then decides in which order things end.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shlex
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from runcommit_core.errors import CommandError, EngineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

log = logging.getLogger("runcommit")

TAIL_BYTES = 16 * 1024
"""How much of an attached command's output is kept for messages."""

GRACE_SECONDS = 10.0
"""How long an interrupted engine command may take to end before it is killed."""

_CHUNK = 64 * 1024

_INSTALL = "install the engine, or name its program with --engine-path"
_START_TIPS = {
    errno.ENOENT: _INSTALL,
    errno.EACCES: _INSTALL,
    errno.E2BIG: "words and variables together are more than the kernel takes: give fewer",
}

_GONE = re.compile(r"no such (?!file or directory)|not known|not found", re.IGNORECASE)
"""How engines say that something does not exist; a missing file is their socket or program."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a process ended: ``output`` is its standard output, ``errors`` its standard error."""

    argv: tuple[str, ...]
    returncode: int
    output: str
    errors: str

    @property
    def words(self) -> str:
        return self.errors if self.errors.strip() else self.output


def output(
    *argv: str, env: Mapping[str, str] | None = None, stdin: Iterable[bytes] | None = None
) -> str:
    """Standard output of a command, without the final newline.

    ``stdin`` is streamed to the command as it is produced.  Raises EngineError when the program
    is missing or its exit code is not 0.
    """
    return checked(attempt(*argv, env=env, stdin=stdin)).output.rstrip("\n")


def checked(completed: Completed) -> Completed:
    """The same value; raises EngineError when the exit code is not 0."""
    if completed.returncode:
        raise failure(completed.argv, completed.returncode, completed.words)
    return completed


def attempt(
    *argv: str, env: Mapping[str, str] | None = None, stdin: Iterable[bytes] | None = None
) -> Completed:
    """Run a command and say how it ended, whatever its exit code.

    Raises EngineError only when the program cannot be started.
    """
    fed = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
    with _running(argv, env, subprocess.PIPE, subprocess.PIPE, stdin=fed) as process:
        errors = _Collector(_pipe(process.stderr))
        feeder = _Feeder(_pipe(process.stdin), stdin) if stdin is not None else None
        out = _pipe(process.stdout).read()
        returncode = process.wait()
        if feeder:
            feeder.join()
        log.debug("exit code %d: %s", returncode, argv[0])
        return Completed(tuple(argv), returncode, _text(out), _text(errors.result()))


def attached(
    *argv: str,
    console: Callable[[bytes], None],
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a command whose output belongs to the user: all of it goes to ``console``, live.

    Both streams come interleaved as they were written; ``output`` of the result is the end of
    it (TAIL_BYTES).
    """
    tail = bytearray()
    with _running(argv, env, subprocess.PIPE, subprocess.STDOUT) as process:
        descriptor = _pipe(process.stdout).fileno()
        while chunk := os.read(descriptor, _CHUNK):
            console(chunk)
            tail += chunk
            del tail[:-TAIL_BYTES]
        returncode = process.wait()
    log.debug("exit code %d: %s", returncode, argv[0])
    return Completed(tuple(argv), returncode, _text(bytes(tail)), "")


@contextlib.contextmanager
def streaming(*argv: str, env: Mapping[str, str] | None = None) -> Iterator[BinaryIO]:
    """Standard output of a command as a stream that is read while the command runs.

    Leaving the block reads what is left, so that the engine can finish; EngineError if it fails.
    """
    with _running(argv, env, subprocess.PIPE, subprocess.PIPE) as process:
        errors = _Collector(_pipe(process.stderr))
        stream = _pipe(process.stdout)
        yield stream
        while stream.read(_CHUNK):
            pass
        if returncode := process.wait():
            raise failure(argv, returncode, _text(errors.result()))


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

    What is gone already is as good as taken back; anything else is a warning to the user, who
    has to remove it.
    """
    try:
        completed = attempt(*argv, env=env)
    except EngineError as error:
        log.warning("could not clean up: %s", error)
        return
    if completed.returncode and not _already_gone(completed.words):
        log.warning("could not clean up: %s\n%s", shlex.join(argv), completed.words.strip())


def failure(argv: Sequence[str], returncode: int, words: str) -> EngineError:
    """The EngineError for an engine's command that ended with ``returncode``."""
    how = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    verb = next((word for word in argv[1:] if not word.startswith("-")), "")
    return EngineError(
        f"{Path(argv[0]).name} {verb} failed with {how}".replace("  ", " "),
        argv=argv,
        returncode=returncode,
        output=words,
    )


def command_failure(completed: Completed, *, code: int = 0, reason: str = "") -> CommandError:
    """The CommandError for the user's command, which ended with ``code`` if not like its engine."""
    code = code or completed.returncode
    return CommandError(
        f"the command failed with exit code {code}{reason}",
        command_exit_code=code,
        output=completed.output,
    )


def _already_gone(words: str) -> bool:
    return _GONE.search(words) is not None


@contextlib.contextmanager
def _running(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    stdout: int,
    stderr: int,
    *,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[Running]:
    log.debug("%s", shlex.join(argv))
    try:
        process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env) if env is not None else None,
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
    try:
        yield process
    except BaseException:
        _end(process)
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _end(process: Running) -> None:
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    # also what outlives its leader, which would hold our pipes open
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class _Collector:
    """Reads a pipe to its end beside the main thread, so that neither side waits for the other."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._chunks: list[bytes] = []
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            self._chunks.append(stream.read())

    def result(self) -> bytes:
        self._thread.join()
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
