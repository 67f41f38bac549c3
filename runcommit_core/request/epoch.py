"""SOURCE_DATE_EPOCH: which time a layer's new files may bear at most.

Source: https://reproducible-builds.org/specs/source-date-epoch/
"""

from __future__ import annotations

import os
import re
import time

from runcommit_core.errors import UsageError
from runcommit_core.interface.values import EPOCH_VARIABLE
from runcommit_core.oci.config import base_created

_INTEGER = re.compile(r"-?[0-9]{1,20}")


def choose_epoch(option: int | None, config: bytes) -> int:
    """Seconds since 1970: the option, else the variable, else the base's ``created``, else 0.

    Raises UsageError for what is no count of seconds, or lies in the future: the clock would
    then show in the layer.
    """
    epoch, origin = _asked_for(option)
    if epoch is None:
        created = base_created(config)
        return created if created is not None and created <= time.time() else 0
    if epoch < 0:
        raise UsageError(f"{origin} is {epoch}, expected seconds since 1970")
    if epoch > time.time():
        raise UsageError(
            f"{origin} {epoch} lies in the future, so the layer would show the time of the run",
            tip="choose a time that has passed",
        )
    return epoch


def _asked_for(option: int | None) -> tuple[int | None, str]:
    if option is not None:
        return option, "the source date epoch"
    text = os.environ.get(EPOCH_VARIABLE, "")
    if not text:
        return None, ""
    # int() alone would take 1_000, other alphabets' digits and blanks
    if not _INTEGER.fullmatch(text):
        raise UsageError(f"the variable {EPOCH_VARIABLE} is {text!r}, expected seconds since 1970")
    return int(text), f"the variable {EPOCH_VARIABLE}"
