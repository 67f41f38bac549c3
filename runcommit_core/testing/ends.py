"""How a job may end: runcommit's exit codes, and the step that is to blame."""

from __future__ import annotations

import re

USAGE, ENGINE_FAILED, COMMAND_FAILED, BAD_ARCHIVE, NOT_REPRODUCIBLE = 2, 4, 5, 6, 7
TIMED_OUT = 124

_MEANS = {
    0: "it succeeded",
    1: "a Python error: a step raised what is no error of runcommit's",
    USAGE: "the job was refused",
    3: "a step is missing or returned what it must not",
    ENGINE_FAILED: "the engine failed",
    COMMAND_FAILED: "the command failed",
    BAD_ARCHIVE: "an image or a layer is not what its specification demands",
    NOT_REPRODUCIBLE: "two runs gave different layers",
    TIMED_OUT: "the command took too long",
    130: "interrupted by SIGINT",
    143: "ended by SIGTERM",
}
_BROKEN = (1, 3, ENGINE_FAILED)
"""Ends that no job of the contract is meant to have."""

_STEP = re.compile(r"in step (\w+): |step '?(\w+)'? of backend|watch\.step\(\s*\"(\w+)\"")
"""Where a message or a traceback names the step."""


def named(code: int) -> str:
    """An exit code of runcommit's and what it means."""
    return f"{code} ({_MEANS[code]})" if code in _MEANS else str(code)


def broken_step(code: int, stderr: str) -> str:
    """The step that broke down instead of answering the job; empty if none did."""
    steps = [next(filter(None, names)) for names in _STEP.findall(stderr)]
    return steps[-1] if steps and code in _BROKEN else ""
