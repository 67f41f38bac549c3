"""The part of the contract about jobs beside each other, on a base that none had before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core.testing import bases
from runcommit_core.testing.directing import in_step
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.expectations import expect_content, expect_nothing_left, expect_success

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench

_NUMBER = 3
_NAMES = Duty(
    "run",
    "call everything that one job makes job.name or by another name with job.id in it, and keep"
    " nothing of a job in global variables or in files that have a fixed name",
)
_BESIDE = Duty(
    "load or run, whichever failed",
    f"{_NAMES.change}. In load, let several jobs bring the same base into the engine at once: who"
    " comes second finds it there and goes on; a copy that is not complete must"
    " not be found under job.transport.name",
)


class ParallelContract:
    """What jobs are to each other: nothing."""

    def test_jobs_side_by_side_on_a_new_base(self, bench: Bench) -> None:
        unique = bases.file_layer("unique", os.urandom(16))
        base = bases.write_layout(bench.folder / "new", [bases.busybox_layer(), unique])
        layers = [bench.folder / f"layer{number}.tar" for number in range(_NUMBER)]
        before = bench.resources()
        jobs = [
            (base.ref, "-c", f"test -s /unique && echo {number} > /data/changed", "-o", layer)
            for number, layer in enumerate(layers)
        ]
        for ran in in_step(bench, jobs):
            expect_success(ran, _BESIDE)
        for number, layer in enumerate(layers):
            expect_content(layer, "data/changed", f"{number}\n".encode(), _NAMES)
        expect_nothing_left(bench.resources() - before, _NAMES)
