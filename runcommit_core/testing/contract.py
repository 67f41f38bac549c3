"""The contract that every backend keeps, as a class of tests to inherit.

::

    class TestNerdctl(BackendContract):
        backend = "nerdctl"

        def resources(self) -> set[str]:
            return set(process.output("nerdctl", "ps", "-aq").split())

Every test runs the command line as a user would and looks at what can be seen from outside: exit
codes, outputs, the layer, the image, what is left in the engine.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import bases
from runcommit_core.testing.bench import Bench, local_bench
from runcommit_core.testing.changes import ChangesContract
from runcommit_core.testing.commands import CommandContract
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.expectations import expect_nothing_left
from runcommit_core.testing.failures import FailureContract
from runcommit_core.testing.identity import IdentityContract
from runcommit_core.testing.interruption import InterruptionContract
from runcommit_core.testing.layers import LayerContract
from runcommit_core.testing.machine import MachineContract
from runcommit_core.testing.mounts import MountContract
from runcommit_core.testing.outputs import OutputContract
from runcommit_core.testing.parallel import ParallelContract
from runcommit_core.testing.results import ResultContract
from runcommit_core.testing.shaping import ShapingContract
from runcommit_core.testing.surroundings import SurroundingsContract
from runcommit_core.testing.unpacked import UnpackedContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOTHING_STAYS = Duty(
    "load, run, commit or save, whichever made it",
    "push the removal of each thing on job.containers (the container) or job.cleanup (the rest) in"
    " the line before it is made",
)


class BackendContract(
    # pytest begins with the last one, and an author with what is simplest
    ParallelContract,
    InterruptionContract,
    FailureContract,
    OutputContract,
    ResultContract,
    MountContract,
    SurroundingsContract,
    IdentityContract,
    MachineContract,
    ShapingContract,
    ChangesContract,
    UnpackedContract,
    CommandContract,
    LayerContract,
):
    """What every backend must do; inherit it and name the backend."""

    backend = ""

    def resources(self) -> set[str]:
        """What the engine holds now: containers and images by any unique name.

        The private copies of bases may stay; leave images out that are called
        ``localhost/runcommit/base``.
        """
        raise NotImplementedError("list the engine's containers and images here")

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        """Where command lines run; override it for other users or machines."""
        return local_bench(self.backend, tmp_path, self.resources)

    @pytest.fixture
    def base(self, bench: Bench) -> bases.Base:
        """A base with a shell and the files that these tests change; override with care."""
        return bases.busybox(bench.folder / "base")

    @pytest.fixture(autouse=True)
    def nothing_stays(self, bench: Bench) -> Iterator[None]:
        """Every test leaves the engine as it found it."""
        with leaving_nothing(bench):
            yield


@contextlib.contextmanager
def leaving_nothing(bench: Bench) -> Iterator[None]:
    """Expect that the engine holds no more after the block than before."""
    before = bench.resources()
    yield
    expect_nothing_left(bench.resources() - before, _NOTHING_STAYS)
