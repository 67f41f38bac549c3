"""What buildah cannot do, or would pass over in silence, told before anything runs."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from runcommit_core import Lack, RunOptions, rootless_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

_ISOLATION = re.compile(r"--isolation[= ](\w+)")
_CURE = "choose another isolation (BUILDAH_ISOLATION=oci or rootless)"


def lacking(run: RunOptions) -> list[Lack]:
    """What the isolation lacks, and limits without cgroups."""
    if not _is_chroot(run.flags):
        return rootless_limits("buildah")
    limits = [
        Lack(
            option,
            f"buildah's chroot isolation has no cgroups and cannot keep to --{option}",
            _CURE,
        )
        for option in ("memory", "cpus")
    ]
    if run.network == "host":
        return limits
    network = Lack(
        "network",
        "buildah's chroot isolation has the host's network and no other",
        f"choose --network host, or {_CURE.removeprefix('choose ')}",
    )
    return [network, *limits]


def _is_chroot(flags: Sequence[str]) -> bool:
    chosen = _ISOLATION.search(" ".join(flags))
    return (chosen[1] if chosen else os.environ.get("BUILDAH_ISOLATION", "")) == "chroot"
