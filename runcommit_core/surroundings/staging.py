"""Making what mounts mount: folders of caches, files of secrets, copies of inputs."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.interface.values import Mount
from runcommit_core.records import record
from runcommit_core.surroundings.targets import check_nested, in_order

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from runcommit_core.surroundings.specs import Wanted

_AWKWARD = re.compile(r'[,:"\n]')


@record
class Staged:
    """Mounts as engines take them, and the values that nobody may see."""

    mounts: tuple[Mount, ...]
    values: tuple[bytes, ...]


def stage(
    wanted: Sequence[Wanted], folder: Path, cleanup: contextlib.ExitStack, *, for_root: bool
) -> Staged:
    """Make all sources; they go with ``cleanup``, but for the caches.

    ``folder`` is the job's own; ``for_root`` tells whether the run's user is root.

    Raises UsageError for a source that is not there or that cannot be given to its user.
    """
    secrets = [item for item in wanted if item.kind == "secret"]
    others = [item for item in wanted if item.kind != "secret"]
    made = [_mount(item, folder / f"mount-{n}", cleanup) for n, item in enumerate(others)]
    values: tuple[bytes, ...] = ()
    if secrets:
        hidden, values = _secrets(secrets, folder, cleanup, for_root=for_root)
        made += hidden
    mounts = in_order(made)
    check_nested(mounts)
    return Staged(mounts, values)


def _mount(wanted: Wanted, spare: Path, cleanup: contextlib.ExitStack) -> Mount:
    from runcommit_core.surroundings.caches import cache_folder
    from runcommit_core.surroundings.inputs import existing, self_contained

    source = ""
    if wanted.kind == "cache":
        source = _nameable(cache_folder(wanted, cleanup), spare)
    elif wanted.kind == "input":
        source = _nameable(self_contained(existing(wanted.source, "--input"), spare), spare)
    elif wanted.kind == "bind":
        source = _nameable(existing(wanted.source, "--mount"), spare)
    return Mount(
        kind=wanted.kind,
        target=wanted.target,
        source=source,
        read_only=wanted.read_only,
        size=wanted.size,
        mode=wanted.mode,
        uid=wanted.uid,
        gid=wanted.gid,
        name=wanted.name,
    )


def _nameable(path: Path, spare: Path) -> str:
    """The path, or a link to it where the path has what separates words for engines."""
    if not _AWKWARD.search(str(path)):
        return str(path)
    spare.symlink_to(path)
    return str(spare)


def _secrets(
    secrets: Iterable[Wanted], folder: Path, cleanup: contextlib.ExitStack, *, for_root: bool
) -> tuple[list[Mount], tuple[bytes, ...]]:
    from runcommit_core.surroundings.memory import folder_in_memory
    from runcommit_core.surroundings.secretfiles import secret_value, write_secret

    place = folder_in_memory(folder)
    if place != folder:
        cleanup.callback(shutil.rmtree, place, ignore_errors=True)
    made, values = [], []
    for number, item in enumerate(secrets):
        value, variable = secret_value(item)
        if variable:
            cleanup.enter_context(process.withheld(variable))
        path = place / f"secret-{number}"
        write_secret(item, value, path, for_root=for_root)
        values.append(value)
        made.append(
            Mount(
                kind="secret",
                target=item.target,
                source=str(path),
                read_only=True,
                mode=item.mode,
                uid=item.uid,
                gid=item.gid,
                name=item.name,
            )
        )
    return made, tuple(values)
