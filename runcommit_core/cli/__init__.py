"""The command line: results on stdout, all else on stderr, an exit code per kind of error."""

from __future__ import annotations

import gc
import os
import signal
import sys

_GARBAGE = 100_000
"""Objects made and not yet freed before a search for cycles among them, where Python has 700.

Importing makes tens of thousands, and so does an index, and none is garbage.
"""


def main() -> None:
    """Run the command line and exit with the code that docs/reference/errors.md lists."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nothing is there to clean up yet, so a signal ends us without a word
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    _open_streams()
    gc.set_threshold(_GARBAGE)
    from runcommit_core.cli.entry import run

    try:
        sys.exit(run())
    finally:
        gc.freeze()  # or Python, about to end, looks through all there is for garbage


def _open_streams() -> None:
    """Let a standard stream that our caller has closed lead to /dev/null.

    A file of ours would get its number else, and what is meant for the stream.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
