"""The options of a run, from what users write to what the engines take."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.interface.values import RunOptions
from runcommit_core.records import record
from runcommit_core.request.texts import check_text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from runcommit_core.request.keywords import Surroundings
    from runcommit_core.surroundings.specs import Wanted


@record
class RunRequest:
    """What was asked for: the options, and the mounts that are yet to be made."""

    options: RunOptions
    mounts: tuple[Wanted, ...] = ()


def run_request(**asked: Unpack[Surroundings]) -> RunRequest:
    """Read all options of a run, before anything is made.

    Raises UsageError for what makes no sense, or names what is not there.
    """
    options = RunOptions(
        env={**_from_files(asked.get("env_files", ())), **(asked.get("env") or {})},
        user=asked.get("user") or "",
        workdir=asked.get("workdir") or "",
        network=asked.get("network"),
        flags=tuple(asked.get("run_flags", ())),
    )
    check_text("the working directory", options.workdir)
    for name, value in options.env.items():
        check_text(f"the variable {name!r}", name + value)
    limits = (asked.get("memory"), asked.get("cpus"), asked.get("timeout"))
    if any(limit is not None for limit in limits):
        options = _limited(options, *limits)
    if (grace := asked.get("stop_timeout")) is not None:
        from runcommit_core.surroundings.amounts import stop_timeout

        options = dataclasses.replace(options, stop_timeout=stop_timeout(grace))
    around = (asked.get("mounts", ()), asked.get("secrets", ()), asked.get("inputs", ()))
    return RunRequest(options, _wanted(*around) if any(around) else ())


def _from_files(paths: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    if paths:
        from runcommit_core.surroundings.envfile import read_env_file

        for path in paths:
            chosen |= read_env_file(path)
    return chosen


def _limited(
    options: RunOptions,
    memory: str | int | None,
    cpus: str | float | None,
    timeout: str | float | None,
) -> RunOptions:
    from runcommit_core.surroundings.amounts import duration, memory_limit, processors

    return dataclasses.replace(
        options,
        memory=0 if memory is None else memory_limit(memory),
        cpus=0.0 if cpus is None else processors(cpus),
        timeout=None if timeout is None else duration(timeout),
    )


def _wanted(
    mounts: Iterable[str], secrets: Iterable[str], inputs: Iterable[str]
) -> tuple[Wanted, ...]:
    from runcommit_core.surroundings.inputs import existing
    from runcommit_core.surroundings.specs import parse_input, parse_mount, parse_secret
    from runcommit_core.surroundings.targets import check_targets

    named: dict[str, Wanted] = {}
    for secret in map(parse_secret, secrets):
        if named.setdefault(secret.name, secret) is not secret:
            raise UsageError(f"--secret: there are two secrets with the id {secret.name}")
    parsed = [parse_input(item) for item in inputs]
    placed = [_with_value(mount, named) for mount in map(parse_mount, mounts)]
    names = {mount.name for mount in placed if mount.kind == "secret"}
    parsed += [*placed, *(secret for secret in named.values() if secret.name not in names)]
    check_targets(parsed)
    for mount in parsed:
        if mount.kind in ("bind", "input"):
            existing(mount.source, f"--{'input' if mount.kind == 'input' else 'mount'}")
    return tuple(parsed)


def _with_value(mount: Wanted, secrets: Mapping[str, Wanted]) -> Wanted:
    """A mount of a secret that ``--secret`` gave the value of, and attributes to default to."""
    given = secrets.get(mount.name) if mount.kind == "secret" else None
    if given is None:
        return mount
    return dataclasses.replace(
        mount,
        source=given.source,
        variable=given.variable,
        mode=given.mode if mount.mode is None else mount.mode,
        uid=given.uid if mount.uid is None else mount.uid,
        gid=given.gid if mount.gid is None else mount.gid,
    )
