"""Shell completion, in a real bash on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core import process
from tests.terminals import Terminal, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Terminal]:
    """A bash as a user has it, in a folder with an image in it."""
    (tmp_path / "images" / "base").mkdir(parents=True)
    (tmp_path / "script.sh").touch()
    env = os.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "TERM": "xterm", "PS1": "$ "}
    with terminal(120) as opened:
        shell = opened.start(
            subprocess.Popen,
            ["bash", "--norc", "--noprofile", "-i"],
            env=env,
            cwd=tmp_path,
            start_new_session=True,
        )
        opened.send('bind "set enable-bracketed-paste off"; eval "$(runcommit completion bash)"\n')
        opened.send("echo ready | tr a-z A-Z\n")
        opened.wait_for("READY")
        yield opened
        shell.kill()
        shell.wait()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("runcommit compl", "runcommit completion"),
        ("runcommit run --progr", "runcommit run --progress"),
        ("runcommit run --progress js", "runcommit run --progress json"),
        ("runcommit run -b bui", "runcommit run -b buildah"),
        ("runcommit run --clean apt,pyt", "runcommit run --clean apt,python"),
        ("runcommit run -o scr", "runcommit run -o script.sh"),
        ("runcommit run docker-a", "runcommit run docker-archive:"),
        ("runcommit run oci:ima", "runcommit run oci:images/"),
        ("runcommit run oci:images/b", "runcommit run oci:images/base"),
    ],
)
def test_bash_completes(bash: Terminal, typed: str, completed: str) -> None:
    bash.send(f"{typed}\t")
    bash.wait_for(completed)


@pytest.mark.parametrize(("shell", "word"), [("zsh", "#compdef runcommit"), ("fish", "complete ")])
def test_other_shells_have_a_script(shell: str, word: str) -> None:
    said = process.output(sys.executable, "-m", "runcommit_core", "completion", shell)
    assert word in said
    assert "_RUNCOMMIT_COMPLETE" in said
