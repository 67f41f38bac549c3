"""An image that only the engine has, before the engine was asked for it."""

from __future__ import annotations

from runcommit_core.oci.jsondoc import canonical_json
from runcommit_core.oci.platforms import host_platform
from runcommit_core.tar.digests import DiffId

UNKNOWN_LAYER = DiffId("sha256:" + "0" * 64)
"""The one layer of such an image, as far as is known."""


def unknown_config() -> bytes:
    """A config that says nothing: of this machine's platform, with the unknown layer."""
    platform = host_platform()
    variant = {"variant": platform.variant} if platform.variant else {}
    return canonical_json(
        {
            "architecture": platform.architecture,
            "os": platform.os,
            **variant,
            "rootfs": {"type": "layers", "diff_ids": [UNKNOWN_LAYER]},
        }
    )
