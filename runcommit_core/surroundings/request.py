"""From the options of a run, as users write them, to what the engines take."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.interface.values import RunOptions
from runcommit_core.oci.jsondoc import parse_object
from runcommit_core.oci.platforms import host_platform, platform_of
from runcommit_core.records import record

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Mapping, Sequence

    from runcommit_core.interface.job import Job
    from runcommit_core.surroundings.redact import Redactor
    from runcommit_core.surroundings.specs import Wanted

_ROOT = ("", "0", "root")


@record
class RunRequest:
    """What was asked for: the options, and the mounts that are yet to be made."""

    options: RunOptions
    mounts: tuple[Wanted, ...] = ()


def run_request(
    *,
    env: Mapping[str, str] | None = None,
    env_files: Sequence[str | os.PathLike[str]] = (),
    user: str | None = None,
    workdir: str | None = None,
    network: str | None = None,
    flags: Sequence[str] = (),
    mounts: Sequence[str] = (),
    secrets: Sequence[str] = (),
    inputs: Sequence[str] = (),
    memory: str | int | None = None,
    cpus: str | float | None = None,
    timeout: str | float | None = None,
) -> RunRequest:
    """Read all options of a run, before anything is made.

    Raises UsageError for what makes no sense, or names what is not there.
    """
    chosen: dict[str, str] = {}
    if env_files:
        from runcommit_core.surroundings.envfile import read_env_file

        for path in env_files:
            chosen |= read_env_file(path)
    options = RunOptions(
        env={**chosen, **(env or {})},
        user=user or "",
        workdir=workdir or "",
        network=network,
        flags=tuple(flags),
    )
    if memory is not None or cpus is not None or timeout is not None:
        options = _limited(options, memory, cpus, timeout)
    wanted = _wanted(mounts, secrets, inputs) if mounts or secrets or inputs else ()
    return RunRequest(options, wanted)


def prepared(job: Job, wanted: Sequence[Wanted]) -> Job:
    """The job with its mounts made, its secrets hidden and its platform looked at.

    ``job`` stands on its base already, whose user and platform count.  What is made here goes with
    the job.
    """
    run = dataclasses.replace(job.run, platform=_foreign(job))
    mount_points: tuple[str, ...] = ()
    if run.flags:
        from runcommit_core.surroundings.targets import flag_targets

        mount_points = flag_targets(run.flags)
    console = job.console
    if wanted:
        from runcommit_core.surroundings.redact import Redactor
        from runcommit_core.surroundings.staging import stage

        for_root = run.user.partition(":")[0] in _ROOT
        staged = stage(wanted, job.folder, job.cleanup, for_root=for_root)
        run = dataclasses.replace(run, mounts=staged.mounts)
        mount_points += tuple(mount.target for mount in staged.mounts)
        if staged.values:
            console = _hiding(Redactor(staged.values, job.console), job.cleanup)
    return dataclasses.replace(
        job,
        run=run,
        console=console,
        layer=dataclasses.replace(job.layer, mount_points=mount_points),
    )


def resolved(job: Job) -> Job:
    """The job with its mounts where the base's links lead, now that the base has been loaded.

    Engines would follow the links themselves, but buildah's chroot isolation follows absolute ones
    out of the container, to the machine's own files.
    """
    if not job.run.mounts:
        return job
    from runcommit_core.index.layerfile import IndexDamagedError
    from runcommit_core.layer.mountpoints import mount_points
    from runcommit_core.surroundings.targets import in_order

    targets = [mount.target for mount in job.run.mounts]
    try:
        with job.tree() as tree:
            places = mount_points(tree, targets)
    except IndexDamagedError:
        with job.tree() as tree:
            places = mount_points(tree, targets)
    if not all(places):
        raise UsageError(
            f"the base's links lead from {targets[places.index(b'')]} to the root, which nothing"
            " can be mounted over"
        )
    mounts = [
        dataclasses.replace(mount, target="/" + os.fsdecode(place))
        for mount, place in zip(job.run.mounts, places, strict=True)
    ]
    return dataclasses.replace(job, run=dataclasses.replace(job.run, mounts=in_order(mounts)))


def _foreign(job: Job) -> str:
    """The base's platform, where it is not this machine's."""
    where = f"the config of {job.base.name}"
    platform = platform_of(parse_object(job.base.config, where), where)
    if platform == host_platform():
        return ""
    from runcommit_core.surroundings.emulation import foreign

    return foreign(platform)


def _hiding(redactor: Redactor, cleanup: contextlib.ExitStack) -> Redactor:
    def leave(_kind: object, error: BaseException | None, _trace: object) -> None:
        redactor.flush()
        redactor.clean(error)

    cleanup.push(leave)
    return redactor


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
    found = [parse_input(item) for item in inputs]
    placed = [_with_value(mount, named) for mount in map(parse_mount, mounts)]
    names = {mount.name for mount in placed if mount.kind == "secret"}
    found += [*placed, *(secret for secret in named.values() if secret.name not in names)]
    check_targets(found)
    for mount in found:
        if mount.kind in ("bind", "input"):
            existing(mount.source, f"--{'input' if mount.kind == 'input' else 'mount'}")
    return tuple(found)


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
