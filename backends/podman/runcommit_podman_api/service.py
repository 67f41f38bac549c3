"""The service of a job: one that runs already, maybe behind ssh, or one of the job's own.

What is started here ends with the job, by its process id.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runcommit_core import EngineError, EngineOptions, Job, process
from runcommit_podman_api import tunnel
from runcommit_podman_api.address import Address, address_of
from runcommit_podman_api.asking import told
from runcommit_podman_api.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "podman"
_READY_SECONDS = 30.0
_LONGEST_SOCKET = 100
_START_IT = (
    "start it there (`systemctl enable --now podman.socket`, with --user for one that is not"
    " root's), or look at its address"
)


@dataclass(frozen=True, slots=True)
class Service:
    """A service and the way to it; one of the job's own has no address."""

    wire: Wire
    address: Address | None

    @property
    def here(self) -> bool:
        """Whether its containers surely have the files of this machine."""
        return self.address is None or self.address.here


_services: WeakKeyDictionary[contextlib.ExitStack, Service] = WeakKeyDictionary()
"""One for all jobs that are cleaned up together; their containers go before."""


def service_of(job: Job) -> Service:
    """The job's service, which the first call starts or finds.

    Raises EngineError when there is none to talk to.
    """
    stack = job.cleanup
    if stack not in _services:
        _services[stack] = _opened(job.engine, job.id, job.folder, stack)
        stack.callback(_services.pop, stack, None)
    return _services[stack]


@contextlib.contextmanager
def service_for(engine: EngineOptions) -> Iterator[Service]:
    """A service for questions that belong to no job."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="runcommit-"))
        yield _opened(engine, "questions", Path(folder), stack)


def _opened(engine: EngineOptions, name: str, folder: Path, stack: contextlib.ExitStack) -> Service:
    address = address_of(engine)
    if address is not None and not address.url.startswith("ssh:"):
        return Service(_wire(address.url, stack), address)
    path = _socket_path(folder, name, stack)
    said = folder / f"service-{name}.log"
    argv = tunnel.command(address, path) if address else _private(engine, path)
    try:
        _start(argv, path, said, stack)
        return Service(_wire(f"http+unix://{path}", stack), address)
    except EngineError as error:
        if address is None or not said.exists():
            raise
        raise tunnel.failure(address, error, said.read_text(errors="replace")) from error


def _start(argv: tuple[str, ...], path: Path, said: Path, stack: contextlib.ExitStack) -> None:
    if process.is_rehearsed():
        process.attempt(*argv)
        return
    running = stack.enter_context(process.started(*argv, log=said))
    _wait_for(path, running, argv, said)


def _wire(url: str, stack: contextlib.ExitStack) -> Wire:
    """The way to a service that has answered; what it is asked later takes as long as it takes."""
    if process.is_rehearsed():
        return Wire(url, None)
    from podman import PodmanClient

    with told(f"answer at {url}", tip=_START_IT):
        client: PodmanClient = stack.enter_context(PodmanClient(base_url=url, timeout=None))
        # no proxy stands between us and an engine
        client.api.trust_env = False
        client.api.get("/_ping", timeout=_READY_SECONDS).raise_for_status()
    return Wire(url, client)


def _private(engine: EngineOptions, path: Path) -> tuple[str, ...]:
    """A service that goes on until it is ended.

    Not with debug messages: the command that podman runs after each container then wants a
    syslog, fails without one, and every wait takes 20 s.
    """
    program, *flags = engine.command(PROGRAM)
    return (program, *flags, "system", "service", "--time=0", f"unix://{path}")


def _socket_path(folder: Path, name: str, stack: contextlib.ExitStack) -> Path:
    """A path that the kernel takes for a socket; it names the job, as all that it starts does."""
    path = folder / f"{name}.sock"
    if len(str(path)) <= _LONGEST_SOCKET:
        return path
    short = stack.enter_context(tempfile.TemporaryDirectory(prefix="runcommit-", dir="/tmp"))
    return Path(short) / path.name


def _wait_for(path: Path, running: process.Running, argv: tuple[str, ...], said: Path) -> None:
    end = time.monotonic() + _READY_SECONDS
    while not _listens(path):
        if (code := running.poll()) is not None:
            raise process.failure(argv, code, said.read_text(errors="replace")[-2000:])
        if time.monotonic() > end:
            raise EngineError(
                f"podman's service is not there after {_READY_SECONDS:g} s", argv=argv
            )
        time.sleep(0.005)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
