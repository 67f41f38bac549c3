"""The key of a result: a hash of everything that can change it.

Each field of the options is classified here as part of the key or not; a test fails for one that
is not classified, and until then it is part of the key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from runcommit_core.cache.inputs import tree_digest
from runcommit_core.version import FORM

if TYPE_CHECKING:
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Mount

KEY_VERSION: Final = 2
"""Changes with whatever is below, so that old results are not found."""

Rule = Callable[[Any, "Job"], object]


def _value(value: Any, _job: Job) -> object:
    return value


def _base(base: Any, _job: Job) -> object:
    return {"config": base.config_digest, "diff_ids": base.diff_ids}


def _fields(rules: Mapping[str, Rule | None]) -> Rule:
    """A dataclass by its fields; those without a rule do not change the result."""

    def rule(options: Any, job: Job) -> object:
        names = [field.name for field in dataclasses.fields(options)]
        used = {name: rules.get(name, _value) for name in names}
        return {name: each(getattr(options, name), job) for name, each in used.items() if each}

    return rule


def _mounts(mounts: tuple[Mount, ...], job: Job) -> object:
    return [[_mount(mount, job), _source(mount, job)] for mount in mounts]


def _source(mount: Mount, job: Job) -> object:
    """What stands behind a mount: never a secret, an input's content, else no more than a name."""
    if mount.kind == "input":
        return tree_digest(mount.source, job.layer.epoch)
    return mount.source if mount.kind == "bind" else None


def _engine(engine: Any, _job: Job) -> object:
    """All engines give the same layer, but what flags make of it is their own affair."""
    return [engine.path, engine.flags] if engine.flags else None


MOUNT: Final[Mapping[str, Rule | None]] = {
    "kind": _value,
    "target": _value,
    "source": None,
    "read_only": _value,
    "size": _value,
    "mode": _value,
    "uid": _value,
    "gid": _value,
    "name": _value,
}
_mount = _fields(MOUNT)

RUN: Final[Mapping[str, Rule | None]] = {
    "env": _value,
    "user": _value,
    "workdir": _value,
    "network": _value,
    "flags": _value,
    "mounts": _mounts,
    "memory": None,
    "cpus": None,
    "timeout": None,
    "stop_timeout": None,
    "platform": None,  # the base's, or nothing on a machine of the same
}

LAYER: Final[Mapping[str, Rule | None]] = {
    "epoch": _value,
    "always": _value,
    "mtime": _value,
    "xattrs": _value,
    "excluded": _value,
    "mount_points": _value,
}

JOB: Final[Mapping[str, Rule | None]] = {
    "base": _base,
    "argv": _value,
    "run": _fields(RUN),
    "layer": _fields(LAYER),
    "engine": _engine,
    **dict.fromkeys(
        ("id", "transport", "check_base", "tree", "locate", "folder", "output", "console")
    ),
    **dict.fromkeys(("cleanup", "containers", "progress", "keep_base", "backend", "place", "made")),
}


def result_key(job: Job, backend: Callable[[], str]) -> str:
    """The key as 64 hexadecimal digits; ``backend`` is asked where there are flags of its own.

    Raises UsageError: an input cannot be read
    """
    said = {
        "key": KEY_VERSION,
        "form": FORM,
        "backend": backend() if job.run.flags or job.engine.flags else None,
        "job": _fields(JOB)(job, job),
    }
    text = json.dumps(said, sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def why_not_hermetic(job: Job) -> str:
    """What in a job may change its result without changing its key; empty if nothing does."""
    if job.run.network != "none":
        return "its network is not none"
    if shared := {mount.kind for mount in job.run.mounts} & {"bind", "cache"}:
        return f"it has a mount of type {min(shared)}"
    if job.run.flags or job.engine.flags:
        return "it has flags of the engine's own"
    return ""


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"no part of a key can be a {type(value).__name__}")
