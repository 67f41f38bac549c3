"""Calling the steps: each one timed, logged and held to what it must return."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from runcommit_core.errors import BackendContractError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("runcommit")

T = TypeVar("T")


class Stopwatch:
    """Runs steps and remembers how many seconds each took, in order."""

    def __init__(self, backend: str) -> None:
        self.seconds: dict[str, float] = {}
        self._backend = backend

    def step(self, name: str, returns: type[T], call: Callable[..., Any], **arguments: Any) -> T:
        """The step's value; BackendContractError when it is not of the type that is owed."""
        started = time.monotonic()
        value = call(**arguments)
        took = time.monotonic() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        log.info("%-8s %.2f s", name, took)
        if not isinstance(value, returns):
            found = "None" if value is None else f"a {type(value).__name__}"
            raise BackendContractError(
                f"step {name!r} of backend {self._backend!r} returned {found}, "
                f"it must return runcommit_core.{returns.__name__}"
            )
        return value
