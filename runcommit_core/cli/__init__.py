"""The command line: results on stdout, all else on stderr, an exit code per kind of error."""

from __future__ import annotations

import gc
import sys

_GARBAGE = 100_000
"""Objects made and not yet freed before a search for cycles among them, where Python has 700.

Importing makes tens of thousands, and so does an index, and none is garbage.
"""


def main() -> None:
    """Run the command line and exit with the code that docs/reference/errors.md lists."""
    gc.set_threshold(_GARBAGE)
    from runcommit_core.cli.entry import run

    try:
        sys.exit(run())
    finally:
        gc.freeze()  # or Python, about to end, looks through all there is for garbage
