"""The standard streams, of which our caller may have closed some."""

from __future__ import annotations

import os
import sys

CLOSED: set[int] = set()
"""Those that were closed."""


def open_streams() -> None:
    """Let a standard stream that our caller has closed lead to /dev/null.

    A file of ours would get its number else, and what is meant for the stream.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            CLOSED.add(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
