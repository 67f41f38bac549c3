"""A real Bazel, and a workspace to build with it.

The Bazel is the one that ``RUNCOMMIT_BAZEL`` names, else the one that ``scripts/test`` put into
the checkout (:mod:`tests.bazel_prefix`). ``RUNCOMMIT_RULES_OCI`` names the folder of a real
rules_oci; without it a stand-in serves (``tests/bazel/rules_oci``).
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core.testing.bases import busybox_layer
from tests import host_session, images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.hosts import Host

TOP = Path(__file__).parent.parent
HERE = TOP / "tests/bazel"
RULES_OCI = "RUNCOMMIT_RULES_OCI"
BUSYBOX = {"Env": ["PATH=/bin", "BASE=its own"], "Cmd": ["serve", "two words"]}
STUBBORN = {
    "Entrypoint": ["/bin/sh", "-c", "echo the entrypoint swallowed the command; exit 9"],
    "Cmd": ["swallowed"],
    "User": "user",
    "WorkingDir": "/data",
    "Volumes": {"/data": {}},
    "Env": ["PATH=/bin"],
    "Labels": {"one": "two"},
}


def bazel_program() -> Path:
    """The Bazel to test with.

    Raises:
        LookupError: there is none.

    """
    named = os.environ.get("RUNCOMMIT_BAZEL")
    program = Path(named) if named else TOP / ".bazel/bin/bazel"
    if not os.access(program, os.X_OK):
        raise LookupError(
            f"no Bazel at {program}: scripts/test makes one (`scripts/bazel-prefix .bazel` says "
            "why it could not), or let RUNCOMMIT_BAZEL name yours"
        )
    return program


@dataclass(frozen=True, slots=True)
class Built:
    """How a command of Bazel ended; ``log`` is its standard error, actions' output included."""

    returncode: int
    stdout: str
    log: str
    ran: tuple[str, ...]
    """The mnemonics of the actions that were executed, not taken from a cache."""
    runners: tuple[str, ...] = ()
    """What executed each of them: ``local``, ``remote``, …"""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with a MODULE.bazel, the server that builds it, the host that actions run on."""

    folder: Path
    bazel: Path
    startup: tuple[str, ...]
    host: Host | None = None

    def on(self, host: Host) -> Workspace:
        """The same workspace with the engine of another host."""
        return replace(self, host=host)

    def start(
        self, *words: str | Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start ``bazel VERB …``; the options are Popen's."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*self._launcher(), str(self.bazel), *self.startup, *map(str, words)],
            **{
                "cwd": self.folder,
                "env": {**self._env(), **(env or {})},
                "stdin": subprocess.DEVNULL,
                "stdout": pipe,
                "stderr": pipe,
                "text": True,
            }
            | options,
        )

    def run(
        self,
        verb: str,
        *words: str | Path,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> Built:
        """Run a command of Bazel to its end; fail the test when it fails."""
        events = self.folder / "execution.json"
        flags = ["--color=no", "--curses=no", "--noshow_progress", *self._flags()]
        if verb == "build":
            flags.append(f"--execution_log_json_file={events}")
        events.unlink(missing_ok=True)
        with self.start(verb, *flags, *words, env=env) as process:
            try:
                stdout, log = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode:
            command = " ".join(map(str, (verb, *words)))
            raise AssertionError(f"bazel {command}: exit code {process.returncode}\n{stdout}{log}")
        executed = list(_executed(events))
        ran = tuple(spawn["mnemonic"] for spawn in executed)
        runners = tuple(spawn["runner"] for spawn in executed)
        return Built(process.returncode, stdout, log, ran, runners)

    def build(self, *words: str | Path, **options: Any) -> Built:
        return self.run("build", *words, **options)

    def output(self, path: str) -> Path:
        """What a target made, below bazel-bin."""
        return self.folder / "bazel-bin" / path

    def text(self, path: str) -> str:
        return self.output(path).read_text().strip()

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{path}: {old!r} stands there {text.count(old)} times"
        file.write_text(text.replace(old, new))

    def _launcher(self) -> tuple[str, ...]:
        return self.host.launcher if self.host else ()

    def _env(self) -> dict[str, str]:
        if self.host:
            program = Path(self.host.python).parent
            return {**self.host.env, "PATH": f"{program}:{self.host.env['PATH']}"}
        return {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

    def _flags(self) -> list[str]:
        backend = self.host.backend if self.host else "none"
        return [f"--@runcommit//bazel:backend={backend}"]


@contextlib.contextmanager
def workspace(folder: Path, host: Host | None = None) -> Iterator[Workspace]:
    """Copy the tests' workspace into ``folder`` and build there, with a server of its own."""
    root = folder / "workspace"
    folder.mkdir(exist_ok=True)
    shutil.copytree(HERE / "workspace", root)
    module = _copy_of_checkout(folder / "runcommit")
    rules_oci = Path(os.environ.get(RULES_OCI, HERE / "rules_oci"))
    shutil.copytree(rules_oci, folder / "rules_oci", symlinks=True)
    _write_bases(root / "bases")
    overrides = {"runcommit": module, "rules_oci": folder / "rules_oci"}
    lines = [f"common --override_module={name}={path}" for name, path in overrides.items()]
    (root / ".bazelrc").write_text("\n".join(lines) + "\n")
    if host:
        host_session.give(pwd.getpwuid(Path(host.home).stat().st_uid), folder)
    startup = (f"--output_user_root={folder / 'out'}", "--nohome_rc", "--max_idle_secs=900")
    made = Workspace(root, _bazel_for(host, folder), startup, host)
    try:
        yield made
    finally:
        with made.start("shutdown") as process:
            process.communicate(timeout=60)


def _bazel_for(host: Host | None, folder: Path) -> Path:
    """The Bazel, or another one where the host's user cannot reach it: below root's home, say."""
    bazel = bazel_program()
    if host is None or not host.run("test", "-x", bazel, check=False).returncode:
        return bazel
    made = subprocess.run([TOP / "scripts/bazel-prefix", folder / "bazel"], check=False)
    assert made.returncode == 0, "no Bazel could be made for a user without rights"
    return folder / "bazel/bin/bazel"


def _copy_of_checkout(folder: Path) -> Path:
    """What git has of this checkout and the working tree's changes, readable for every user."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (TOP / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, folder / name)
    return folder


def _write_bases(folder: Path) -> None:
    layer = busybox_layer()
    busybox = images.image(layer, compression="gzip", settings=BUSYBOX)
    stubborn = images.image(layer, compression="gzip", settings=STUBBORN)
    foreign = images.image(layer, compression="gzip", architecture="arm64")
    for name, image in {"busybox": busybox, "stubborn": stubborn, "arm64": foreign}.items():
        images.write_archive(folder / f"{name}.oci.tar", images.oci_files(image))
        images.write_archive(folder / f"{name}.docker.tar", images.legacy_files(image))
    images.write_archive(folder / "busybox.hybrid.tar", images.hybrid_files(busybox))
    (folder / "file.tar").write_bytes(images.layer({"srv/file": b"from a tar\n"}))


def _executed(events: Path) -> Iterator[dict[str, Any]]:
    """What ran, from an execution log: JSON objects one after the other."""
    text = events.read_text() if events.is_file() else ""
    decoder = json.JSONDecoder()
    place = 0
    while (place := len(text) - len(text[place:].lstrip())) < len(text):
        spawn, place = decoder.raw_decode(text, place)
        if not spawn.get("cacheHit"):
            yield spawn
