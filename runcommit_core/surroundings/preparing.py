"""Around the run: mounts and secrets made, and put where the base's links lead."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.oci.config import image_config
from runcommit_core.oci.platforms import host_platform
from runcommit_core.records import record

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import RunOptions
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.surroundings.redact import Redactor
    from runcommit_core.surroundings.specs import Wanted

    Console = Callable[[bytes], None]

_ROOT = ("", "0", "root")


@record(kw_only=True)
class Prepared:
    """What a run finds: its options with mounts that are there, and the console that hides secrets.

    ``mount_points`` are all the targets that engines may make.
    """

    run: RunOptions
    mount_points: tuple[str, ...]
    console: Console


def prepared(
    run: RunOptions,
    wanted: Sequence[Wanted],
    base: BaseImage,
    folder: Path,
    console: Console,
    cleanup: contextlib.ExitStack,
) -> Prepared:
    """Make the mounts that are ``wanted``, hide the secrets, look at the base's platform.

    ``run`` has the user that counts on this base.  What is made here goes with ``cleanup``.
    """
    run = dataclasses.replace(run, platform=_foreign(base))
    mount_points: tuple[str, ...] = ()
    if run.flags:
        from runcommit_core.surroundings.targets import flag_targets

        mount_points = flag_targets(run.flags)
    if wanted:
        from runcommit_core.surroundings.redact import Redactor
        from runcommit_core.surroundings.staging import stage

        for_root = run.user.partition(":")[0] in _ROOT
        staged = stage(wanted, folder, cleanup, for_root=for_root)
        run = dataclasses.replace(run, mounts=staged.mounts)
        mount_points += tuple(mount.target for mount in staged.mounts)
        if staged.values:
            console = _hiding(Redactor(staged.values, console), cleanup)
    return Prepared(run=run, mount_points=mount_points, console=console)


def resolved(job: Job) -> Job:
    """The job with its mounts where the base's links lead, now that the base has been loaded.

    Engines would follow the links themselves, but buildah's chroot isolation follows absolute ones
    out of the container, to the machine's own files.
    """
    if not job.run.mounts:
        return job
    from runcommit_core.index.basetree import with_tree
    from runcommit_core.layer.mountpoints import mount_points
    from runcommit_core.surroundings.targets import in_order

    targets = [mount.target for mount in job.run.mounts]
    places = with_tree(job.tree, lambda tree: mount_points(tree, targets))
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


def _foreign(base: BaseImage) -> str:
    """The base's platform, where it is not this machine's."""
    where = f"the config of {base.name}"
    platform = image_config(base.config, where).platform
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
