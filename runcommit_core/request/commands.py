"""From what the user typed to what the container executes; no host shell ever sees it."""

from __future__ import annotations

import re
import shlex
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import CommandError, UsageError
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SHELL = ("/bin/sh", "-c")

_ARGUMENT_LIMIT = 128 * 1024 - 1
"""Linux takes no single argument longer than 32 pages (MAX_ARG_STRLEN)."""

_SHOWN = 200
"""How many characters of a command stand in a message."""

_FAILED = re.compile(r"runcommit: command (\d+) of (\d+) failed with exit code \d+")
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
    """One of: ``commands``, each through the shell; a script; an exec form.

    Raises UsageError for none or several of them, or for what does not fit into an argument.
    """
    given = [name for name, value in _kinds(commands, script, argv) if value]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise UsageError(
            f"expected one kind of command, found {found}",
            tip="give -c TEXT (repeatable), or --script FILE, or -- PROGRAM ARG…",
        )
    if argv:
        return _fitting(Commands(tuple(argv), (shlex.join(argv),)))
    if script:
        return _fitting(_from_script(script, shell))
    each = tuple(Commands((*shell, text), (text,)) for text in commands)
    return _fitting(Commands(_through_shell(commands, shell), tuple(commands), each))


def which_failed(error: CommandError, commands: Commands) -> CommandError:
    """The same error, saying which of several commands it was."""
    found = list(_FAILED.finditer(error.output))
    if len(commands.texts) == 1:
        where = _short(commands.texts[0])
    elif found and int(found[-1][1]) <= len(commands.texts):
        number = int(found[-1][1])
        where = f"command {number} of {len(commands.texts)}: {_short(commands.texts[number - 1])}"
    else:
        return error
    found_out = CommandError(
        f"{error}\n  {where}",
        command_exit_code=error.command_exit_code,
        output=error.output,
        tip=error.tip,
    )
    found_out.step = error.step
    return found_out


def _kinds(
    commands: Sequence[str], script: Path | None, argv: Sequence[str]
) -> list[tuple[str, bool]]:
    return [("-c", bool(commands)), ("--script", script is not None), ("--", bool(argv))]


def _through_shell(commands: Sequence[str], shell: Sequence[str]) -> tuple[str, ...]:
    if len(commands) == 1:
        return (*shell, commands[0])
    # the commands are arguments of the driver and so need no quoting at all; its variables have
    # names that the image's environment has not, for assigning to one of those would change it
    driver = (
        f'_rc_n=0; for _rc_c do _rc_n=$((_rc_n + 1)); {shlex.join(shell)} "$_rc_c" || {{ _rc_s=$?; '
        'echo "runcommit: command $_rc_n of $# failed with exit code $_rc_s" >&2; '
        "exit $_rc_s; }; done"
    )
    return (*shell, driver, "runcommit", *commands)


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
        size = len(word.encode(errors="surrogateescape"))
        if size > _ARGUMENT_LIMIT:
            raise UsageError(
                f"a command of {size} bytes is longer than an argument can be ({_ARGUMENT_LIMIT})",
                tip="split it into several -c, or put it into the base as a file",
            )
        if "\0" in word:
            raise UsageError("a command holds a NUL character, which no argument can")
    return commands


def _short(text: str) -> str:
    first = text.partition("\n")[0][:_SHOWN]
    return first if first == text else f"{first}…"
