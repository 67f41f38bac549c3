"""What a job's container is, written down for the helper program, and how its command ended."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import identity_of, run_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core import Job

_HOSTS = "127.0.0.1\tlocalhost runcommit\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_OF_THE_MACHINE = {"/etc/hosts": _HOSTS, "/etc/resolv.conf": ""}


def write(
    job: Job,
    place: Path,
    lowers: Sequence[str],
    *,
    name: str = "run",
    cgroups: Sequence[str] = (),
    env: dict[str, str] | None = None,
    interactive: bool = False,
) -> None:
    """Write the file ``name`` into the job's folder ``place``.

    ``env`` is what the container has where it is not the job's.  ``interactive`` is a shell in it
    after its command has ended.
    """
    config = json.loads(job.transport.config)["config"]
    user = identity_of(job)
    network = job.run.network or "host"
    told = {
        "argv": job.argv,
        "env": run_environment(job, home=user.home) if env is None else env,
        "uid": user.uid,
        "gid": user.gid,
        "groups": user.groups,
        "workdir": job.run.workdir or config.get("WorkingDir") or "/",
        "lowers": list(lowers),
        "mounts": [_mount(each) for each in job.run.mounts],
        "files": _write_files(place / "etc", network),
        "own_network": network == "none",
        "cgroups": list(cgroups),
        "interactive": interactive,
        "again": interactive,
    }
    path = place / name
    with open(path, "w", opener=_privately) as file:
        json.dump(told, file)


def read(place: Path, name: str = "run") -> dict[str, Any]:
    """What :func:`write` has written."""
    told: dict[str, Any] = json.loads((place / name).read_text())
    return told


def exit_code(place: Path, name: str = "run") -> int | None:
    """How the command ended; None where it was not started."""
    try:
        return int((place / f"{name}.ended").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _mount(mount: Any) -> dict[str, Any]:
    return {
        name: getattr(mount, name) for name in ("source", "target", "read_only", "size", "mode")
    }


def _write_files(folder: Path, network: str) -> dict[str, str]:
    """Files that stand for the base's own during the run, as all engines have them."""
    folder.mkdir(exist_ok=True)
    files = {}
    for target, text in _OF_THE_MACHINE.items():
        of_machine = Path(target)
        if network == "host" and of_machine.is_file():
            text = of_machine.read_text(errors="surrogateescape")  # noqa: PLW2901
        files[target] = text
    files["/etc/hostname"] = "runcommit\n"
    for target, text in files.items():
        path = folder / Path(target).name
        path.write_text(text, errors="surrogateescape")
        path.chmod(0o644)  # whatever the caller's umask is
    return {target: os.fspath(folder / Path(target).name) for target in files}


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
