"""What a backend declares as lacking, and whether a job was refused for it.

A test asks for something by its option.  Where the backend's step ``lacks`` (or a step that it does
not have) declares it as lacking, the job must be refused with that reason before anything runs;
everywhere else it must work.  Nothing is skipped.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runcommit_core.testing.duties import LACKS, Duty, unmet
from runcommit_core.testing.ends import USAGE, named
from runcommit_core.testing.expectations import expect_equal, expect_success

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench, Ran

_CHANGING = "PYTEST_CURRENT_TEST"
_USABLE = Duty("describe", "let EngineInfo.problem be empty where the engine can be used")
_told: dict[tuple[Any, ...], dict[str, Any]] = {}


def declared(bench: Bench) -> dict[str, str]:
    """What the backend declares as lacking on this bench: the reason by capability."""
    lacks: dict[str, str] = _row(bench)["lacks"]
    return lacks


def is_installed(bench: Bench) -> bool:
    """Whether the backend is one of those that verbs without ``--backend`` go through."""
    return bool(_row(bench)["distribution"] != "-")


def _row(bench: Bench) -> dict[str, Any]:
    """What ``runcommit backends`` says of the backend; asked once."""
    surroundings = {name: value for name, value in bench.env.items() if name != _CHANGING}
    key = (bench.backend, bench.command, *sorted(surroundings.items()))
    if key not in _told:
        ran = bench.run("backends", "--backend", bench.backend, "--json")
        expect_success(ran, Duty("lacks", "return a list of Lack, and raise nothing", LACKS))
        (row,) = json.loads(ran.stdout)
        expect_equal("the engine's problem", row["problem"], None, _USABLE)
        _told[key] = row
    return _told[key]


def refused(bench: Bench, ran: Ran, *needed: str) -> bool:
    """Whether one of the capabilities that the job needed is lacking, and so the job was refused.

    Fails the test where the one is without the other.
    """
    __tracebackhide__ = True
    lacking = declared(bench)
    lack = next((name for name in needed if name in lacking), "")
    if not lack:
        if ran.returncode == USAGE:
            change = f"return Lack({needed[0]!r}, reason), or make it work"
            wanted = f"the job to run, for {' and '.join(needed)} is not declared as lacking"
            unmet(Duty("lacks", change, LACKS), wanted, "it was refused", ran)
        return False
    duty = Duty(
        "lacks",
        f"return Lack({lack!r}, …) for every job that needs it and for no other, with the same"
        " reason each time",
        LACKS,
    )
    if ran.returncode != USAGE:
        wanted = f"the job to be refused, for {lack} is declared as lacking"
        unmet(duty, wanted, f"it ended with {named(ran.returncode)}", ran)
    if lacking[lack] not in ran.stderr:
        wanted = f"the job to be refused for the declared reason {lacking[lack]!r}"
        unmet(duty, wanted, "another was given", ran)
    return True
