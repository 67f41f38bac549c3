"""From what the user typed to what the container executes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runcommit_core.errors import CommandError, CommandTimeoutError, EngineError, UsageError
from runcommit_core.interface.progress import CommandStarted, Event, ignore
from runcommit_core.request.commands import (
    Commands,
    left_out,
    resolve_commands,
    which_failed,
)
from runcommit_core.request.shell import Followed, is_posix, unmark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def execute(
    commands: Commands, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """As a container would, on this machine."""
    return subprocess.run(commands.argv, capture_output=True, check=False, env=env)


# --- one kind


def test_none():
    with pytest.raises(UsageError, match="found none") as caught:
        resolve_commands()
    assert "-c" in caught.value.tip


def test_several_kinds(tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("true")
    with pytest.raises(UsageError, match=r"found -c and --$"):
        resolve_commands(["true"], argv=["true"])
    with pytest.raises(UsageError, match=r"found -c and --script$"):
        resolve_commands(["true"], script=script)
    with pytest.raises(UsageError, match=r"found -c and --script and --$"):
        resolve_commands(["true"], script=script, argv=["true"])


# --- -c


def test_one_command_is_one_argument_of_the_shell():
    text = "echo \"$HOME\" 'x' `id`\n\\ é"
    found = resolve_commands([text])
    assert found == Commands(("/bin/sh", "-c", text), (text,))
    assert found.history == text


def test_another_shell():
    found = resolve_commands(["[[ a < b ]]"], shell=["/bin/bash", "-eu", "-c"])
    assert found.argv == ("/bin/bash", "-eu", "-c", "[[ a < b ]]")


@pytest.mark.parametrize(
    "text",
    ["", " ", "#", "a 'b", 'a "b', "$x", "a\nb", "é€𝄞", "\\", "`", "!", "%s", "-n", "\t*"],
)
def test_several_commands_need_no_quoting(text: str):
    quoted = "'" + text.replace("'", "'\\''") + "'"
    done = execute(resolve_commands([f"printf '%s|' {quoted}", f"printf '%s' {quoted}"]))
    assert done.returncode == 0
    assert done.stdout.decode() == f"{text}|{text}"


SHELLS = [("/bin/sh", "-c"), ("bash", "-c"), ("/usr/bin/env", "bash", "-eu", "-c")]


def heard(commands: Commands, env: Mapping[str, str] | None = None) -> tuple[int, str, int]:
    """Exit code, output without marks, and the number of the command that ran last."""
    output = bytearray()
    followed = Followed(output.extend, ignore)
    done = execute(commands, env)
    followed(done.stderr)
    followed.flush()
    return done.returncode, (done.stdout + bytes(output)).decode(), followed.number


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize(
    ("first", "second", "output"),
    [
        ("cd /usr", "pwd", "/usr\n"),
        ("x=1; export y=2", 'echo $x; env | grep "^y="', "1\ny=2\n"),
        ("umask 027", "umask", "0027\n"),
        ("greet() { echo hello $1; }", "greet you", "hello you\n"),
        ("sleep 60 & pid=$!", "kill -0 $pid && echo runs; kill $pid", "runs\n"),
        ("trap 'echo at last' EXIT", "echo one", "one\nat last\n"),
        ("set -f", "echo /*", "/*\n"),
        ("exec 2>&1 >/dev/null", "echo lost; echo kept >&2", "kept\n"),
        ("exec 9>/dev/null", "echo lost >&9; echo kept", "kept\n"),
        ("IFS=0123456789", "v=a1b; echo $v", "a b\n"),
        ("cat <<-E\n\tone\n\tE", "cat <<E\ntwo\nE", "one\ntwo\n"),
        ("true # a comment \\", "echo one \\", "one \\\n"),
        ("alias exit=true eval=true command=true", "echo one", "one\n"),
        ("printf() { false; }", "echo one", "one\n"),
    ],
)  # fmt: skip
def test_commands_share_a_shell(first: str, second: str, output: str, shell: Sequence[str]) -> None:
    assert heard(resolve_commands([first, second], shell=shell)) == (0, output, 2)


@pytest.mark.parametrize("shell", SHELLS[:2], ids=" ".join)
@pytest.mark.parametrize("look", ['echo "$#$*"', "trap", "ls /proc/self/fd", "set", "alias"])
def test_commands_see_nothing_of_those_around(look: str, shell: Sequence[str]) -> None:
    env = {"PATH": "/usr/bin:/bin"}
    alone = execute(resolve_commands([look], shell=shell), env).stdout.splitlines()
    among = execute(resolve_commands([":", look, ":"], shell=shell), env).stdout.splitlines()
    varying = (
        b"PPID=",
        b"_=",
        b"BASH_EXECUTION_STRING=",
        b"BASH_ARG",
        b"RANDOM",
        b"LINENO",
        b"PIPESTATUS",
    )
    assert [line for line in among if not line.startswith(varying)] == [
        line for line in alone if not line.startswith(varying)
    ]


@pytest.mark.parametrize("shell", SHELLS[:2], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "codes"),
    [
        *((f"exit {code}", {code}) for code in (1, 2, 127, 255)),
        ("false", {1}),
        ("(exit 7)", {7}),
        ("set -e; false; echo not reached", {1}),
        ("if", {1, 2, 3}),
        ("set -u; echo $nothing", {1, 2, 127}),
        ("kill -9 $$", {-9}),
    ],
)
def test_the_first_failure_stops_with_its_code(
    text: str, codes: set[int], shell: Sequence[str]
) -> None:
    code, output, number = heard(resolve_commands(["echo one", text, "echo three"], shell=shell))
    assert code in codes
    assert (output.partition("\n")[0], "three" in output, number) == ("one", False, 2)


@pytest.mark.parametrize("text", ["exit", "exec true", "trap 'exit 0' EXIT; exit 3"])
def test_what_ends_the_shell_well_leaves_commands_out(text: str) -> None:
    commands = resolve_commands(["true", text, "echo three"])
    assert heard(commands) == (0, "", 2)
    [warning] = left_out(commands, 2)
    assert warning.startswith("command 2 of 3 (")
    assert not left_out(commands, 3)
    assert not left_out(commands, 0)


@pytest.mark.parametrize("shell", [("python3", "-c"), ("/usr/bin/fish", "-c"), ("/bin/sh", "-s")])
def test_another_shell_gets_commands_one_by_one(shell: Sequence[str]) -> None:
    assert not is_posix(shell)
    assert resolve_commands(["one", "two"], shell=shell).argv[-2:] == ("one", "two")


def test_commands_of_python() -> None:
    python = (sys.executable, "-c")
    commands = resolve_commands(["x = 1; print(x)", "print('x' in globals())"], shell=python)
    assert heard(commands) == (0, "1\nFalse\n", 2)
    failed = resolve_commands(["pass", "raise SystemExit(3)", "print(3)"], shell=python)
    assert heard(failed) == (3, "", 2)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_marks_leave_the_output_however_it_comes(size: int) -> None:
    mark = b"\x16runcommit %d/3\x16"
    said = b"a\x16" + mark % 1 + b"b" + mark % 2 + mark % 3 + b"\x16runcommit 1/\x16 c\x16run"
    shown, told = bytearray(), list[Event]()
    followed = Followed(shown.extend, told.append)
    for start in range(0, len(said), size):
        followed(said[start : start + size])
    followed.flush()
    assert bytes(shown) == b"a\x16b\x16runcommit 1/\x16 c\x16run"
    assert told == [CommandStarted(1), CommandStarted(2), CommandStarted(3)]


def test_failures_within_a_command_are_the_shells_business():
    done = execute(resolve_commands(["false; echo one", "false || echo two"]))
    assert (done.returncode, done.stdout) == (0, b"one\ntwo\n")


@pytest.mark.parametrize("name", ["n", "c", "s", "i", "shell", "x"])
def test_the_environment_reaches_every_command_unchanged(name: str):
    env = {name: "of the image", "PATH": "/usr/bin:/bin"}
    done = execute(resolve_commands([f'echo "${name}"'] * 2), env)
    assert done.stdout == b"of the image\n" * 2


def test_a_shell_with_words_that_need_quoting(tmp_path: Path):
    shell = tmp_path / "my shell"
    shell.write_text('#!/bin/sh\nshift\nexec /bin/sh -c "$@"\n')
    shell.chmod(0o755)
    found = resolve_commands(["echo one", "echo two"], shell=[str(shell), "-c"])
    assert execute(found).stdout == b"one\ntwo\n"


def test_history_of_several():
    assert resolve_commands(["a b", "c"]).history == "a b && c"


# --- exec form


def test_exec_form_is_taken_as_it_is():
    words = ("/bin/prog", "", "a b", "$x", "-c", "--", "\n")
    found = resolve_commands(argv=words)
    assert found.argv == words
    assert found.history == "/bin/prog '' 'a b' '$x' -c -- '\n'"


# --- scripts


def from_script(folder: Path, text: str | bytes) -> Commands:
    path = folder / "script"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return resolve_commands(script=path)


def test_a_script_without_interpreter_goes_to_the_shell(tmp_path: Path):
    found = from_script(tmp_path, "echo one\necho two\n")
    assert found.argv == ("/bin/sh", "-c", "echo one\necho two\n")
    assert found.history == "script script"


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("#!/bin/sh", ("/bin/sh", "-c")),
        ("#! /bin/sh ", ("/bin/sh", "-c")),
        ("#!\t/bin/bash -eu", ("/bin/bash", "-eu", "-c")),
        ("#!/bin/sh -e -u", ("/bin/sh", "-e -u", "-c")),
        ("#!/bin/busybox sh", ("/bin/busybox", "sh", "-c")),
        ("#!/usr/bin/env bash", ("/usr/bin/env", "bash", "-c")),
        ("#!/usr/bin/env -S bash -eu", ("/usr/bin/env", "-S bash -eu", "-c")),
        ("#!/usr/bin/env -Spython3 -u", ("/usr/bin/env", "-Spython3 -u", "-c")),
        ("#!/usr/bin/python3.11", ("/usr/bin/python3.11", "-c")),
        ("#!/usr/bin/env python", ("/usr/bin/env", "python", "-c")),
        ("#!/usr/bin/perl -w", ("/usr/bin/perl", "-w", "-e")),
        ("#!/usr/bin/env ruby", ("/usr/bin/env", "ruby", "-e")),
        ("#!/usr/bin/env node", ("/usr/bin/env", "node", "-e")),
    ],
)
def test_the_interpreter_as_the_kernel_reads_it(tmp_path: Path, line: str, argv: tuple[str, ...]):
    text = f"{line}\nbody\n"
    assert from_script(tmp_path, text).argv == (*argv, text)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("#!/bin/sh -e\necho one\nfalse\necho two\n", b"one\n"),
        ("#!/usr/bin/env -S sh -e\necho one\nfalse\necho two\n", b"one\n"),
        ("#!/usr/bin/env sh\nprintf %s 'last line without end'", b"last line without end"),
        ("#!/usr/bin/perl -l\nprint 'one';", b"one\n"),
        ("printf %s 'carriage\rreturn\r\n'", b"carriage\rreturn\r\n"),
        ("", b""),
    ],
)
def test_scripts_do_what_they_say(tmp_path: Path, text: str | bytes, output: bytes):
    assert execute(from_script(tmp_path, text)).stdout == output


def test_bytes_that_are_no_text_are_refused(tmp_path: Path):
    """Engines carry commands as JSON and would replace them, after which another command runs."""
    odd = b"printf '\xff'".decode(errors="surrogateescape")
    with pytest.raises(UsageError, match="a command holds bytes that are not UTF-8"):
        resolve_commands([odd])
    with pytest.raises(UsageError, match="a command holds bytes that are not UTF-8"):
        resolve_commands(argv=["printf", odd])
    with pytest.raises(UsageError, match="not UTF-8"):
        from_script(tmp_path, b"#!/bin/sh\nprintf '\xff'\n")


@pytest.mark.parametrize(
    "line",
    [
        "#!/usr/bin/awk -f",
        "#!/bin/cat",
        "#!/usr/bin/env fish",
        "#!/usr/bin/env",
        "#!/usr/bin/env -S",
        "#!/bin/rash",
        "#!/bin/sh\r",
    ],
)
def test_interpreters_that_take_no_text(tmp_path: Path, line: str):
    with pytest.raises(UsageError, match="cannot hand a program text") as caught:
        from_script(tmp_path, f"{line}\nbody\n")
    assert "mount it" in caught.value.tip
    assert "\r" not in str(caught.value)


@pytest.mark.parametrize("line", ["#!", "#!  \t", "#!\n/bin/sh"])
def test_a_script_that_names_no_interpreter(tmp_path: Path, line: str):
    with pytest.raises(UsageError, match="names no interpreter"):
        from_script(tmp_path, f"{line}\nbody\n")


def test_scripts_that_cannot_be_read(tmp_path: Path):
    for path, why in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(UsageError, match=why) as caught:
            resolve_commands(script=path)
        assert str(path) in str(caught.value)


# --- what fits into an argument

LIMIT = 131071


def test_the_longest_argument(tmp_path: Path):
    text = "true;" + " " * (LIMIT - 5)
    assert execute(resolve_commands([text])).returncode == 0
    with pytest.raises(UsageError, match=f"{LIMIT + 1} bytes"):
        resolve_commands([text + " "])
    with pytest.raises(UsageError, match=f"{LIMIT + 1} bytes"):
        from_script(tmp_path, text + " ")


def test_the_length_counts_bytes():
    with pytest.raises(UsageError, match=str(2 * LIMIT)):
        resolve_commands(argv=["echo", "é" * LIMIT])


def test_nul_is_refused_wherever_it_stands(tmp_path: Path):
    with pytest.raises(UsageError, match="NUL"):
        resolve_commands(["echo \0"])
    with pytest.raises(UsageError, match="NUL"):
        resolve_commands(["true", "\0"])
    with pytest.raises(UsageError, match="NUL"):
        resolve_commands(argv=["echo", "\0"])
    with pytest.raises(UsageError, match="NUL"):
        from_script(tmp_path, "echo\0")


# --- which one failed


def failed(output: str = "") -> CommandError:
    return CommandError("it failed", command_exit_code=3, output=output, tip="look")


def test_the_failed_command_is_shown() -> None:
    commands = resolve_commands(["first", "second\nline", "third"])
    error = which_failed(failed("x"), commands, 2)
    assert str(error) == "it failed\n  command 2 of 3: second…"
    assert isinstance(error, CommandError)
    assert (error.command_exit_code, error.tip, error.output) == (3, "look", "x")


def test_so_is_the_one_that_took_too_long() -> None:
    late = CommandTimeoutError("it did not end", output="x")
    error = which_failed(late, resolve_commands(["first", "second"]), 1)
    assert isinstance(error, CommandTimeoutError)
    assert str(error) == "it did not end\n  command 1 of 2: first"


@pytest.mark.parametrize("number", [0, 7])
def test_without_a_sensible_number_nothing_is_added(number: int) -> None:
    commands = resolve_commands(["first", "second"])
    assert str(which_failed(failed(), commands, number)) == "it failed"


def test_errors_have_no_marks() -> None:
    mark = "\x16runcommit 1/2\x16"
    error = EngineError("no", output=f"{mark}one\n{mark}two")
    unmark(error)
    assert (error.output, str(error)) == ("one\ntwo", "no\n  | one\n  | two")


def test_a_single_command_needs_no_number():
    assert str(which_failed(failed(), resolve_commands(["only"]), 0)) == "it failed\n  only"
    long = str(which_failed(failed(), resolve_commands(["x" * 5000]), 0))
    assert long.endswith("x…")
    assert len(long) < 300
