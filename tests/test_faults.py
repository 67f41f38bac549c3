"""A fault at each point of a job, on each engine: nothing is lost, and ``prune`` finds the rest.

``scripts/faults`` has faults at random points, as many as one wants.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.failing import FAULTS
from tests.faults.trial import Fault, Trials
from tests.hosts import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bases import Base
    from tests.hosts import Host

MAKES = {"docker": "run", "podman": "run", "buildah": "from"}
"""The verb that makes the container."""

POINTS = {"create": MAKES, "fork": MAKES, "wait": dict.fromkeys(MAKES, "run"), "note": {}}
"""Each with the verb of the engine's program, if it is one of its."""

TABLE = [*itertools.product(POINTS, FAULTS), *itertools.product(["rename"], FAULTS[:-1])]
TABLE += [("undo", "TERM"), ("undo", "hang")]


@pytest.fixture(scope="module")
def trials_on() -> Iterator[Callable[[Host, Base], Trials]]:
    made: dict[str, Trials] = {}
    with tempfile.TemporaryDirectory(dir=session().shared) as folder:
        Path(folder).chmod(0o755)

        def on(host: Host, base: Base) -> Trials:
            if host.name not in made:
                made[host.name] = Trials(host, Path(folder), base)
            return made[host.name]

        yield on


@pytest.mark.hosts("docker", "podman", "buildah")
@pytest.mark.parametrize(("point", "kind"), TABLE)
def test_a_fault_leaves_nothing(
    host: Host,
    busybox_base: Base,
    trials_on: Callable[[Host, Base], Trials],
    point: str,
    kind: str,
):
    word = POINTS.get(point, {}).get(host.backend, "-")
    outcome = trials_on(host, busybox_base).run(Fault(kind, point, 1, word, "patient"))
    assert not outcome.problems, f"{outcome.fault}: {outcome.problems}\n{outcome.said}"
    assert outcome.struck, f"{outcome.fault} did not happen\n{outcome.said}"
