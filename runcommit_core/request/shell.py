"""Several commands in one shell, as if they had been typed one after the other.

What one leaves in the shell (directory, variables, umask, functions, background jobs) the next one
has, as in a RUN whose commands are joined with ``&&``; unlike there ``set -e`` counts in each of
them.  Which one runs is told by marks in what the shell says, which :class:`Followed` takes out.
"""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from runcommit_core.errors import CommandError, CommandTimeoutError, EngineError
from runcommit_core.interface.progress import CommandStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runcommit_core.interface.progress import Progress

_POSIX = re.compile(r"(ba|da|a|k|mk|lk|pdk|ya|po|z)?sh[0-9]*|ksh93")
_MANY = ("busybox", "toybox", "env")
"""Programs whose next word says what they are."""

_MARK = re.compile(rb"\x16runcommit (\d+)/\d+\x16")
_OPENING = b"\x16runcommit "
_BEGUN = re.compile(_OPENING + rb"[0-9/]*")
_LAST_BACKSLASH = "\\"
"""What makes a backslash at the end one of the text, as it is at the end of a shell's argument."""

_SAY = r"\command printf '\026runcommit %s/%s\026' {} {}"


def is_posix(shell: Sequence[str]) -> bool:
    """Whether the words call a shell of the Bourne family with a text for it."""
    words = [PurePosixPath(word).name for word in shell]
    while words and words[0] in _MANY:
        del words[0]
    return bool(words and _POSIX.fullmatch(words[0]) and re.fullmatch(r"-\w*c", words[-1]))


def in_one_shell(commands: Sequence[str], shell: Sequence[str]) -> tuple[str, ...]:
    """The words that run all commands in one shell, up to the first that fails.

    The commands see nothing of it: no argument, variable or trap, and the descriptor for the marks
    is closed while they run.
    """
    descriptor = _unused_descriptor(commands)
    lines = [f"exec {descriptor}>&2"]
    for number, text in enumerate(commands, 1):
        mark = _SAY.format(number, len(commands))
        # a text that begins with a hyphen is no option
        quoted = shlex.quote(f" {text}{_LAST_BACKSLASH if _is_escaping(text) else ''}")
        lines.append(f"{mark} >&{descriptor}; \\eval {quoted} {descriptor}>&-")
        lines.append(r"case $? in 0) ;; *) \exit ;; esac")
    return (*shell, "\n".join(lines))


def one_by_one(commands: Sequence[str], shell: Sequence[str]) -> tuple[str, ...]:
    """The words that give each command to a shell of its own, which need not be POSIX's.

    The variables of the loop have names that the image's environment has not, for assigning to one
    of those would change it.
    """
    mark = _SAY.format("$_rc_n", "$#")
    loop = (
        f'for _rc_c do _rc_n=$((_rc_n + 1)); {mark} >&2; {shlex.join(shell)} "$_rc_c" || exit; done'
    )
    return ("/bin/sh", "-c", f"_rc_n=0; {loop}", "runcommit", *commands)


def _is_escaping(text: str) -> bool:
    """Whether the text ends with a backslash that nothing stands before."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _unused_descriptor(commands: Sequence[str]) -> int:
    """One that no command names, for to close it would close theirs; the highest."""
    used = set(re.findall(r"[3-9]", "".join(commands)))
    return next((number for number in range(9, 2, -1) if str(number) not in used), 9)


class Followed:
    """Takes the place of a console: passes on what is no mark; ``number`` is the command that runs.

    What could be the beginning of a mark waits for the next chunk, or for :meth:`flush`.
    """

    def __init__(self, console: Callable[[bytes], None], progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._waiting = b""
        self.number = 0

    def __call__(self, chunk: bytes) -> None:
        """Take a chunk of output."""
        data = self._waiting + chunk
        place = 0
        for mark in _MARK.finditer(data):
            self._show(data[place : mark.start()])
            self.number = int(mark[1])
            self._progress(CommandStarted(self.number))
            place = mark.end()
        end = _unfinished(data, place)
        self._show(data[place:end])
        self._waiting = data[end:]

    def flush(self) -> None:
        """Show what waits; to be called when the output has ended."""
        self._show(self._waiting)
        self._waiting = b""

    def _show(self, output: bytes) -> None:
        if output:
            self._console(output)


def _unfinished(data: bytes, place: int) -> int:
    """Where the last thing from ``place`` on begins that more bytes could make a mark."""
    start = data.rfind(_OPENING[:1], place)
    rest = data[start:]
    if start >= 0 and (_OPENING.startswith(rest) or _BEGUN.fullmatch(rest)):
        return start
    return len(data)


def unmark(error: BaseException) -> None:
    """Take the marks out of what an error says, and out of the output that it holds."""
    error.args = tuple(_unmarked(item) if isinstance(item, str) else item for item in error.args)
    if isinstance(error, (CommandError, CommandTimeoutError, EngineError)):
        error.output = _unmarked(error.output)


def _unmarked(text: str) -> str:
    raw = text.encode(errors="surrogateescape")
    return _MARK.sub(b"", raw).decode(errors="surrogateescape")
