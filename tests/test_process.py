"""Starting programs: what comes back, what never hangs, what is ended."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from runcommit_core import process
from runcommit_core.errors import EngineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = "/no/such/program"
BIG = 8 << 20


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *arguments)


def shell(program: str, *arguments: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", program, "sh", *arguments)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody waits for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until_gone(pid: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while alive(pid):
        assert time.monotonic() < end, f"process {pid} was not ended"
        time.sleep(0.01)


def wait_for_pid(path: Path, seconds: float = 20) -> int:
    end = time.monotonic() + seconds
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < end, f"{path.name} was not written"
        time.sleep(0.01)
    return int(path.read_text())


# --- output, attempt


def test_output_is_without_the_final_newline():
    assert process.output("/bin/echo", "one\ntwo") == "one\ntwo"


def test_words_are_passed_as_they_are():
    words = ("", "a b", "$HOME", "'", '"', "*", "-x", "é\n")
    program = "import sys; print(sys.argv[1:])"
    assert process.output(*python(program, *words)) == str(list(words))


def test_the_environment_is_exactly_the_given_one():
    assert process.output("/usr/bin/env", env={"A": "b c"}) == "A=b c"


def test_the_environment_is_ours_by_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNCOMMIT_TEST", "here")
    assert process.output(*shell('echo "$RUNCOMMIT_TEST"')) == "here"


@pytest.mark.parametrize("call", [process.output, process.attempt])
def test_a_missing_program(call):
    with pytest.raises(EngineError, match="cannot start /no/such/program: No such file") as caught:
        call(MISSING, "run", "a b")
    assert "command: /no/such/program run 'a b'" in str(caught.value)
    assert "--engine-path" in caught.value.tip
    assert caught.value.argv == (MISSING, "run", "a b")


def test_a_program_that_may_not_run(tmp_path: Path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(EngineError, match="Permission denied"):
        process.attempt(str(program))


def test_more_than_the_kernel_takes():
    with pytest.raises(EngineError, match="Argument list too long") as caught:
        process.attempt("/bin/true", *["x" * 100_000] * 60)
    assert "give fewer" in caught.value.tip


@pytest.mark.parametrize(("word", "env"), [("\0", {}), ("x", {"A": "\0"}), ("x", {"A=B": "c"})])
def test_what_no_process_can_be_given(word: str, env: dict[str, str]):
    with pytest.raises(UsageError, match="cannot start /bin/true"):
        process.attempt("/bin/true", word, env=env)


def test_a_missing_program_behind_the_other_calls(tmp_path: Path):
    with pytest.raises(EngineError, match="cannot start"):
        process.attached(MISSING, console=lambda _: None)
    with pytest.raises(EngineError, match="cannot start"), process.streaming(MISSING):
        pass
    with (
        pytest.raises(EngineError, match="cannot start"),
        process.started(MISSING, log=tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize("code", [1, 2, 125, 255])
def test_an_exit_code_is_an_error_for_output_alone(code: int):
    argv = shell(f"echo out; echo err >&2; exit {code}")
    done = process.attempt(*argv)
    assert (done.returncode, done.output, done.errors) == (code, "out\n", "err\n")
    with pytest.raises(EngineError, match=f"exit code {code}") as caught:
        process.output(*argv)
    assert caught.value.returncode == code
    assert "  | err" in str(caught.value)


def test_the_last_words_are_stdout_where_stderr_is_silent():
    with pytest.raises(EngineError, match=r"\| only here"):
        process.output(*shell("echo only here; exit 3"))


def test_a_signal_is_named():
    with pytest.raises(EngineError, match="signal 9"):
        process.output(*shell("kill -9 $$"))


def test_failure_names_the_program_and_its_verb():
    error = process.failure(("/usr/bin/docker", "--log-level=x", "pull", "img"), 1, "denied\n")
    assert str(error).splitlines()[0] == "docker pull failed with exit code 1"
    assert str(process.failure(("docker",), 1, "")).startswith("docker failed with exit code 1")


def test_both_streams_are_complete_however_much_there_is():
    program = (
        "import sys\n"
        f"for _ in range({BIG} // 65536):\n"
        "    sys.stderr.buffer.write(b'e' * 65536); sys.stdout.buffer.write(b'o' * 65536)"
    )
    done = process.attempt(*python(program))
    assert (done.output, done.errors) == ("o" * BIG, "e" * BIG)


def test_bytes_that_are_no_text_do_not_raise():
    assert process.attempt(*shell(r"printf '\377\n'")).output == "�\n"


def test_we_have_no_standard_input_to_give():
    read = "import sys; print(repr(sys.stdin.read()))"
    assert process.output(*python(read)) == "''"
    said: list[bytes] = []
    process.attached(*python(read), console=said.append)
    assert b"".join(said) == b"''\n"
    with process.streaming(*python(read)) as stream:
        assert stream.read() == b"''\n"


def test_programs_lead_a_session_of_their_own():
    program = "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))"
    assert process.output(*python(program)) == "True"


def test_no_descriptor_of_ours_is_inherited(tmp_path: Path):
    with (tmp_path / "file").open("wb"):
        assert "file" not in process.output(*shell("ls -l /proc/$$/fd"))


# --- standard input from a producer


def test_big_input_and_output_at_once():
    chunk = bytes(range(256)) * 256
    program = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    done = process.attempt(*python(program), stdin=(chunk for _ in range(BIG // len(chunk))))
    assert len(done.output) == len((chunk * (BIG // len(chunk))).decode(errors="replace"))


def test_input_is_streamed_as_it_is_produced():
    produced: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(1000):
            produced.append(number)
            yield bytes(65536)

    assert process.output(*shell("head -c 10 | wc -c; exec 0<&-"), stdin=chunks()) == "10"
    assert len(produced) < 1000


def test_a_program_that_reads_nothing_is_no_error():
    assert process.output("/bin/echo", "done", stdin=iter([bytes(BIG)])) == "done"


def test_empty_input_ends_at_once():
    assert process.output(*shell("wc -c"), stdin=iter(())) == "0"


def test_what_the_producer_raises_surfaces():
    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        process.output("/bin/cat", stdin=chunks())


def test_what_the_producer_raises_precedes_the_engines_complaint():
    def chunks() -> Iterator[bytes]:
        raise LookupError("the cause")
        yield b""

    with pytest.raises(LookupError, match="the cause"):
        process.output(*shell("cat; echo unexpected end >&2; exit 1"), stdin=chunks())


# --- attached


def test_attached_passes_all_in_order_and_keeps_the_end():
    said: list[bytes] = []
    program = "i=0; while [ $i -lt 2000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"
    done = process.attached(*shell(program + "; printf end; exit 3"), console=said.append)
    expected = "".join(f"out {i}\nerr {i}\n" for i in range(2000)) + "end"
    assert b"".join(said).decode() == expected
    assert done.returncode == 3
    assert done.output == expected[-process.TAIL_BYTES :]
    assert len(expected) > process.TAIL_BYTES


def test_attached_is_live(tmp_path: Path):
    gate = tmp_path / "gate"
    said: list[bytes] = []

    def console(chunk: bytes) -> None:
        said.append(chunk)
        gate.touch()

    # the program goes on only when its first word, which has no line end, has arrived
    program = "printf first; while [ ! -e $1 ]; do sleep 0.01; done; echo second"
    process.attached(*shell(program, str(gate)), console=console)
    assert said[0] == b"first"
    assert b"".join(said) == b"firstsecond\n"


# --- streaming


def test_streaming_reads_while_it_runs(tmp_path: Path):
    gate = tmp_path / "gate"
    program = "echo first; while [ ! -e $1 ]; do sleep 0.01; done; echo second"
    with process.streaming(*shell(program, str(gate))) as stream:
        assert stream.readline() == b"first\n"
        gate.touch()
        assert stream.read() == b"second\n"


def test_streaming_reads_what_is_left(tmp_path: Path):
    marker = tmp_path / "marker"
    with process.streaming(*shell(f"head -c {BIG} /dev/zero && touch $1", str(marker))) as stream:
        assert stream.read(10) == bytes(10)
    assert marker.exists()


def test_streaming_raises_the_engines_failure():
    argv = shell("echo data; echo broken >&2; exit 4")
    with (
        pytest.raises(EngineError, match=r"exit code 4") as caught,
        process.streaming(*argv) as stream,
    ):
        assert stream.read() == b"data\n"
    assert "| broken" in str(caught.value)


def test_streaming_with_much_on_stderr():
    program = f"head -c {BIG} /dev/zero >&2; echo data"
    with process.streaming(*shell(program)) as stream:
        assert stream.read() == b"data\n"


# --- what is ended


class InterruptionError(BaseException):
    """As the command line raises for a signal."""


def interrupt_after(stream: BinaryIO) -> None:
    assert stream.readline() == b"go\n"
    raise InterruptionError


def test_an_exception_ends_a_streaming_program(tmp_path: Path):
    pid = tmp_path / "pid"
    with (
        pytest.raises(InterruptionError),
        process.streaming(*shell("echo $$ > $1; echo go; sleep 300", str(pid))) as stream,
    ):
        interrupt_after(stream)
    wait_until_gone(wait_for_pid(pid))


def test_an_exception_ends_the_children_too(tmp_path: Path):
    pid = tmp_path / "pid"

    def console(_: bytes) -> None:
        raise InterruptionError

    program = "sleep 300 & echo $! > $1; echo go; wait"
    with pytest.raises(InterruptionError):
        process.attached(*shell(program, str(pid)), console=console)
    wait_until_gone(wait_for_pid(pid))


def test_the_polite_signal_comes_first(tmp_path: Path):
    marker = tmp_path / "marker"

    def console(_: bytes) -> None:
        raise InterruptionError

    program = "trap 'echo clean > $1; exit' TERM; echo go; while :; do sleep 0.01; done"
    with pytest.raises(InterruptionError):
        process.attached(*shell(program, str(marker)), console=console)
    assert marker.read_text() == "clean\n"


def test_a_program_that_ignores_the_polite_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    pid = tmp_path / "pid"

    def console(_: bytes) -> None:
        raise InterruptionError

    program = "trap '' TERM INT; echo $$ > $1; echo go; while :; do sleep 0.01; done"
    with pytest.raises(InterruptionError):
        process.attached(*shell(program, str(pid)), console=console)
    wait_until_gone(wait_for_pid(pid))


def test_a_child_that_ignores_the_polite_signal_and_outlives_its_parent(tmp_path: Path):
    pid = tmp_path / "pid"
    # the child holds standard error, which a thread of ours reads
    child = "trap '' TERM; echo $$ > $1; echo go; while :; do sleep 0.01; done"
    argv = shell('/bin/sh -c "$2" sh "$1" & wait', str(pid), child)
    with pytest.raises(InterruptionError), process.streaming(*argv) as stream:
        interrupt_after(stream)
    wait_until_gone(wait_for_pid(pid))


CONTAINER = """
trap '' TERM
echo $$ > $1
(trap '' TERM; exec sleep 300) & echo $! >> $1
wait
"""
"""What an engine has in a session of its own."""

ENGINE = """
setsid /bin/sh -c "$2" sh "$1" &
until test -e "$1" && test "$(wc -l < "$1")" = 2; do sleep 0.01; done
echo go
exec sleep 300
"""


@pytest.mark.parametrize("wrapped", [ENGINE, "trap '' TERM\n" + ENGINE])
def test_what_is_in_other_sessions_ends_before_its_time(
    wrapped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A container whose engine has died of the signal, or ignores it."""
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    pids = tmp_path / "pids"

    def console(_: bytes) -> None:
        raise InterruptionError

    with pytest.raises(InterruptionError):
        process.attached(*shell(wrapped, str(pids), CONTAINER), console=console, ends_all=True)
    assert not any(process.outlived(int(pid), 0) for pid in pids.read_text().split())


def test_an_exception_while_the_producer_waits(tmp_path: Path):
    pid = tmp_path / "pid"

    def raise_it(*_: object) -> None:
        raise InterruptionError

    previous = signal.signal(signal.SIGALRM, raise_it)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(InterruptionError):
            process.output(
                *shell("echo $$ > $1; sleep 300", str(pid)),
                stdin=iter(lambda: bytes(65536), b""),
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    wait_until_gone(wait_for_pid(pid))


# --- started


def test_started_runs_beside_us_and_ends_with_the_block(tmp_path: Path):
    log, pid = tmp_path / "log", tmp_path / "pid"
    program = "echo out; echo err >&2; echo $$ > $1; sleep 300"
    with process.started(*shell(program, str(pid)), log=log) as running:
        assert wait_for_pid(pid) == running.pid
        assert running.poll() is None
    assert not alive(running.pid)
    assert log.read_text() == "out\nerr\n"


def test_started_ends_with_an_exception(tmp_path: Path):
    with (
        pytest.raises(InterruptionError),
        process.started(*shell("sleep 300"), log=tmp_path / "log") as running,
    ):
        raise InterruptionError
    assert not alive(running.pid)


def test_started_may_have_ended_by_itself(tmp_path: Path):
    with process.started(*shell("exit 3"), log=tmp_path / "log") as running:
        assert running.wait(20) == 3


# --- undo


@pytest.mark.parametrize(
    "words",
    [
        "Error: No such container: runcommit-1",
        'Error: no container with name or ID "x" found: no such container',
        "Error: image not known",
        "error: image x: not found",
    ],
)
def test_undo_is_silent_about_what_is_gone(caplog: pytest.LogCaptureFixture, words: str):
    process.undo(*shell('echo "$1" >&2; exit 1', words))
    assert not caplog.records


@pytest.mark.parametrize(
    "words",
    [
        "Error: image is in use",
        "dial unix /run/docker.sock: connect: no such file or directory",
        "dial tcp: lookup far: no such host",
        "ssh: Could not resolve hostname far: Name or service not known",
        "bash: line 1: docker: command not found",
        'context "far": context not found: open meta.json',
        'exec: "ssh": executable file not found in $PATH',
        "",
    ],
)
def test_undo_warns_of_what_stays(caplog: pytest.LogCaptureFixture, words: str):
    process.undo(*shell('echo "$1" >&2; exit 1', words))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "could not clean up: /bin/sh -c" in record.getMessage()
    assert words in record.getMessage()


@pytest.mark.parametrize(
    "words",
    [
        "Error: network x not found",
        "Error: No such container: runcommit-22",
        "runcommit-1: removing\nError: image y: image not known",
    ],
)
def test_what_is_gone_is_named(caplog: pytest.LogCaptureFixture, words: str):
    process.undo(*shell(f"echo '{words}' >&2; exit 1", "runcommit-1"))
    assert "could not clean up" in caplog.text


def test_undo_never_raises(caplog: pytest.LogCaptureFixture):
    process.undo(MISSING)
    assert "could not clean up" in caplog.text


def test_undo_of_success_says_nothing(caplog: pytest.LogCaptureFixture):
    process.undo("/bin/true")
    assert not caplog.records


def test_no_descriptor_leaks(tmp_path: Path):
    def open_descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    def every_call() -> None:
        process.attempt("/bin/cat", stdin=iter([b"x"]))
        process.attached("/bin/echo", console=lambda _: None)
        with process.streaming("/bin/echo"):
            pass
        with process.started("/bin/echo", log=tmp_path / "log"):
            pass
        with contextlib.suppress(EngineError):
            process.attempt(MISSING)

    every_call()
    before = open_descriptors()
    for _ in range(3):
        every_call()
    assert open_descriptors() == before
