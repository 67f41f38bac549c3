"""What passes by itself, and what an engine leaves where we are."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from runcommit_core.engine.interruption import pause
from runcommit_core.errors import EngineError

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)


def settled(passing: re.Pattern[str], ask: Callable[..., T], *words: str) -> T:
    """What ``ask`` answers to ``words`` once the engine no longer says what passes by itself.

    Raises its EngineError when that takes longer than two seconds.
    """
    for wait in _WAITS:
        try:
            return ask(*words)
        except EngineError as error:
            if not passing.search(error.output):
                raise
        pause(wait)
    return ask(*words)


@contextlib.contextmanager
def without_a_trace(name: str) -> Iterator[None]:
    """Remove an empty file of that name that the block leaves in the working directory."""
    file = Path.cwd() / name
    if os.path.lexists(file):
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if not file.lstat().st_size:
                file.unlink()
