"""What a backend owes, and how its author is told that it is unmet."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Ran

STEPS = "3. Write the five steps"
LACKS = "5. Declare what the engine cannot do"
_PAGE = "docs/how-to/write-a-backend.md"
_SHOWN = 4000


@dataclass(frozen=True, slots=True)
class Duty:
    """What a backend owes: the ``hook`` that owes it, and what to ``change`` there if it is unmet.

    ``section`` of the how-to tells more.
    """

    hook: str
    change: str
    section: str = STEPS


LAYER = Duty(
    "save",
    "hand over all that differs from the base and nothing else: every layer that the image has"
    " above job.base's, the container's upper directory, or save_root(job, …)",
)
"""The duty of everything that is expected of a plain job's layer."""

RUNS = Duty(
    "run",
    "run job.argv as it is, word by word, and return Container(…) when its exit code is 0; read"
    " below which step failed",
)
"""The duty of a job that only has to succeed."""


def unmet(duty: Duty, wanted: str, seen: str, ran: Ran | None = None) -> NoReturn:
    """Fail the test with everything that an author has to know."""
    __tracebackhide__ = True
    lines = [
        f"expected {wanted}, but {seen}",
        f"  hook:    {duty.hook}",
        f"  change:  {duty.change}",
        f'  read:    {_PAGE}, "{duty.section}"',
    ]
    if ran:
        lines += [f"  job:     runcommit {shlex.join(ran.arguments)}", "  runcommit said:"]
        lines += [f"  | {line}" for line in ran.stderr[-_SHOWN:].splitlines()]
    raise AssertionError("\n".join(lines))
