"""The part of the contract about commands: they arrive as written, are heard, and may fail."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing.bench import processes_with
from runcommit_core.testing.declared import declared
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.ends import COMMAND_FAILED, ENGINE_FAILED, USAGE
from runcommit_core.testing.expectations import (
    each,
    expect,
    expect_content,
    expect_diff_id,
    expect_end,
    expect_equal,
    expect_failed_command,
    expect_no_file,
    expect_said,
    expect_success,
    expect_unsaid,
)

if TYPE_CHECKING:
    from runcommit_core.testing import bases
    from runcommit_core.testing.bench import Bench

_WORDS = Duty(
    "run",
    "give job.argv to the engine word by word, after all options, with no shell of yours between"
    " and the image's entrypoint out of the way",
)
_CODE = Duty(
    "run",
    "raise process.command_failure(completed) when the command's exit code is not 0, and"
    " process.failure(…) only when the engine failed; ask the engine whether the container had"
    " started, the exit code does not tell",
)
_SAID = Duty(
    "run",
    f"{_CODE.change}; nor do words tell that the command may have said itself",
)
_LEFT = Duty(
    "run",
    "end all that the command has started when the command itself ends: a pid namespace does it, or"
    " process.attached(…, ends_all=True)",
)
_KILLED = Duty(
    "run",
    "where a signal N has ended the command raise its failure with code=128 + N, as shells do",
)
_ENGINES = Duty(
    "run",
    "raise process.failure(…), or UsageError, where the command was never begun: only what began"
    " has an exit code of its own",
)
_LONG = 100_000
"""Bytes that are less than what the kernel takes for one word, 128 KiB."""

_WORDS_OF_ENGINES = (
    "docker: Error response from daemon: failed to create shim task: OCI runtime create failed.",
    "Error: OCI runtime error: unable to start container process: permission denied",
    'exec: "/bin/sh": executable file not found in $PATH',
    "error running container: from /usr/bin/runc creating container for [/bin/sh]: no such file",
    "process failed to start with error: no such file or directory",
    "container exited on killed",
    ": exit status 3",
    "Error: exit status 3",
)
"""What a command may say that runs an engine itself."""

_CONSOLE = Duty(
    "run",
    "run the command with process.attached(…, console=job.console), so that all of its output is"
    " handed on as it comes",
)


class CommandContract:
    """How commands arrive and end."""

    def test_text_reaches_the_shell_untouched(self, bench: Bench, base: bases.Base) -> None:
        text = "ä $HOME `id` \"double\" 'single' \\ * \n second line\t!#%"
        quoted = text.replace("'", "'\\''")
        layer = bench.folder / "layer.tar"
        ran = bench.job(base.ref, "-c", f"printf %s '{quoted}' > /out", "-o", layer)
        expect_diff_id(ran, duty=_WORDS)
        expect_content(layer, "out", text.encode(), _WORDS)

    def test_exec_form_takes_each_word_as_it_is(self, bench: Bench, base: bases.Base) -> None:
        words = ["", "$HOME", "a b", "line\nbreak", "-o", "é", "--", "'"]
        program = 'for w do printf "[%s]" "$w"; done > /out'
        layer = bench.folder / "layer.tar"
        ran = bench.job("-o", layer, base.ref, "--", "/bin/sh", "-c", program, "sh", *words)
        expect_diff_id(ran, duty=_WORDS)
        expect_content(layer, "out", "".join(f"[{word}]" for word in words).encode(), _WORDS)

    def test_a_script_runs(self, bench: Bench, base: bases.Base) -> None:
        script, layer = bench.folder / "script", bench.folder / "layer.tar"
        long = f"# {'x' * _LONG}"
        script.write_text(f"#!/bin/sh -e\necho one > /out\n{long}\nfalse || echo two >> /out\n")
        expect_diff_id(bench.job(base.ref, "--script", script, "-o", layer), duty=_WORDS)
        expect_content(layer, "out", b"one\ntwo\n", _WORDS)

    def test_the_first_failure_stops(self, bench: Bench, base: bases.Base) -> None:
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        commands = ("echo first", "echo to-stderr >&2; exit 42", "echo third")
        ran = bench.job(base.ref, *each(commands), "-o", layer, "--image", image)
        expect_failed_command(ran, 42, _CODE)
        expect_said(ran, "command 2 of 3", "first\n", "to-stderr\n", duty=_CONSOLE)
        expect_unsaid(ran, "third\n", duty=_WORDS)
        expect_no_file(layer, image, duty=_CODE)

    def test_commands_have_one_shell(self, bench: Bench, base: bases.Base) -> None:
        commands = ("cd /data; x=1; umask 077", 'echo "$x $#$*" > made; pwd', "umask")
        layer = bench.folder / "layer.tar"
        ran = bench.job(base.ref, *each(commands), "-o", layer)
        expect_diff_id(ran, duty=_WORDS)
        expect_said(ran, "/data\n", "0077\n", duty=_CONSOLE)
        expect_unsaid(ran, "runcommit 1", duty=_CONSOLE)
        expect_content(layer, "data/made", b"1 0\n", _WORDS)

    @pytest.mark.parametrize("code", [1, 2, 125, 126, 127, 255])
    def test_no_exit_code_is_taken_for_the_engines(
        self, bench: Bench, base: bases.Base, code: int
    ) -> None:
        words = "\n".join(_WORDS_OF_ENGINES)
        ran = bench.job(base.ref, "-c", f"cat >&2 <<'end'\n{words}\nend\nexit {code}")
        expect_failed_command(ran, code, _SAID)

    def test_what_a_command_leaves_running_ends(self, bench: Bench, base: bases.Base) -> None:
        mark = secrets.token_hex(8)
        left = f"(trap '' HUP TERM; sleep 5; echo {mark} > /data/late) & echo begun"
        ran = expect_success(bench.job(base.ref, "-c", left), _LEFT)
        expect_equal("what still runs of the command", processes_with(mark), [], _LEFT)
        expect_equal("the layer of what was written after its end", ran.stdout, "", _LEFT)

    def test_a_signal_that_ends_the_command(self, bench: Bench, base: bases.Base) -> None:
        ran = expect_end(bench.job(base.ref, "-c", "kill -9 $$; exit 9"), COMMAND_FAILED, _KILLED)
        # the first process of a pid namespace takes no signal of its own
        told = re.search(r"exit code (\d+)", ran.stderr)
        code = told[1] if told else ""
        expect(
            code in {"137", "9"},
            "exit code 137 of a command that was killed",
            _KILLED,
            seen=f"it is {code}",
        )

    def test_a_program_that_may_not_be_executed(self, bench: Bench, base: bases.Base) -> None:
        expect_failed_command(bench.job(base.ref, "--", "/etc/motd"), 126, _CODE)

    def test_the_engines_failure_is_not_the_commands(self, bench: Bench, base: bases.Base) -> None:
        impossible = {
            "tmpfs": ("--mount", "type=tmpfs,dst=/etc/motd/below"),
            "": ("-u", "nobody-has-it"),
        }
        for capability, words in impossible.items():
            ran = bench.job(base.ref, *words, "-c", "echo it ran")
            if capability in declared(bench):
                continue
            engines = ran.returncode in {USAGE, ENGINE_FAILED}
            if not engines:
                expect_end(ran, ENGINE_FAILED, _ENGINES)
            expect_unsaid(ran, "it ran\n", duty=_ENGINES)

    def test_a_program_that_is_not_there(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--", "/no/such/program")
        expect_failed_command(ran, 127, _CODE)
        expect_said(ran, "/no/such/program", duty=_CODE)

    def test_output_is_live_and_complete(self, bench: Bench, base: bases.Base) -> None:
        # chroot isolation hands on no more once the command has ended
        then = "" if bench.isolated else "; sleep 1"
        command = f"echo out; echo err >&2; seq 20000; printf 'no newline'{then}"
        ran = bench.job(base.ref, "-c", command)
        expect_equal("standard output", ran.stdout, "", _CONSOLE)
        # engines carry the two streams side by side: one may come within a line of the other
        expect_said(ran, "err\n", duty=_CONSOLE)
        lines = ran.stderr.replace("err\n", "", 1).splitlines()
        for seen, line in zip(lines, ["out", *map(str, range(1, 20001))], strict=False):
            expect_equal("the next line of the output", seen, line, _CONSOLE)
        expect_said(ran, "\n20000\nno newline", duty=_CONSOLE)
