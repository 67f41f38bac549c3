"""The contract on the backend that needs no engine."""

from __future__ import annotations

from runcommit_core.testing import BackendContract


class TestScratch(BackendContract):
    backend = "runcommit_core.testing.scratch"

    def resources(self) -> set[str]:
        return set()
