"""From what the user typed to what the container executes; no host shell ever sees it."""

from __future__ import annotations

import copy
import re
import shlex
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import CommandError, CommandTimeoutError, UsageError
from runcommit_core.records import record
from runcommit_core.request.shell import in_one_shell, is_posix, one_by_one
from runcommit_core.request.texts import check_text

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SHELL = ("/bin/sh", "-c")

_ARGUMENT_LIMIT = 128 * 1024 - 1
"""Linux takes no single argument longer than 32 pages (MAX_ARG_STRLEN)."""

_SHOWN = 200
"""How many characters of a command stand in a message."""

_INLINE_FLAG = {"perl": "-e", "ruby": "-e", "node": "-e"}
_SHELLS = re.compile(r"(ba|da|a|k|z)?sh|busybox|python[0-9.]*")


@record
class Commands:
    """What to execute: ``argv`` of the container, ``texts`` as the user gave them.

    ``each`` has the commands of a list one by one.
    """

    argv: tuple[str, ...]
    texts: tuple[str, ...]
    each: tuple[Commands, ...] = field(default=(), compare=False)

    @property
    def history(self) -> str:
        """What the image's history says was done."""
        return " && ".join(self.texts)


def resolve_commands(
    commands: Sequence[str] = (),
    *,
    script: Path | None = None,
    argv: Sequence[str] = (),
    shell: Sequence[str] = DEFAULT_SHELL,
) -> Commands:
    """One of: ``commands``, through one shell; a script; an exec form.

    A shell that is not POSIX gets the commands one by one.

    Raises UsageError for none or several of them, or for what does not fit into an argument.
    """
    given = [name for name, value in _kinds(commands, script, argv) if value]
    if len(given) != 1:
        ways = " and ".join(given) if given else "none"
        raise UsageError(
            f"expected one kind of command, found {ways}",
            tip="give -c TEXT (repeatable), or --script FILE, or -- PROGRAM ARG…",
        )
    if argv:
        return _fitting(Commands(tuple(argv), (shlex.join(argv),)))
    if script:
        return _fitting(_from_script(script, shell))
    each = tuple(Commands((*shell, text), (text,)) for text in commands)
    return _fitting(Commands(_through_shell(commands, shell), tuple(commands), each))


def which_failed(
    error: CommandError | CommandTimeoutError, commands: Commands, number: int
) -> CommandError | CommandTimeoutError:
    """The same error, saying that it was the command with this ``number``; 0 if none is known."""
    count = len(commands.texts)
    if count == 1:
        where = _short(commands.texts[0])
    elif 0 < number <= count:
        where = f"command {number} of {count}: {_short(commands.texts[number - 1])}"
    else:
        return error
    located = copy.copy(error)
    located.args = (f"{error}\n  {where}",)
    return located


def left_out(commands: Commands, number: int) -> tuple[str, ...]:
    """A warning where a shell ended well before the last command, by ``exit`` say.

    ``number`` is the command that was heard of last; 0 where that is not known.  It is no error:
    docker's own ``RUN a && exit && b`` succeeds, and some engines lose the end of what is said.
    """
    count = len(commands.texts)
    if not 0 < number < count:
        return ()
    which = f"command {number} of {count} ({_short(commands.texts[number - 1])})"
    return (f"{which} seems to have ended the shell: nothing was heard of those after it",)


def _kinds(
    commands: Sequence[str], script: Path | None, argv: Sequence[str]
) -> list[tuple[str, bool]]:
    return [("-c", bool(commands)), ("--script", script is not None), ("--", bool(argv))]


def _through_shell(commands: Sequence[str], shell: Sequence[str]) -> tuple[str, ...]:
    if len(commands) == 1:
        return (*shell, commands[0])
    together = in_one_shell if is_posix(shell) else one_by_one
    return together(commands, shell)


def _from_script(path: Path, shell: Sequence[str]) -> Commands:
    try:
        text = path.read_bytes().decode(errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"cannot read the script {path}: {error.strerror}") from error
    if not text.startswith("#!"):
        return Commands((*shell, text), (f"script {path.name}",))
    # the kernel gives an interpreter all that follows its name as one argument
    line = text[2:].partition("\n")[0].strip(" \t")
    interpreter = re.split(r"[ \t]+", line, maxsplit=1)
    if not line:
        raise UsageError(f"the script {path} names no interpreter after #!")
    named = _program(interpreter)
    flag = _INLINE_FLAG.get(Path(named).name)
    if flag is None and not _SHELLS.fullmatch(Path(named).name):
        raise UsageError(
            f"the script {path} wants {named!r}, which runcommit cannot hand a program text",
            tip="use a shell, python, perl, ruby or node script, or mount it and call it",
        )
    return Commands((*interpreter, flag or "-c", text), (f"script {path.name}",))


def _program(interpreter: Sequence[str]) -> str:
    if Path(interpreter[0]).name != "env":
        return interpreter[0]
    words = interpreter[-1].removeprefix("-S").split()
    return words[0] if words else interpreter[0]


def _fitting(commands: Commands) -> Commands:
    for word in commands.argv:
        check_text("a command", word)
        size = len(word.encode())
        if size > _ARGUMENT_LIMIT:
            raise UsageError(
                f"a command of {size} bytes is longer than an argument can be ({_ARGUMENT_LIMIT})",
                tip="make a layer of each -c (--split), or mount them as a file and run that",
            )
        if "\0" in word:
            raise UsageError("a command holds a NUL character, which no argument can")
    return commands


def _short(text: str) -> str:
    first = text.partition("\n")[0][:_SHOWN]
    return first if first == text else f"{first}…"
