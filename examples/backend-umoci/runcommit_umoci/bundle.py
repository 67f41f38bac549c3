"""The bundle that runc runs: ``config.json`` says of a job what docker would."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import identity_of, run_environment

if TYPE_CHECKING:
    from runcommit_core import Job, Mount

_CPU_PERIOD = 100_000
_CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID"),
        *("SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
]
_HIDDEN = ("acpi", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "scsi")
_FIXED = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_NODEV = ["nosuid", "noexec", "nodev"]
_DNS = ("/etc/resolv.conf", "/etc/hosts")


def write_bundle(job: Job, place: Path) -> None:
    """Write ``config.json`` for a job into ``place``, its root being ``merged`` there."""
    config = json.loads(job.transport.config)["config"]
    user = identity_of(job)
    env = run_environment(job, home=user.home)
    network = job.run.network or "host"
    kinds = ["pid", "ipc", "uts", "mount", *(["network"] if network == "none" else [])]
    bundle = {
        "ociVersion": "1.0.2",
        "root": {"path": "merged"},
        "hostname": "runcommit",
        "process": {
            "args": list(job.argv),
            "env": [f"{name}={value}" for name, value in env.items()],
            "cwd": job.run.workdir or config.get("WorkingDir") or "/",
            "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
            "capabilities": _capabilities(root=user.uid == 0),
        },
        "mounts": [*_system(network), *map(_mount, job.run.mounts)],
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "maskedPaths": [*(f"/proc/{name}" for name in _HIDDEN), "/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in _FIXED],
            **_limits(job),
        },
    }
    path = place / "config.json"
    path.touch(mode=0o600)  # the values of variables are in it
    path.write_text(json.dumps(bundle))


def _capabilities(*, root: bool) -> dict[str, list[str]]:
    """Docker's: another user than root has them in reach of setuid programs alone."""
    held = ("bounding", "effective", "permitted") if root else ("bounding",)
    return dict.fromkeys(held, _CAPABILITIES)


def _limits(job: Job) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    resources: dict[str, Any] = {"devices": [{"allow": True, "access": "rwm"}]}
    if job.run.memory:
        resources["memory"] = {"limit": job.run.memory, "swap": job.run.memory}
    if job.run.cpus:
        quota = round(job.run.cpus * _CPU_PERIOD)
        resources["cpu"] = {"period": _CPU_PERIOD, "quota": quota}
    return {"resources": resources, "cgroupsPath": f"/runcommit-umoci/{job.name}"}


def _system(network: str) -> list[dict[str, Any]]:
    """What every container has, and the machine's names of hosts beside the machine's network."""
    found = [
        _of("proc", "/proc"),
        _of("tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _of("devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        _of("tmpfs", "/dev/shm", *_NODEV, "mode=1777", "size=65536k"),  # noqa: S108
        _of("mqueue", "/dev/mqueue", *_NODEV),
    ]
    if network == "none":
        return [*found, _of("sysfs", "/sys", *_NODEV, "ro")]
    # a network of the machine's own shows no sysfs of another
    found.append(_bind("/sys", "/sys", "ro", *_NODEV))
    return found + [_bind(path, path, "ro") for path in _DNS if Path(path).is_file()]


def _mount(mount: Mount) -> dict[str, Any]:
    if mount.source:
        return _bind(mount.source, mount.target, "ro" if mount.read_only else "rw")
    size = [f"size={mount.size}"] if mount.size else []
    mode = 0o1777 if mount.mode is None else mount.mode
    return _of("tmpfs", mount.target, "nosuid", "nodev", f"mode={mode:o}", *size)


def _bind(source: str, target: str, *options: str) -> dict[str, Any]:
    chosen = ["rbind", "rprivate", *options]
    return {"type": "bind", "source": source, "destination": target, "options": chosen}


def _of(kind: str, target: str, *options: str) -> dict[str, Any]:
    return {"type": kind, "source": kind, "destination": target, "options": list(options)}
