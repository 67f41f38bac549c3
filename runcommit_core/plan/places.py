"""Where the engine of one job is, asked once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runcommit_core.housekeeping.ledger import LedgerEntry
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.place import Place
    from runcommit_core.interface.values import EngineOptions


def place_of(steps: Pipeline, engine: EngineOptions, entry: LedgerEntry) -> Place | None:
    """The engine's place as the backend tells it, noted in the ledger; None where it does not.

    From here on a change of the user's current context or connection is none of the job's.
    """
    from runcommit_core.plugins.backends import provides

    if not provides(steps, "place"):
        return None
    place = steps.place(engine=engine)
    entry.note(engine_flags=list(place.engine.flags))
    return place
