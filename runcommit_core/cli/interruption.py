"""How a signal reaches whatever the program is doing."""

from __future__ import annotations


class InterruptedBySignalError(BaseException):
    """A signal asked the program to end; unwinding cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
