"""Folders with programs that are not installed on the machine: made once per checkout, then kept.

Each is made by a module of the same name (``python -m tests.bazel_prefix .bazel``).  Where that
fails, the tests that need it fail and say so; all others can go on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Prefix:
    """A folder below the checkout, the module that makes it, what is said meanwhile."""

    folder: str
    module: str
    what: str


PREFIXES = {
    "bazel": Prefix(".bazel", "bazel_prefix", "a Bazel (150 MB of Debian's packages)"),
    "remote-execution": Prefix(
        ".bazel-remote", "remote_prefix", "a remote execution service (60 MB of packages)"
    ),
    "newer-podmans": Prefix(".podman", "podman_prefix", "newer podmans (70 MB of packages)"),
}
"""By the name in ``@pytest.mark.needs(…)``."""


def provide(name: str) -> None:
    """Make a prefix, unless it is there and made from what would make it now."""
    if name == "bazel" and os.environ.get("RUNCOMMIT_BAZEL"):
        return
    prefix = PREFIXES[name]
    stamp = TOP / prefix.folder / "made-from"
    with _alone():
        wanted = _recipe(prefix)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        print(f"making {prefix.what} in {prefix.folder}", file=sys.stderr)  # noqa: T201
        make = (sys.executable, "-m", f"tests.{prefix.module}", prefix.folder)
        if subprocess.run(make, check=False, cwd=TOP, stdout=sys.stderr).returncode:
            words = f"runcommit: there is no {prefix.what}, so its tests will fail"
            print(words, file=sys.stderr)  # noqa: T201
        else:
            stamp.write_text(wanted)


def _recipe(prefix: Prefix) -> str:
    """What a prefix is made from: where it is (its paths are absolute) and by which words."""
    modules = ("bazel_prefix", prefix.module)
    text = b"".join((TOP / f"tests/{name}.py").read_bytes() for name in modules)
    return f"{TOP} {hashlib.sha256(text).hexdigest()}\n"


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for another run in this checkout."""
    folder = os.open(TOP, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
