"""Services of podmans newer than this machine's, with stores of their own."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import process
from runcommit_core.testing import Bench
from tests import host_engines, host_session

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHED = "localhost/runcommit/base:"
PREFIX = Path(__file__).parent.parent / ".podman"


@contextlib.contextmanager
def service(suite: str) -> Iterator[Bench]:
    """A bench whose jobs talk to a service of that Debian suite's podman.

    Raises:
        LookupError: it is not there.

    """
    program = PREFIX / suite / "bin/podman"
    if not (PREFIX / "made-from").exists():
        raise LookupError(f"nothing in {PREFIX}: scripts/test makes it, or says why it could not")
    names = host_session.Names.random()
    with host_session.session_folder(names) as folder:
        runtime, home = folder / "run", folder / "home"
        for made in (runtime, home):
            made.mkdir(mode=0o700)
        address = f"unix://{folder}/socket"
        own = {
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PATH": f"{program.parent}:{host_session.PATH}",
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
            "XDG_RUNTIME_DIR": str(runtime),
            **host_engines.container_store(folder, runtime, "overlay", names),
        }
        serving = (str(program), "system", "service", "--time=0", address)
        with process.started(*serving, log=folder / "log", env=own) as running:
            while not (folder / "socket").exists():
                assert running.poll() is None, (folder / "log").read_text()
                time.sleep(0.02)
            client = (str(program), "--remote", f"--url={address}")
            path = f"{program.parent}:{os.environ['PATH']}"
            env = {"HOME": str(home), "PATH": path, "CONTAINER_HOST": address}
            yield Bench(
                backend="podman-api",
                folder=folder,
                command=(sys.executable, "-m", "runcommit_core"),
                env=env,
                resources=functools.partial(_resources, *client),
            )


def _resources(*client: str) -> set[str]:
    containers = process.output(*client, "ps", "--all", "--quiet").split()
    names = process.output(*client, "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    return {*containers, *(name for name in names if not name.startswith(CACHED))}
