"""A stack of undos that is unwound as a whole, whatever signals come meanwhile."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from runcommit_core.engine import interruption

if TYPE_CHECKING:
    from types import TracebackType


class CleanUp(contextlib.ExitStack):
    """An ExitStack whose end is clean-up: see :func:`.interruption.cleaning`."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        with interruption.cleaning():
            return bool(super().__exit__(kind, error, traceback))
