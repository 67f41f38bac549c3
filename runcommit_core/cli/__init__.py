"""The command line: results on stdout, all else on stderr, an exit code per kind of error."""

from __future__ import annotations

import gc
import signal
import sys

from runcommit_core.cli.streams import open_streams

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
    open_streams()
    gc.set_threshold(_GARBAGE)
    from runcommit_core.cli.entry import run

    try:
        sys.exit(run())
    finally:
        gc.freeze()  # or Python, about to end, looks through all there is for garbage
