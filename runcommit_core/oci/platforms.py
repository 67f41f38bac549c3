"""Platforms of images: parsed, compared, and the one of this host.

Variants follow containerd's ``platforms`` package: ``v8`` is what arm64 means anyway, ``v7`` what
arm means and ``v1`` what amd64 means.
"""

from __future__ import annotations

import os

from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci.jsondoc import JsonObject, text_at
from runcommit_core.records import record

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
    "i386": "386",
    "i686": "386",
    "loongarch64": "loong64",
}
_IMPLIED_VARIANTS = {"amd64": "v1", "arm": "v7", "arm64": "v8"}


@record
class Platform:
    """Operating system, architecture and its variant in Go's names; an implied variant is empty."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        parts = (self.os, self.architecture, self.variant)
        return "/".join(part for part in parts if part) or "no platform"

    @property
    def is_whole(self) -> bool:
        """Whether it says for what system and machine."""
        return bool(self.os and self.architecture)


def parse_platform(text: str) -> Platform:
    """Parse ``os/architecture[/variant]`` or an architecture alone; UsageError otherwise."""
    parts = text.split("/")
    if len(parts) == 1:
        parts.insert(0, "linux")
    if len(parts) > 3 or not all(parts):  # noqa: PLR2004 - os, architecture, variant
        raise UsageError(
            f"{text!r} is not a platform", tip="write it like linux/amd64 or linux/arm/v7"
        )
    return _platform(*parts)


def host_platform() -> Platform:
    """Return linux on this machine's architecture."""
    machine = os.uname().machine
    return _platform("linux", machine, "v6" if machine == "armv6l" else "")


def platform_of(document: JsonObject, where: str) -> Platform:
    """Read the platform out of a config or of a descriptor's ``platform``."""
    platform = stated_platform(document, where)
    if not platform.is_whole:
        raise ArchiveError(
            f"{where}: lacks os or architecture, which the specification demands",
            tip="say what the image is for with --platform, such as --platform linux/amd64",
        )
    return platform


def stated_platform(document: JsonObject, where: str) -> Platform:
    """Read what a config or a descriptor's ``platform`` says, be it nothing."""
    return _platform(*(text_at(document, key, where) for key in ("os", "architecture", "variant")))


def completed(platform: Platform, other: Platform | None) -> Platform:
    """Take from ``other`` what ``platform`` leaves open."""
    if platform.is_whole or other is None:
        return platform
    return Platform(
        platform.os or other.os,
        platform.architecture or other.architecture,
        platform.variant or other.variant,
    )


def matching(wanted: Platform, offered: list[Platform]) -> list[int]:
    """Return the places of those that serve: the same, else any variant when none is wanted.

    Where none does, those serve that leave open what they are for.
    """
    exact = [place for place, one in enumerate(offered) if one == wanted]
    family = (wanted.os, wanted.architecture)
    if not exact and not wanted.variant:
        exact = [place for place, one in enumerate(offered) if (one.os, one.architecture) == family]
    return exact or [
        place
        for place, one in enumerate(offered)
        if not one.is_whole and completed(one, wanted) == wanted
    ]


def _platform(name: str, architecture: str, variant: str = "") -> Platform:
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if _IMPLIED_VARIANTS.get(architecture) == variant:
        variant = ""
    return Platform(name, architecture, variant)
