"""Amounts as users write them: memory, processors, durations."""

from __future__ import annotations

import contextlib
import math
import re

from runcommit_core.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
_LEAST_MEMORY = 6 << 20


def parse_size(text: str) -> int:
    """``512m`` as a number of bytes; units are b, k, m, g and t, powers of 1024 as docker's.

    Raises ValueError: it is no size
    """
    amount = _SIZE.fullmatch(text)
    if not amount:
        raise ValueError(f"{text!r} is no size")
    return int(float(amount[1]) * (1 << _POWERS[amount[2].lower()]))


def size_in_bytes(text: str | int, option: str) -> int:
    """The size that an option gives; UsageError, naming ``option``, for what is none and for 0."""
    with contextlib.suppress(ValueError):
        if size := parse_size(str(text).strip()):
            return size
    raise UsageError(f"{option} {text!r} is no size", tip="write it like 512m or 2g")


def age(text: str) -> float:
    """``30d``, ``12h``, ``90m`` or ``45s`` in seconds; UsageError for anything else."""
    amount = _AGE.fullmatch(text)
    if not amount:
        raise UsageError(f"--older-than {text!r} is no time", tip="write it like 30d or 12h")
    return float(amount[1]) * _SECONDS[amount[2]]


def memory_limit(text: str | int) -> int:
    """The limit in bytes; UsageError below 6 MB, with which no container can start."""
    size = size_in_bytes(text, "--memory")
    if size < _LEAST_MEMORY:
        raise UsageError(f"--memory {text!r} is less than 6m, which engines demand at least")
    return size


def processors(text: str | float) -> float:
    """How many processors, such as 1.5; UsageError for what is no positive number."""
    try:
        count = float(text)
    except ValueError:
        count = 0.0
    if not (0.01 <= count < math.inf):  # noqa: PLR2004 - the least that engines take
        raise UsageError(f"--cpus {text!r} is no number of processors", tip="write it like 1.5")
    return count


def stop_timeout(text: str | float) -> float:
    """The same as :func:`duration`, and 0 for no time at all."""
    return 0.0 if str(text).strip() in {"0", "0.0", "0s"} else duration(text, "--stop-timeout")


def duration(text: str | float, option: str = "--timeout") -> float:
    """``90``, ``90s``, ``5m`` or ``1h30m`` in seconds; UsageError for anything else and for 0."""
    given = _DURATION.fullmatch(str(text).strip())
    hours, minutes, seconds = (float(part or 0) for part in given.groups()) if given else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        raise UsageError(f"{option} {text!r} is no duration", tip="write it like 90s, 5m or 1h30m")
    return total
