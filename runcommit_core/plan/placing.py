"""Making a job's engine fast: where it is, and what leads there from now on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runcommit_core.housekeeping.ledger import Record
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job


def placed(steps: Pipeline, job: Job, record: Record) -> Job:
    """The job with its engine's place known: to it, to its transport and to its record.

    From here on a change of the user's current context or connection is none of the job's.
    """
    from runcommit_core.plugins.backends import provides

    if job.place or not provides(steps, "place"):
        return job
    place = steps.place(engine=job.engine)
    job.transport.lead_to(place)
    record.note(engine_flags=list(place.engine.flags))
    return dataclasses.replace(job, engine=place.engine, place=place)
