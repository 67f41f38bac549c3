"""A value that is worked out beside the main thread while an engine is busy."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from runcommit_core.engine.interruption import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


class Background(Generic[T]):
    """Starts ``work`` at once in a thread; ``result`` waits for it and raises what it raised."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._values: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._values.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again where the value is needed
            self._error = error

    def result(self) -> T:
        with waiting():
            self._thread.join()
        if self._error:
            raise self._error
        return self._values[0]


def side_by_side(works: Iterable[Callable[[], object]], at_once: int) -> None:
    """Do all works, so many at once; where one raises or a signal comes, nobody waits for the rest.

    What was not begun then never is, and what was goes on by itself.
    """
    turn, given_up = threading.Semaphore(at_once), threading.Event()

    def done(work: Callable[[], object]) -> None:
        with turn:
            if not given_up.is_set():
                work()

    started = [Background(functools.partial(done, work)) for work in works]
    try:
        for each in started:
            each.result()
    finally:
        given_up.set()
