"""Where contract tests run the command line: here, or wherever a test set-up puts it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core.engine import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command line ended; ``arguments`` are those of ``runcommit``."""

    returncode: int
    stdout: str
    stderr: str
    arguments: tuple[str, ...] = ()

    @property
    def diff_id(self) -> str:
        """The one diff_id that was printed; fails the test when it is not one."""
        assert self.returncode == 0, f"exit code {self.returncode}\n{self.stderr}"
        assert self.stdout.count("\n") == 1, f"expected one diff_id, got {self.stdout!r}"
        return self.stdout.strip()


def _unobserved(_arguments: Sequence[str], _returncode: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A backend, a folder that its user may write to, and a way to run command lines there.

    ``command`` precedes the arguments of ``runcommit``; ``resources`` lists what the engine
    holds (containers and images, by name or id), so that a test sees what was left behind;
    ``isolated`` is false where the engine cannot keep a job off the network; ``observe`` is told
    the arguments and the exit code of everything that ran.
    """

    backend: str
    folder: Path
    command: tuple[str, ...]
    env: Mapping[str, str]
    resources: Callable[[], set[str]]
    isolated: bool = True
    observe: Callable[[Sequence[str], int], object] = _unobserved

    def run(self, *arguments: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Ran:
        """Run ``runcommit`` to its end."""
        words = tuple(os.fspath(item) for item in arguments)
        done = process.attempt(*self.command, *words, env={**self.env, **(env or {})})
        self.observe(words, done.returncode)
        return Ran(done.returncode, done.output, done.errors, words)

    def job(
        self,
        base: str | os.PathLike[str],
        *arguments: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
    ) -> Ran:
        """``runcommit run`` on a base with this bench's backend."""
        return self.run("run", *self.choice, base, *arguments, env=env)

    @property
    def choice(self) -> tuple[str, ...]:
        """The options of every job on this bench: what is tested must run."""
        network = ("--network", "none") if self.isolated else ()
        return ("-b", self.backend, *network, "--no-cache")


def local_bench(backend: str, folder: Path, resources: Callable[[], set[str]]) -> Bench:
    """A bench on this machine with this interpreter."""
    return Bench(
        backend=backend,
        folder=folder,
        command=(sys.executable, "-m", "runcommit_core"),
        env=dict(os.environ),
        resources=resources,
    )


@contextlib.contextmanager
def started(
    bench: Bench, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[process.Running, Path]]:
    """A command line that runs beside the test, and the file with all that it says."""
    said = bench.folder / "said"
    with process.started(
        *bench.command, *arguments, env={**bench.env, **(env or {})}, log=said
    ) as running:
        yield running, said


def processes_with(mark: str) -> list[str]:
    """The command lines of this machine's processes that hold ``mark``, as far as one may look."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().decode(errors="replace").replace("\0", " "))
    return [line for line in lines if mark in line]


def entries(layer: Path) -> dict[str, tarfile.TarInfo]:
    """The members of a layer by name, read by an implementation that is not ours."""
    with tarfile.open(layer) as tar:
        return {member.name: member for member in tar}


def content(layer: Path, name: str) -> bytes:
    """The bytes of one regular file of a layer."""
    with tarfile.open(layer) as tar:
        file = tar.extractfile(name)
        assert file is not None, f"{name} is no regular file"
        return file.read()


def image_config(layout: Path) -> dict[str, Any]:
    """The config of the one image in an OCI layout."""
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(_blob(layout, index["manifests"][0]["digest"]))
    config: dict[str, Any] = json.loads(_blob(layout, manifest["config"]["digest"]))
    return config


def _blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()
