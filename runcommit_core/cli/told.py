"""An end of which the user knows already."""

from __future__ import annotations


class ToldError(Exception):
    """The job failed and its reporter has said so: nothing but the exit code is left."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
