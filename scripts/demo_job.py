"""What scripts/demo shows: one job, every engine, the same layer."""
# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import bases
from tests.hosts import Host, session

COMMANDS = (
    "echo new > /opt/added",
    "echo changed >> /etc/issue",
    "rm -r /usr/share/doc/bash",
    "chmod 700 /srv",
    "ln -s /opt/added /usr/local/link",
)


def main() -> int:
    """Return 0 when all engines agree, else 1."""
    with tempfile.TemporaryDirectory(dir=session().shared) as name:
        folder = Path(name)
        say("making a base image: debootstrap --variant=minbase, as an OCI layout (about 30 s)")
        base = bases.debian(folder / "debian")
        layers = {host.name: make_layer(host, base, folder) for host in session().hosts.values()}
    say("\nthe diff_ids:")
    for engine, diff_id in layers.items():
        say(f"  {engine:8} {diff_id}")
    if len(set(layers.values())) != 1:
        say("they DIFFER")
        return 1
    say("they agree")
    return 0


def make_layer(host: Host, base: bases.Base, folder: Path) -> str:
    """Run the job on one engine, list its layer, return the layer's diff_id."""
    layer = folder / f"{host.name}.tar"
    arguments = ["run", "-b", host.backend, f"oci:{base.path.name}:{bases.NAME}", "-o", layer.name]
    for command in COMMANDS:
        arguments += ["-c", command]
    say(f"\n$ runcommit {shlex.join(arguments)}".replace(" -c ", " \\\n    -c "))
    say(host.runcommit(*arguments, cwd=folder).stdout.rstrip())
    say(f"$ tar tvf {layer.name}")
    subprocess.run(["tar", "tvf", layer.name], cwd=folder, check=True)
    return f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"


def say(line: str) -> None:
    """Write a line at once, as tar writes to the same stream."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
