"""The service of a job: one that runs already, maybe behind ssh, or one of the job's own.

What is started here ends with the job, by its process id.
"""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import EngineError, EngineOptions, Job, process, services
from runcommit_podman_api.wire import Wire, told
from runcommit_podman_service import tunnel
from runcommit_podman_service.address import PROGRAM, Address, address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_READY_SECONDS = 30.0
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


def check_installed() -> None:
    """Raise EngineError where podman-py is not installed."""
    if importlib.util.find_spec("podman") is None:
        extra = "pip install runcommit[podman-api]"
        raise EngineError(f"the Python package podman (podman-py) is not installed: {extra}")


def service_of(job: Job) -> Service:
    """The job's service, which the first call starts or finds.

    Raises EngineError when there is none to talk to.
    """
    check_installed()
    return services.shared(job, lambda: _opened(job.engine, job.id, job.folder, job.cleanup))


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
    path = stack.enter_context(services.socket_path(folder, name))
    said = folder / f"service-{name}.log"
    argv = tunnel.command(address, path) if address else _private(engine, path)
    try:
        stack.enter_context(services.serving(*argv, path=path, log=said, patience=_READY_SECONDS))
        return Service(_wire(f"http+unix://{path}", stack), address)
    except EngineError as error:
        if address is None or not said.exists():
            raise
        raise tunnel.failure(address, error, said.read_text(errors="replace")) from error


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
    return (*engine.command(PROGRAM), "system", "service", "--time=0", f"unix://{path}")
