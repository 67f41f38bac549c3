"""Wheel and sdist of a release are the same bytes wherever they are built, and complete."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
SOURCES = ("runcommit_core", *(str(path) for path in TOP.glob("backends/*/runcommit_*")))


def release(folder: Path, **env: str) -> str:
    done = subprocess.run(
        [TOP / "scripts/release", folder],
        env={**os.environ, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.costly
def test_a_release_is_reproducible_and_complete(tmp_path: Path):
    surroundings = {"TZ": "Asia/Tokyo", "LANG": "C", "PYTHONHASHSEED": "7"}
    sums = release(tmp_path / "here")
    assert release(tmp_path / "there", **surroundings) == sums
    assert len(sums.splitlines()) == 2
    (wheel,) = (tmp_path / "here").glob("*.whl")
    listed = subprocess.run(
        ["git", "ls-files", "-z", *SOURCES], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout
    wanted = {name[name.index("runcommit_") :] for name in listed.split("\0") if name}
    assert len(wanted) > 100
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())
