"""Images that are just being made, over which podman's looks at all others stumble.

To describe an image podman searches its parent among all that have its layers, and to list images
that of each; one that has no manifest yet makes it fail: another job's, whose pull has not ended.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, TypeVar

from runcommit_core import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# podman 4.3 as a service dereferences what it did not get
_WORDS = re.compile("consider removing the image|nil pointer dereference")
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)


def for_an_unfinished_image(error: EngineError) -> bool:
    """Whether podman failed because of an image, maybe not the one asked for, without manifest."""
    return _WORDS.search(error.output) is not None


def settled(ask: Callable[[], T]) -> T:
    """What ``ask`` answers once the images that others make are complete.

    Raises its EngineError when they are not within two seconds: a pull that was killed left one.
    """
    for wait in _WAITS:
        try:
            return ask()
        except EngineError as error:
            if not for_an_unfinished_image(error):
                raise
        time.sleep(wait)
    return ask()
