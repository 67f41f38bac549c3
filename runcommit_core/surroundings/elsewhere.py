"""What an engine on another machine has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.interface.values import Lack

if TYPE_CHECKING:
    from runcommit_core.interface.values import RunOptions


def mounts_elsewhere(engine: str, address: str, run: RunOptions, *, tip: str) -> Lack:
    """The lack of mounts at an engine that has not the files of this machine.

    ``tip`` says what to do besides putting the files into the base.
    """
    kinds = [mount.kind for mount in run.mounts if mount.source][:1]
    return Lack(
        "mount",
        f"{engine} is on another machine ({address}), which has not the files of this one"
        + "".join(f": a mount of type {kind} cannot be made" for kind in kinds),
        f"put the files into the base first, or {tip}",
    )
