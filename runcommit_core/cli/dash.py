"""``-o -``: a tar on standard output, in the place of the words that else are there."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core.cli.streams import CLOSED
from runcommit_core.engine.cleanup import CleanUp
from runcommit_core.engine.interruption import waiting
from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

DASH = Path("-")


def check_dash(place: Path | None, **others: Any) -> bool:
    """Whether a tar is to go to standard output.

    ``others`` are options, by name, that have no place beside it.  Raises UsageError for one that
    is given, and for a terminal.
    """
    if place != DASH:
        return False
    for name, value in others.items():
        if value:
            raise UsageError(f"-o - and --{name} cannot go together", tip="name a file with -o")
    if 1 in CLOSED:
        raise UsageError("-o - wants standard output, which is closed", tip="name a file with -o")
    if sys.stdout.isatty():
        raise UsageError("-o - would write a tar to the terminal", tip="pipe it, or name a file")
    return True


@contextlib.contextmanager
def standing_in() -> Iterator[Path]:
    """A file to write, which goes to standard output when all went well; nothing if it is not."""
    from runcommit_core.plan.making import private_folder

    with CleanUp() as cleanup:
        path = private_folder(cleanup) / "tar"
        yield path
        if path.exists():
            with path.open("rb") as file, waiting():
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.flush()
