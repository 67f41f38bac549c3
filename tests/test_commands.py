"""From what the user typed to what the container executes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from runcommit_core.errors import CommandError, UsageError
from runcommit_core.request.commands import Commands, resolve_commands, which_failed

if TYPE_CHECKING:
    from collections.abc import Mapping
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


def test_several_commands_run_in_order_each_in_its_own_shell():
    done = execute(resolve_commands(["x=1; echo one; cd /", 'echo "two$x"', "pwd -P >/dev/null"]))
    assert (done.stdout, done.stderr, done.returncode) == (b"one\ntwo\n", b"", 0)


@pytest.mark.parametrize("code", [1, 2, 127, 255])
def test_the_first_failure_stops_with_its_code(code: int):
    done = execute(resolve_commands(["echo one", f"exit {code}", "echo three"]))
    assert (done.returncode, done.stdout) == (code, b"one\n")
    assert done.stderr.decode() == (f"runcommit: command 2 of 3 failed with exit code {code}\n")


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
        (b"printf %s '\xff\xfe'", b"\xff\xfe"),
        ("", b""),
    ],
)
def test_scripts_do_what_they_say(tmp_path: Path, text: str | bytes, output: bytes):
    assert execute(from_script(tmp_path, text)).stdout == output


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


def failed(output: str) -> CommandError:
    return CommandError("it failed", command_exit_code=3, output=output, tip="look")


def test_the_failed_command_is_shown():
    commands = resolve_commands(["first", "second\nline", "third"])
    output = "x\nruncommit: command 2 of 3 failed with exit code 3\n"
    error = which_failed(failed(output), commands)
    assert str(error) == "it failed\n  command 2 of 3: second…"
    assert (error.command_exit_code, error.tip, error.output) == (3, "look", output)


def test_the_last_of_such_lines_counts():
    commands = resolve_commands(["first", "second"])
    output = "runcommit: command 2 of 2 failed with exit code 3\n"
    fooled = "runcommit: command 1 of 9 failed with exit code 0\n"
    assert "command 2 of 2: second" in str(which_failed(failed(fooled + output), commands))


@pytest.mark.parametrize("output", ["", "runcommit: command 7 of 9 failed with exit code 3"])
def test_without_a_sensible_line_nothing_is_added(output: str):
    commands = resolve_commands(["first", "second"])
    assert str(which_failed(failed(output), commands)) == "it failed"


def test_a_single_command_needs_no_number():
    assert str(which_failed(failed(""), resolve_commands(["only"]))) == "it failed\n  only"
    long = str(which_failed(failed(""), resolve_commands(["x" * 5000])))
    assert long.endswith("x…")
    assert len(long) < 300
