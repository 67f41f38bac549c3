"""What a run of the tests has started ends with it, whoever ends the run, and however."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts import SPECS, Host
from tests.test_prune_engines import processes_naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TOP = Path(__file__).parent.parent
GUARDED = (sys.executable, "-m", "tests.with_hosts", "--only=", "--")

STRAY = """\
import os, signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    os._exit(0)
print(os.environ["RUNCOMMIT_TEST_HOSTS"], flush=True)
time.sleep(600)
"""
"""A process that has no parent left, no group in common with others, and ends on SIGKILL only."""

TESTS = f"""\
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {STRAY!r}], start_new_session=True).wait()
"""
WAITING = f"{TESTS}time.sleep(600)\n"
DEAF = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{WAITING}"


@contextlib.contextmanager
def started(program: str, *command: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A guarded program whose stray process is up, and the folder of its hosts.

    Its output ends when the last process that holds it has ended.
    """
    with subprocess.Popen(
        [*(command or GUARDED), sys.executable, "-c", program],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=TOP, start_new_session=True,
    ) as run:  # fmt: skip
        assert run.stdout
        folder = Path(run.stdout.readline().strip()).parent
        try:
            yield run, folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def kill(number: int) -> Callable[[subprocess.Popen[str]], None]:
    return lambda run: run.send_signal(number)


def kill_group(number: int) -> Callable[[subprocess.Popen[str]], None]:
    return lambda run: os.killpg(run.pid, number)


def kill_inner(run: subprocess.Popen[str]) -> None:
    [inner] = children(run.pid)
    os.kill(inner, signal.SIGKILL)


def children(pid: int) -> Sequence[int]:
    return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


ENDS = {
    "interrupted": kill(signal.SIGINT),
    "told to end": kill(signal.SIGTERM),
    "killed": kill(signal.SIGKILL),
    "with its group told to end": kill_group(signal.SIGTERM),
    "killed with its group": kill_group(signal.SIGKILL),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_nothing_outlives_the_run(end: Callable[[subprocess.Popen[str]], None]):
    with started(WAITING) as (run, folder):
        assert folder.exists()
        end(run)
        assert run.communicate(timeout=30)[0] == ""
        assert run.returncode != 0
        assert not folder.exists()


def test_no_process_outlives_the_killed_guardian():
    with started(WAITING) as (run, _):
        kill_inner(run)
        assert run.communicate(timeout=30)[0] == ""
        assert run.returncode == 128 + signal.SIGKILL


def test_what_tests_leave_ends_with_them_and_their_code_is_told():
    with started(f"{TESTS}sys.exit(3)\n") as (run, _):
        assert run.communicate(timeout=30)[0] == ""
        assert run.returncode == 3


def test_who_does_not_end_in_order_is_killed():
    impatient = (
        "import sys; from tests import guardian, with_hosts; guardian.GRACE = 1;"
        "sys.exit(with_hosts.main())"
    )
    with started(DEAF, sys.executable, "-c", impatient, "--only=", "--") as (run, folder):
        run.send_signal(signal.SIGTERM)
        assert run.communicate(timeout=30)[0] == ""
        assert run.returncode == 128 + signal.SIGKILL
        assert not folder.exists()


def test_a_hang_is_cheap_and_named(tmp_path: Path):
    """Also what has left the group of the command, and holds its output, ends."""
    host = Host(SPECS[0], (), sys.executable, str(tmp_path), "", dict(os.environ))
    with pytest.raises(AssertionError) as hang:
        host.run("sh", "-c", "echo on my way; setsid sleep 601", timeout=1)
    first, said, _, *running = str(hang.value).splitlines()
    assert first.endswith("setsid sleep 601: no end after 1 s")
    assert said == "on my way"
    assert re.fullmatch(r"  \d+ sleep 601 ", running[-1])
    assert "sleep 601 " not in processes_naming("sleep 601")
