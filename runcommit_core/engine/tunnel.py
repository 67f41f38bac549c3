"""A way to the loopback registry from another machine: a port there that ssh forwards to us."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.engine.interruption import pause
from runcommit_core.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PATIENCE_SECONDS = 60.0
_ALLOCATED = re.compile(r"Allocated port (\d+) for remote forward")
_OPTIONS = (
    # nobody is asked for a password or about a key
    "BatchMode=yes",
    "ConnectTimeout=30",
    "ExitOnForwardFailure=yes",
    # a shared connection would keep the port after us
    "ControlMaster=no",
    "ControlPath=none",
    # a dead connection is noticed within a minute
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
)


def tunnel_command(ssh: Sequence[str], port: int | str, said: Path | str) -> tuple[str, ...]:
    """The command that forwards a free port of the other machine's loopback to ``port`` of ours.

    ``said`` is the file for what it has to say; its name tells ``runcommit prune`` whose it is.
    """
    options = (word for option in _OPTIONS for word in ("-o", option))
    forward = ("-R", f"127.0.0.1:0:127.0.0.1:{port}")
    return ("ssh", "-N", "-T", *options, "-E", str(said), *forward, *ssh)


@contextlib.contextmanager
def tunnel(ssh: Sequence[str], port: int, said: Path) -> Iterator[int]:
    """The other machine's port that leads to ``port``, for the length of the block.

    Raises EngineError when ssh cannot get there, or the other machine forwards nothing.
    """
    argv = tunnel_command(ssh, port, said)
    said.touch()
    with process.started(*argv, log=said.with_suffix(".out")) as running:
        yield _allocated(argv, running, said)


def _allocated(argv: Sequence[str], running: process.Running, said: Path) -> int:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        code = running.poll()
        words = said.read_text(errors="replace")
        if allocated := _ALLOCATED.search(words):
            return int(allocated[1])
        if code is not None:
            raise process.failure(argv, code, words)
        if time.monotonic() > end:
            raise EngineError(
                f"ssh made no tunnel within {_PATIENCE_SECONDS:g} s", argv=argv, output=words
            )
        pause(0.005)
