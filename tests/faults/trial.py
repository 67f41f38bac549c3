"""One job with a fault in it on a host, ``runcommit prune`` after it, and what there is then."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import failing
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from tests.bases import Base
    from tests.hosts import Host

LONGEST_SECONDS = 60.0
"""When a job is given up that does not end."""

COMMANDS = {
    "quick": "echo > /new",
    "patient": "trap 'exit 1' TERM INT; echo > /new; sleep 1 & wait",
    "stubborn": "trap '' TERM INT; echo > /new; sleep 6; true",
}


@dataclass(frozen=True)
class Fault:
    """What happens, where, for which time, at which verb of the engine's; see ``failing``."""

    kind: str
    point: str
    number: int = 1
    word: str = "-"
    command: str = "quick"

    def __str__(self) -> str:
        return f"{self.kind} at {self.point} {self.word} {self.number} ({self.command})"


@dataclass
class Outcome:
    """What a job and ``prune`` left: names of things, empty lists where all is well."""

    fault: Fault
    code: int | None
    seconds: float
    said: str
    leftovers: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    unpruned: list[str] = field(default_factory=list)
    wrong: bool = False

    @property
    def struck(self) -> bool:
        return self.code != 0

    @property
    def problems(self) -> list[str]:
        """All that must not be."""
        found = [f"left for good: {name}" for name in self.leftovers]
        found += [f"partial file: {name}" for name in self.partial]
        found += [f"said that it cleaned up, but left: {name}" for name in self.unpruned]
        found += ["wrong layer"] if self.wrong else []
        found += ["a traceback"] if "Traceback" in self.said else []
        found += ["it did not end"] if self.code is None else []
        return found


class Trials:
    """Trials on a host in a folder of its own, each beside the result of a job without a fault."""

    def __init__(self, host: Host, folder: Path, base: Base) -> None:
        self._host, self._folder, self._base = host, folder / host.name, base
        host.run("mkdir", "-p", *(self._folder / name for name in ("cache/jobs", "tmp", "out")))
        host.run("chmod", "go-w", self._folder / "cache")
        self._env = {
            "RUNCOMMIT_CACHE_DIR": str(self._folder / "cache"),
            "TMPDIR": str(self._folder / "tmp"),
        }
        self._resources = host_bench(host, self._folder).resources
        done = host.runcommit(*self._job(COMMANDS["quick"], ""), env=self._env)
        self._right = done.stdout.strip()
        self._layer.unlink()
        self._before = self._resources()

    @property
    def _layer(self) -> Path:
        return self._folder / "out" / "layer.tar"

    def _job(self, command: str, mark: str) -> tuple[str, ...]:
        network = ("--network", "none") if self._host.spec.isolation != "chroot" else ()
        return (
            *("run", "-b", self._host.backend, *network, "--no-cache", self._base.ref),
            *("-c", f"{command}{mark and f'; : {mark}'}", "-o", str(self._layer)),
        )

    def run(self, fault: Fault) -> Outcome:
        """Run a job with the fault, then ``prune`` as its user would."""
        mark = f"mark{secrets.token_hex(8)}"
        outcome = self._struck(fault, mark)
        cleaned = "; cleaned up\n" in outcome.said
        left = self._left(mark)
        if cleaned:
            outcome.unpruned = left
        done = self._host.runcommit("prune", "--json", env=self._env, check=False)
        outcome.said += done.stderr
        outcome.leftovers = self._left(mark)
        if self._layer.exists():
            shown = self._host.runcommit("layer", "show", "--json", str(self._layer), check=False)
            diff_id = json.loads(shown.stdout)["diff_id"] if not shown.returncode else ""
            outcome.wrong = diff_id != self._right
            self._layer.unlink()
        self._clear()
        return outcome

    def _struck(self, fault: Fault, mark: str) -> Outcome:
        words = (fault.kind, fault.point, str(fault.number), fault.word, "--")
        said = self._folder / "said"
        with said.open("wb") as file:
            job = self._host.popen(
                self._host.python,
                failing.__file__,
                *words,
                *self._job(COMMANDS[fault.command], mark),
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        began = time.monotonic()
        code = None
        try:
            code = job.wait(LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            job.kill()
            job.wait()
        took = time.monotonic() - began
        return Outcome(fault, code, took, said.read_text(errors="replace"))

    def _left(self, mark: str) -> list[str]:
        """What is there now and was not before."""
        found = sorted(self._resources() - self._before)
        for part in ("tmp", "cache/jobs", "out"):
            paths = (self._folder / part).iterdir()
            found += [str(path) for path in paths if path != self._layer]
        found += _processes(mark)
        return found

    def _clear(self) -> None:
        """Whatever a trial left must not count for the next one."""
        self._before = self._resources()
        for part in ("tmp", "cache/jobs", "out"):
            for path in (self._folder / part).iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _processes(mark: str) -> list[str]:
    end = time.monotonic() + 2
    while found := _processes_now(mark):
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    return found


def _processes_now(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in words:
            found.append(f"process {path.parent.name}: {words[:200]}")
    return found
