"""Whether the backend is right: runcommit's contract decides."""

from __future__ import annotations

from runcommit_core.testing import BackendContract
from runcommit_umoci import store


class TestUmoci(BackendContract):
    backend = "umoci"

    def resources(self) -> set[str]:
        """A container is a folder of the store's."""
        jobs = store.folder() / "jobs"
        return {path.name for path in jobs.iterdir()} if jobs.is_dir() else set()
