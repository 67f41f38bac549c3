"""The file that conmon leaves of a container that ran out of memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def without_a_trace() -> Iterator[None]:
    """Remove the empty file ``oom`` from the working directory, unless it was there before."""
    file = Path.cwd() / "oom"
    if os.path.lexists(file):
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if not file.lstat().st_size:
                file.unlink()
