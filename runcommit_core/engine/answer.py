"""What a process tells that reads a container's files for another, see ``apart``.

It starts anew for each job, so it imports little.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError, RuncommitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runcommit_core.tar.digests import DiffId


def answer(path: str, write: Callable[[BinaryIO], tuple[DiffId, Sequence[str]]]) -> int:
    """Write the raw layer to ``path`` and tell of it on standard output, as JSON; the exit code.

    ``write`` gives back the layer's diff_id, and warnings.
    """
    try:
        with open(path, "wb") as file:  # noqa: PTH123
            diff_id, warnings = write(file)
        said = {"diff_id": diff_id, "warnings": [*warnings]}
        code = 0
    except ArchiveError as error:
        said = {"error": str(error), "tip": error.tip}
        code = error.exit_code
    except RuncommitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    print(json.dumps(said))  # noqa: T201
    return code
