"""The folder of one run of the tests, and what its processes share there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE = "RUNCOMMIT_TEST_RUN"
Made = TypeVar("Made")


def make() -> Path:
    """Make the folder: on a real disk, readable for every user, known to what is started now."""
    # not tempfile's random names, which can be no part of ``oci:PATH`` (``._x``)
    folder = Path("/var/tmp") / f"rct-{secrets.token_hex(4)}"
    folder.mkdir()
    folder.chmod(0o755)
    os.environ[VARIABLE] = str(folder)
    return folder


def remove() -> None:
    shutil.rmtree(run_folder())


def run_folder() -> Path:
    return Path(os.environ[VARIABLE])


def once(name: str, make: Callable[[Path], Made]) -> Made:
    """What ``make`` made of the place ``name`` in the folder, whichever process came first."""
    place = run_folder() / name
    kept = place.with_name(f"{name}.pickle")
    with _alone(name):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make(place)))
    made: Made = pickle.loads(kept.read_bytes())
    return made


def agree(case: str, value: str) -> None:
    """Expect that all tests that tell something of a case tell the same."""
    folder = run_folder() / "agreed" / case
    folder.mkdir(parents=True, exist_ok=True)
    (folder / value).touch()
    told = sorted(path.name for path in folder.iterdir())
    assert told == [value], f"{case}: {value} here, and elsewhere {told}"


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    with (run_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
