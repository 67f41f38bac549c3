"""How a process ended."""

from __future__ import annotations

from runcommit_core.records import record


@record
class Completed:
    """How a process ended: ``output`` is its standard output, ``errors`` its standard error."""

    argv: tuple[str, ...]
    returncode: int
    output: str
    errors: str

    @property
    def words(self) -> str:
        return self.errors if self.errors.strip() else self.output
