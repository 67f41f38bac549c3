"""Running a container to its end while its output comes, live.

podman-py neither attaches (``NotImplementedError``) nor starts with output: its logs go through a
log driver, which stores all output once more.  So the container is attached to before it starts,
which makes the service prepare it, and the command's streams are read from there.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, cast

from runcommit_core import CommandTimeoutError, EngineError, process
from runcommit_podman_api.asking import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runcommit_podman_api.wire import Wire

_STREAMS = {"stream": "true", "stdout": "true", "stderr": "true"}
_STOPPED = {"condition": ["stopped", "exited"], "interval": "5ms"}
"""Without an interval the service looks only four times a second."""


def run_attached(
    wire: Wire, name: str, console: Callable[[bytes], None], timeout: float | None
) -> tuple[int, str]:
    """Start a created container and wait for it: its exit code and the end of its output.

    Raises CommandTimeoutError after ``timeout`` seconds, when it has been killed.
    """
    from podman.api import stream_frames

    path = f"/containers/{name}"
    tail = bytearray()
    with told("run the command"), _deadline(wire, path, timeout) as is_over:
        streams = wire.post(f"{path}/attach", params=_STREAMS, stream=True)
        with contextlib.closing(streams):
            streams.raise_for_status()
            wire.post(f"{path}/start").raise_for_status()
            for chunk in cast("Iterator[bytes]", stream_frames(streams)):
                console(chunk)
                tail += chunk
                del tail[: -process.TAIL_BYTES]
        waited = wire.post(f"{path}/wait", params=_STOPPED)
        waited.raise_for_status()
    said = tail.decode(errors="replace")
    if is_over():
        raise CommandTimeoutError(f"the command did not end within {timeout:g} s", output=said)
    return int(waited.text), said


@contextlib.contextmanager
def _deadline(wire: Wire, path: str, timeout: float | None) -> Iterator[Callable[[], bool]]:
    """Kill the container when the time is over, which ends its streams; yields whether it was."""
    over = threading.Event()

    def kill() -> None:
        over.set()
        with contextlib.suppress(EngineError), told("kill the container"):
            wire.post(f"{path}/kill", params={"signal": "KILL"}).raise_for_status()

    if timeout is None:
        yield over.is_set
        return
    timer = threading.Timer(timeout, kill)
    timer.daemon = True
    timer.start()
    try:
        yield over.is_set
    finally:
        timer.cancel()
