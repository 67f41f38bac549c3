"""What a job tells of itself while it runs: events, plain lines, JSON, the live display."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from runcommit_core import CommandError, process, run_commit
from runcommit_core.cli.progress.board import ASCII, Board, Marks
from runcommit_core.cli.progress.output import LastOutput
from runcommit_core.interface.progress import (
    CommandsStarted,
    Event,
    JobFinished,
    JobStarted,
    Meter,
    StepFailed,
    StepFinished,
    StepStarted,
    Transferred,
)
from runcommit_core.testing import bases
from tests import canned, images
from tests.terminals import Terminal, terminal

if TYPE_CHECKING:
    from tests.hosts import Host

TOP = Path(__file__).parent.parent
SCHEMA = json.loads((TOP / "docs/reference/progress.schema.json").read_bytes())
STEPS = ["load", "run", "commit", "save", "extract"]
SCRATCH = "runcommit_core.testing.scratch"
SIZES = pytest.mark.parametrize("columns", [80, 200])
SHOW_CURSOR = b"\x1b[?25h"


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCE_DATE_EPOCH", "RUNCOMMIT_BACKEND", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: None) -> str:
    """A base with a shell, called as short as users call theirs."""
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    monkeypatch.chdir(tmp_path)
    bases.busybox(tmp_path / "base")
    return "oci:base"


def run(base: str, *arguments: str, backend: str = "tests.talking:plain") -> process.Completed:
    words = ("run", "-b", backend, base, *(arguments or ("-c", "true")))
    return process.attempt(sys.executable, "-m", "runcommit_core", *words)


def checked_events(text: str) -> list[dict[str, Any]]:
    """Each line of a JSON progress, valid; in the order of time."""
    events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        jsonschema.validate(event, SCHEMA)
    times = [event["time"] for event in events]
    assert times == sorted(times)
    return events


def said(events: list[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["event"] == "output")


# --- events


def test_a_job_tells_its_steps_in_order(base: str) -> None:
    events: list[Event] = []
    result = run_commit(base, ["one", "two"], backend=canned.backend(), progress=events.append)
    assert isinstance(events[0], JobStarted)
    assert events[-1] == JobFinished(result)
    assert [event.step for event in events if isinstance(event, StepStarted)] == STEPS
    finished = {event.step: event.seconds for event in events if isinstance(event, StepFinished)}
    assert finished == dict(result.seconds)
    assert events[events.index(StepStarted("run")) - 1] == CommandsStarted(("one", "two"))
    written = [event for event in events if isinstance(event, Transferred)]
    assert (written[-1].direction, written[-1].count) == ("layer", result.layers[0].size)


@pytest.mark.parametrize("output", [{"compression": "zstd"}, {"image": "docker-archive:x.tar"}])
def test_what_takes_time_after_the_run_is_a_step(base: str, output: dict[str, Any]) -> None:
    events: list[Event] = []
    run_commit(base, "x", backend=canned.backend(), layer="l", progress=events.append, **output)
    assert [event.step for event in events if isinstance(event, StepFinished)] == [*STEPS, "write"]


def test_a_failing_step_is_the_last_event(base: str) -> None:
    def fail() -> None:
        raise CommandError("no", command_exit_code=1)

    events: list[Event] = []
    backend = canned.backend(run=canned.hookimpl(specname="run")(fail))
    with pytest.raises(CommandError):
        run_commit(base, "true", backend=backend, progress=events.append)
    assert isinstance(events[-1], StepFailed)
    assert events[-1].step == "run"


def test_a_fast_transfer_is_told_seldom_and_in_the_end() -> None:
    events: list[Event] = []
    started = time.monotonic()
    with Meter(events.append, "to engine", "blob", 10_000) as meter:
        for _ in range(10_000):
            meter.add(1)
    assert events[-1] == Transferred("to engine", "blob", 10_000, 10_000)
    assert len(events) <= 3 + (time.monotonic() - started) * 10


# --- lines


def test_plain_has_the_steps_between_the_output(base: str) -> None:
    lines = run(base, "-c", "true", "--progress", "plain").errors.splitlines()
    assert lines.index("the command speaks") == lines.index("runcommit: run …") + 1
    assert lines[lines.index("runcommit: run …") - 1] == "runcommit:   $ true"
    ended = [line.split()[1] for line in lines if re.search(r" done in \d+\.\d\d s$", line)]
    assert ended == [*STEPS, "done"]
    assert re.fullmatch(r"runcommit: done in \d+\.\d\d s", lines[-1])


def test_plain_lines_begin_at_the_margin(base: str) -> None:
    done = run(base, "-c", "printf half; touch /a", "--progress", "plain", backend=SCRATCH)
    assert "\nhalf\nruncommit: run done" in done.errors


def test_steps_are_not_told_twice(base: str) -> None:
    done = run(base, "-c", "true", "--progress", "plain", "-vv")
    assert done.errors.count("commit done") == 1
    assert not re.search(r"^runcommit: commit +\d", done.errors, re.MULTILINE)


def test_none_is_silent(base: str) -> None:
    done = run(base, "-c", "true", "--progress", "none")
    assert (done.returncode, done.errors) == (0, "")
    assert done.output.startswith("sha256:")
    assert run(base, "--progress", "none", "-c", "true", backend="tests.talking:idle").errors == ""


def test_none_shows_the_end_of_a_failure(base: str) -> None:
    command = "seq 100; printf '\\033[31mred\\033[0m\\n'; exit 3"
    done = run(base, "-c", command, "--progress", "none", backend=SCRATCH)
    lines = done.errors.splitlines()
    assert done.returncode == 5
    assert lines[:20] == [*map(str, range(82, 101)), "red"]
    assert lines[20] == "runcommit: error: the command failed with exit code 3"


def test_without_a_terminal_the_output_stands_alone(base: str) -> None:
    raw = b"\x1b[31mred\x1b[0m \xff\r\n\r50%\r100%\nno end"
    command = "".join(f"\\{byte:03o}" for byte in raw)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "runcommit_core", "run", "-b", SCRATCH, base),
            *("--", "/bin/sh", "-c", f"printf '{command}'; touch /new"),
        ],
        capture_output=True,
        check=True,
    )
    assert done.stderr == raw


# --- JSON


def test_json_is_all_that_is_there(base: str) -> None:
    done = run(base, "-c", "printf 'a\\303'; sleep .1; printf '\\244\\n'; touch /new", "-vv",
               "--progress", "json", backend=SCRATCH)  # fmt: skip
    events = checked_events(done.errors)
    kinds = [event["event"] for event in events if event["event"] not in {"log", "output"}]
    assert kinds[:2] == ["job_started", "step_started"]
    assert kinds[-1] == "job_finished"
    assert events[-1]["layers"][0]["diff_id"] == done.output.strip()
    assert said(events) == "aä\n"


def test_json_tells_failures(base: str) -> None:
    done = run(base, "-c", "echo x; exit 7", "--progress", "json", backend=SCRATCH)
    events = checked_events(done.errors)
    assert done.returncode == 5
    failed = events[-1]
    assert (failed["kind"], failed["exit_code"]) == ("CommandError", 5)
    assert failed["command_exit_code"] == 7
    for wrong in (("oci:nowhere", "-c", "true"), (base, "-e", "=x", "-c", "true"), (base,)):
        done = run(*wrong, *(["--progress", "json"]))
        last = checked_events(done.errors)[-1]
        assert (last["event"], last["exit_code"]) == ("job_failed", done.returncode), wrong


def test_json_tells_of_a_signal(base: str) -> None:
    words = ("run", "-b", "tests.talking:waiting", base, "-c", "true", "--progress", "json")
    with subprocess.Popen(
        [sys.executable, "-m", "runcommit_core", *words], stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stderr
        lines = []
        while not lines or "waiting" not in lines[-1]:
            lines.append(started.stderr.readline())
        started.send_signal(signal.SIGTERM)
        lines += started.stderr.readlines()
    assert started.returncode == 143
    assert checked_events("".join(lines))[-1]["exit_code"] == 143


# --- what is shown of a command's output


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntw", ["one", "tw"]),
        (b"\x1b[1;31mred\x1b[0m\x1b]0;title\x07 \x1b]8;;x\x1b\\link", ["red link"]),
        (b" 10%\r 50%\r100%\r", ["100%"]),
        (b"crlf\r\nnext\r\n", ["crlf", "next"]),
        (b"a\tb\x00\x07\x08c\x7f", ["a       bc"]),
        (b"\xc3", []),
        (b"cut \x1b[3", ["cut"]),
        (b"\xffbad \xe2\x80\xaeright to left", ["�bad right to left"]),
        (b"\x1bP1;2|dcs\x1b\\\x1b(Bcharset \x1b7\x1bcreset", ["charset reset"]),
    ],
)
def test_control_sequences_are_no_output(written: bytes, lines: list[str]) -> None:
    output = LastOutput()
    for byte in written:
        output.feed(bytes([byte]))
    assert output.lines(10) == lines


def test_only_the_end_is_kept_and_begins_with_a_line() -> None:
    output = LastOutput()
    for number in range(20_000):
        output.feed(b"line %05d\n" % number)
    lines = output.lines(100_000)
    assert lines[-1] == "line 19999"
    assert all(re.fullmatch(r"line \d{5}", line) for line in lines)
    assert len(lines) < 5000


# --- the board


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def board_text(board: Board, height: int = 30) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in board.lines(height)]


def test_the_board_tells_what_travels() -> None:
    clock = Clock()
    board = Board(Marks(), clock)
    board.apply(JobStarted("podman", "oci:base"))
    board.apply(StepStarted("load"))
    board.apply(Transferred("to engine", "a", 0, 30_000_000))
    clock.now = 2.0
    board.apply(Transferred("to engine", "b", 10_000_000, 10_000_000))
    assert board_text(board) == [
        "podman · oci:base · 2.0 s",
        " • load       2.0 s   10.0 MB of 40.0 MB to engine (5.00 MB/s)",
    ]
    clock.now = 75.0
    board.apply(Transferred("to engine", "a", 30_000_000, 30_000_000))
    board.apply(StepFinished("load", 75.0))
    assert board_text(board)[1:] == [" ✓ load    1 m 15 s   40.0 MB to engine (533 kB/s)"]


def test_the_board_fits_into_any_height() -> None:
    board = Board(ASCII, Clock())
    for _ in range(20):
        board.apply(StepStarted("load"))
        board.apply(StepFinished("load", 0.1))
    board.apply(CommandsStarted(("first\nmore", "second")))
    board.apply(StepStarted("run"))
    for number in range(20):
        board.output.feed(b"line %d\n" % number)
    for height in range(1, 40):
        assert len(board.lines(height)) <= height
    shown = board_text(board, 15)
    assert shown[-1] == "   | line 19"
    assert " * run        0.0 s   2 commands: first …" in shown
    assert "   16 earlier steps" in shown
    board.apply(StepFailed("run", 1.0))
    assert board_text(board)[-1] == " x run        1.0 s   2 commands: first …"


# --- on a terminal


@contextlib.contextmanager
def job_on(screen: Terminal, base: str, *words: str, backend: str = SCRATCH, **env: str) -> Any:
    argv = [sys.executable, "-m", "runcommit_core", "run", "-b", backend, base, *words]
    with screen.start(
        subprocess.Popen, argv, env=os.environ | env, start_new_session=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


NOISE = (
    "for n in $(seq 30); do printf '\\033[32mline %s \\033[2J%0250d\\033[0m\\n' $n 0; sleep .05; "
    "done; touch /new"
)


def check_frames(screen: Terminal) -> None:
    """No line was wrapped, and the job's line was there once at most."""
    for _, lines in screen.frames:
        assert sum(line.startswith(SCRATCH) for line in lines) <= 1, "\n".join(lines)
        assert not any(re.fullmatch("0+", line) for line in lines), "\n".join(lines)


@SIZES
def test_the_display_is_live_and_shrinks_to_a_summary(base: str, columns: int) -> None:
    with terminal(columns) as screen, job_on(screen, base, "-c", NOISE) as started:
        lines = screen.wait_for("│ line 20")
        assert sum("│" in line for line in lines) == 8
        assert len(lines) == 1 + 2 + 8
        assert screen.finish(started) == 0
        check_frames(screen)
        lines = screen.lines()
    assert re.fullmatch(rf"{SCRATCH} · {re.escape(base)} · \d+\.\d s", lines[0][:columns])
    assert [line.split()[:2] for line in lines[1:6]] == [["✓", step] for step in STEPS]
    assert lines[6].startswith("sha256:")
    assert len(lines) == 7
    assert SHOW_CURSOR in screen.raw


def test_a_failure_leaves_its_last_lines(base: str) -> None:
    with terminal(80) as screen, job_on(screen, base, "-c", "seq 100; exit 3") as started:
        assert screen.finish(started) == 5
        lines = screen.lines()
    start = lines.index("   81")
    assert lines[start : start + 20] == [f"   {number}" for number in range(81, 101)]
    assert [line.split()[:2] for line in lines[1:start]] == [["✓", "load"], ["✗", "run"]]
    assert lines[start + 20].startswith("runcommit: error: the command failed with exit code 3")


def test_log_messages_stay_above(base: str) -> None:
    with terminal(80) as screen:
        with job_on(screen, base, "-c", "sleep .5; touch /new", "-vv") as started:
            assert screen.finish(started) == 0
        lines = screen.lines()
    head = next(number for number, line in enumerate(lines) if line.startswith(SCRATCH))
    assert any(line.startswith("runcommit: ") for line in lines[:head])
    assert not any(line.startswith("runcommit: ") for line in lines[head:])


def test_a_terminal_may_change_its_size(base: str) -> None:
    with terminal(120) as screen, job_on(screen, base, "-c", NOISE) as started:
        screen.wait_for("│ line 10")
        screen.resize(60, 12)
        screen.wait_for("line 25")
        screen.resize(100, 24)
        assert screen.finish(started) == 0
        assert [line.split()[1] for line in screen.lines()[-6:-1]] == STEPS


def test_ctrl_c_gives_the_terminal_back(base: str) -> None:
    with terminal(80) as screen:
        with job_on(screen, base, "-c", "true", backend="tests.talking:waiting") as started:
            screen.wait_for("│ waiting")
            started.send_signal(signal.SIGINT)
            assert screen.finish(started) == 130
        lines = screen.lines()
    assert SHOW_CURSOR in screen.raw
    assert "✗ run" in screen.text()
    assert lines[-1] == "runcommit: interrupted by SIGINT; cleaned up"


@pytest.mark.parametrize(
    ("words", "env"),
    [((), {"TERM": "dumb"}), (("-q",), {}), (("--progress", "plain"), {})],
    ids=["dumb", "quiet", "plain"],
)
def test_some_terminals_and_people_want_no_display(
    base: str, words: tuple[str, ...], env: dict[str, str]
) -> None:
    command = "echo spoken; touch /a"
    with terminal(80) as screen, job_on(screen, base, "-c", command, *words, **env) as started:
        assert screen.finish(started) == 0
    assert b"\x1b" not in screen.raw
    assert b"spoken\r\n" in screen.raw


def test_no_color_is_honoured(base: str) -> None:
    colours = re.compile(rb"\x1b\[[0-9;]*(3[0-7]|38;)[0-9;]*m")
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with terminal(80) as screen, job_on(screen, base, "-c", "touch /a", **env) as started:
            assert screen.finish(started) == 0
        assert bool(colours.search(screen.raw)) is coloured


# --- on real engines


@pytest.mark.hosts("podman")
@SIZES
def test_the_display_of_an_engine(host: Host, shared_tmp: Path, columns: int) -> None:
    base = bases.busybox(shared_tmp / "base")
    words = ("run", base.ref, "-c", "for n in 1 2 3 4; do echo line $n; sleep .3; done; touch /a")
    with terminal(columns) as screen:
        started = screen.start(
            host.popen,
            Path(host.python).with_name("runcommit"),
            *words,
            env={"TERM": "xterm-256color"},
        )
        with started:
            screen.wait_for("✓ load", "• run", "│ line 3")
            assert screen.finish(started) == 0
    lines = screen.lines()
    assert [line.split()[:2] for line in lines[1:6]] == [["✓", step] for step in STEPS]
    assert max(map(len, lines)) < columns


def test_engines_tell_what_travels(host: Host, shared_tmp: Path) -> None:
    """A base that no engine has seen, with a megabyte in it, and a megabyte of result."""
    unseen = images.layer({"unseen": os.urandom(1 << 20)})
    base = bases.write_layout(shared_tmp / "base", [bases.busybox_layer(), unseen])
    command = "echo spoken; dd if=/dev/urandom of=/new bs=1M count=1 2>/dev/null"
    words = ("--progress", "json", "--transport", "registry", base.ref, "-c", command)
    network = () if host.spec.isolation == "chroot" else ("--network", "none")
    done = host.runcommit("run", "-b", host.backend, *network, *words)
    events = checked_events(done.stderr)
    assert [event["step"] for event in events if event["event"] == "step_started"] == STEPS
    assert said(events) == "spoken\n"
    moved: dict[str, dict[str, int]] = {}
    for event in events:
        if event["event"] == "transfer":
            moved.setdefault(event["direction"], {})[event["name"]] = event["bytes"]
    sums = {direction: sum(counts.values()) for direction, counts in moved.items()}
    assert sums["to engine"] > 1 << 20
    assert sums["layer"] > 1 << 20
    assert host.naive or sums["from engine"] > 1 << 20
