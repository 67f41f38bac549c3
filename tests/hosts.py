"""The hosts that engine tests run on: an engine, how it stores, who runs it.

``scripts/test`` brings them up (:mod:`tests.with_hosts`) and names their description in the
environment variable ``RUNCOMMIT_TEST_HOSTS``; this module reads it.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import guardian

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "RUNCOMMIT_TEST_HOSTS"


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What is known of a host before it is up; ``naive`` storage has no layers of its own.

    ``narrow`` hosts run the contract, and those tests that name them or their backend: they drive
    an engine that other hosts have as well.  The engine of a ``far`` host is on another machine;
    only tests that name it run there.
    """

    name: str
    backend: str
    driver: str = "overlay"
    rootless: bool = False
    isolation: str = ""
    narrow: bool = False
    far: bool = False

    @property
    def program(self) -> str:
        """The engine's own command line."""
        return self.backend.removesuffix("-api")

    @property
    def naive(self) -> bool:
        return self.driver == "vfs"

    @property
    def lane(self) -> str:
        """Where its tests stand in a row; there is only one other machine."""
        return "far" if self.far else self.name


SPECS = (
    HostSpec("docker", "docker", driver="overlay2"),
    HostSpec("podman", "podman"),
    HostSpec("podman-rootless", "podman", rootless=True),
    HostSpec("podman-vfs", "podman", driver="vfs"),
    HostSpec("buildah", "buildah", isolation="oci"),
    HostSpec("buildah-chroot", "buildah", isolation="chroot"),
    HostSpec("buildah-rootless", "buildah", rootless=True, isolation="rootless"),
    HostSpec("buildah-rootless-chroot", "buildah", rootless=True, isolation="chroot"),
    HostSpec("buildah-vfs", "buildah", driver="vfs", isolation="oci"),
    HostSpec("podman-api", "podman-api", narrow=True),
    HostSpec("podman-api-rootless", "podman-api", rootless=True, narrow=True),
    HostSpec("native", "native", narrow=True),
    HostSpec("native-rootless", "native", rootless=True, narrow=True),
    HostSpec("docker-tcp", "docker", driver="overlay2", far=True),
    HostSpec("docker-ssh", "docker", driver="overlay2", far=True),
    HostSpec("podman-ssh", "podman", far=True),
)


def key(lane: str, name: str) -> str:
    """What the host of a lane is called among all that are up; a host's own lane has its name."""
    return f"{lane}:{name}" if lane not in ("", name) else name


def spec_of(called: str) -> HostSpec:
    """What is known of the host with a key.

    Raises:
        LookupError: there is none of that name.

    """
    for spec in SPECS:
        if spec.name == name_of(called):
            return spec
    raise LookupError(f"no host is called {called!r}: {', '.join(spec.name for spec in SPECS)}")


def name_of(called: str) -> str:
    """The name of the host with a key, without the lane."""
    return called.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Host:
    """A host that is up.

    ``env`` is the whole environment of what runs there, nothing is inherited; ``launcher`` is
    what precedes every command (it ends in exec, so signals reach the command); ``containers`` is
    where the engine keeps its list of containers, as a folder of folders or a JSON array.
    """

    spec: HostSpec
    launcher: tuple[str, ...]
    python: str
    home: str
    containers: str
    env: Mapping[str, str]
    observe: Callable[[list[str], int], None] = lambda _arguments, _returncode: None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def backend(self) -> str:
        return self.spec.backend

    @property
    def program(self) -> str:
        return self.spec.program

    @property
    def rootless(self) -> bool:
        return self.spec.rootless

    @property
    def naive(self) -> bool:
        return self.spec.naive

    def popen(
        self,
        *argv: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command; ``env`` is added to the host's own, other options are Popen's."""
        return subprocess.Popen(
            [*self.launcher, *map(str, argv)],
            env={**self.env, **(env or {})},
            cwd=cwd or self.home,
            **options,
        )

    def run(
        self,
        *argv: str | Path,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        stdin: str = "",
        timeout: float = 150,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and capture what it says; fail the test when it fails.

        One that has not ended after ``timeout`` seconds is ended with all that it has started, and
        the failure names them.
        """
        command = " ".join(map(str, argv))
        pipe = subprocess.PIPE
        with self.popen(
            *argv, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        ) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired:
                running = "\n".join(guardian.end_tree(process.pid))
                said = "".join(process.communicate(timeout=10))
                raise AssertionError(
                    f"{self.name}: {command}: no end after {timeout:g} s\n{said}"
                    f"there ran\n{running}"
                ) from None
            except BaseException:
                guardian.end_tree(process.pid)
                raise
        done = subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)
        if check and done.returncode:
            message = f"{self.name}: {command}: exit code {done.returncode}\n{stdout}{stderr}"
            raise AssertionError(message)
        return done

    def runcommit(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the installed command line (rootless: from the wheel) with this host's backend."""
        done = self.run(Path(self.python).with_name("runcommit"), *arguments, **options)
        self.observe([str(argument) for argument in arguments], done.returncode)
        return done

    def leftovers(self) -> set[str]:
        """The ids of all containers, finished ones and buildah's working containers included."""
        path = Path(self.containers)
        if path.is_dir():
            return {entry.name for entry in path.iterdir()}
        # newer containers/storage lists those of `run --rm` and the like beside the others
        lists = (path, path.with_name(f"volatile-{path.name}"))
        texts = [file.read_bytes() for file in lists if file.exists()]
        return {entry["id"] for text in texts for entry in json.loads(text or b"[]")}


@dataclass(frozen=True, slots=True)
class Session:
    """All hosts of one run and the folder that every user may write to."""

    shared: Path
    hosts: Mapping[str, Host]
    """By :func:`key`."""

    def host(self, called: str) -> Host:
        """The host with a key; one that was brought up without a lane serves all lanes."""
        return self.hosts.get(called) or self.hosts[name_of(called)]

    def save(self, path: Path) -> None:
        hosts = [
            {
                "key": called,
                "name": host.name,
                "launcher": list(host.launcher),
                "python": host.python,
                "home": host.home,
                "containers": host.containers,
                "env": dict(host.env),
            }
            for called, host in self.hosts.items()
        ]
        path.write_text(json.dumps({"shared": str(self.shared), "hosts": hosts}, indent=1))


@functools.cache
def session() -> Session:
    """Read the session that ``scripts/test`` has brought up.

    Raises:
        LookupError: there is none, or its description is gone.

    """
    path = os.environ.get(VARIABLE, "")
    if not Path(path).is_file():
        raise LookupError(
            f"{VARIABLE} names no description of test hosts ({path!r}): "
            "tests on real engines run through scripts/test [PYTEST ARGUMENT…]"
        )
    raw = json.loads(Path(path).read_bytes())
    hosts = {entry.pop("key"): _host(entry) for entry in raw["hosts"]}
    return Session(Path(raw["shared"]), hosts)


def _host(entry: dict[str, Any]) -> Host:
    spec = spec_of(entry.pop("name"))
    return Host(spec, launcher=tuple(entry.pop("launcher")), **entry)
