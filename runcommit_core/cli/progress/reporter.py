"""What every way of showing progress does."""

from __future__ import annotations

import abc
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runcommit_core.interface.progress import Event


class Reporter(abc.ABC):
    """Takes a job's events, the command's output and log records; writes to standard error.

    ``handler`` is where log records go; with ``shows_steps`` those about steps are not needed.
    """

    shows_steps = True

    def __init__(self) -> None:
        self.handler: logging.Handler = logging.StreamHandler()

    @abc.abstractmethod
    def progress(self, event: Event) -> None:
        """Take an event of the job."""

    @abc.abstractmethod
    def console(self, chunk: bytes) -> None:
        """Take what the command says."""

    def close(self, error: BaseException | None) -> None:  # noqa: B027 - most have nothing to do
        """End: with the job done, or with what it failed for, which is told afterwards."""

    def tells(self, error: BaseException) -> bool:  # noqa: ARG002 - for those that do
        """Whether it has told of the error in its own way, so that no message follows."""
        return False
