"""The environment of the tests: home, cache, configuration and engines are their own.

A test must neither read nor change what belongs to the person who starts it.  So each process of
the suite that runs tests replaces its variables by those of :func:`environment`, before any test is
collected.  What the caller's may reach it by is a short list; a variable that nobody has thought of
is not on it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.host_engines import container_store
from tests.host_session import Names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PASSED = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "CI")
"""Where programs are, where temporary files go, and that nobody watches."""

OWN = ("COVERAGE_", "RUNCOMMIT_TEST_", "RUNCOMMIT_BAZEL", "RUNCOMMIT_RULES_OCI")
"""What variables of the suite itself begin with."""


def environment(caller: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Variables that lead every program to ``folder``, which is filled, and to no engine.

    No daemon of docker's listens there; podman and buildah have an empty store.
    """
    home, runtime, store = folder / "home", folder / "run", folder / "containers"
    for made in (home, runtime, store):
        made.mkdir(parents=True)
    runtime.chmod(0o700)
    return {
        **{name: value for name, value in caller.items() if _passes(name)},
        **container_store(store, runtime, "vfs", Names.random()),
        "DOCKER_HOST": f"unix://{runtime}/no-docker.sock",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": str(runtime),
    }


def _passes(name: str) -> bool:
    return name in PASSED or name.startswith(OWN)


def enter(folder: Path) -> None:
    """Make the environment this process's, and that of all that it starts."""
    own = environment(os.environ, folder)
    os.environ.clear()
    os.environ.update(own)
