"""``scripts/faults``: jobs with random faults on each engine, and a table of what was left."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests import bases
from tests.faults.failing import FAULTS
from tests.faults.trial import Fault, Outcome, Trials
from tests.hosts import session

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTS = {"create": 6, "fork": 6, "wait": 6, "undo": 3, "note": 1, "rename": 1}
"""For which time, at most, a job comes to a point: a warm job starts about so many programs."""

_HEAD = ("host", "jobs", "struck", "left", "said", "partial", "wrong", "traceback", "longest s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults")
    parser.add_argument("--jobs", type=int, default=50, help="on each host")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = [_HEAD]
    failed = False
    with tempfile.TemporaryDirectory(dir=session().shared) as folder:
        Path(folder).chmod(0o777)
        base = bases.busybox(Path(folder) / "base")
        for host in session().hosts.values():
            trials = Trials(host, Path(folder), base)
            chance = random.Random(f"{options.seed} {host.name}")
            outcomes = [trials.run(drawn(chance)) for _ in range(options.jobs)]
            for outcome in outcomes:
                if outcome.problems:
                    told = f"{host.name}: {outcome.fault}: {outcome.problems}\n{outcome.said}\n"
                    sys.stdout.write(told)
            failed |= any(outcome.problems for outcome in outcomes)
            rows.append(_row(host.name, outcomes))
    for row in rows:
        sys.stdout.write("  ".join(f"{cell:>9}" for cell in row) + "\n")
    return int(failed)


def drawn(chance: random.Random) -> Fault:
    """A random fault."""
    point = chance.choice(list(COUNTS))
    return Fault(
        kind=chance.choice(FAULTS),
        point=point,
        number=chance.randint(1, COUNTS[point]),
        command=chance.choice(("quick", "quick", "patient", "stubborn")),
    )


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    counts = (
        len(outcomes),
        sum(outcome.struck for outcome in outcomes),
        sum(bool(outcome.leftovers) for outcome in outcomes),
        sum(bool(outcome.unpruned) for outcome in outcomes),
        sum(bool(outcome.partial) for outcome in outcomes),
        sum(outcome.wrong for outcome in outcomes),
        sum("Traceback" in outcome.said for outcome in outcomes),
    )
    longest = max(outcome.seconds for outcome in outcomes)
    return (name, *map(str, counts), f"{longest:.1f}")


if __name__ == "__main__":
    sys.exit(main())
