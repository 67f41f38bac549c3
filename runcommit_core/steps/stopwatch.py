"""Calling the steps: each one timed, logged and held to what it must return."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from runcommit_core.engine.interruption import waiting
from runcommit_core.errors import BackendContractError, RuncommitError
from runcommit_core.interface.progress import (
    Progress,
    StepFailed,
    StepFinished,
    StepStarted,
    ignore,
)

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("runcommit.steps")

T = TypeVar("T")


class Stopwatch:
    """Runs steps and remembers how many seconds each took, in order; ``progress`` is told."""

    def __init__(self, backend: str, progress: Progress = ignore) -> None:
        self.seconds: dict[str, float] = {}
        self._backend = backend
        self._progress = progress

    def step(self, name: str, returns: type[T], call: Callable[..., Any], **arguments: Any) -> T:
        """The step's value; BackendContractError when it is not of the type that is owed."""
        self._progress(StepStarted(name))
        started = time.monotonic()
        try:
            with waiting():
                value = call(**arguments)
        except BaseException as error:
            if isinstance(error, RuncommitError):
                error.step = error.step or name
            self._progress(StepFailed(name, time.monotonic() - started))
            raise
        took = time.monotonic() - started
        self._progress(StepFinished(name, took))
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        log.info("%-8s %.2f s", name, took)
        if not isinstance(value, returns):
            returned = "None" if value is None else f"a {type(value).__name__}"
            raise BackendContractError(
                f"step {name!r} of backend {self._backend!r} returned {returned}, "
                f"it must return runcommit_core.{returns.__name__}"
            )
        return value
