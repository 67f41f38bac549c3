"""Where a command's output goes unless somebody takes it."""

from __future__ import annotations

import sys


def to_stderr(chunk: bytes) -> None:
    """Write what the command says to standard error, at once."""
    if sys.stderr is not None:
        sys.stderr.buffer.write(chunk)
        sys.stderr.buffer.flush()
