"""Opening a base image, whatever form it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.blobs import MissingBlobError
from runcommit_core.oci.config import image_config
from runcommit_core.oci.detect import detect_kinds, open_members
from runcommit_core.oci.docker_archive import read_docker_archive
from runcommit_core.oci.layout import read_layout
from runcommit_core.oci.platforms import Platform, parse_platform
from runcommit_core.oci.references import Kind, is_engine_reference, parse_reference

if TYPE_CHECKING:
    from runcommit_core.oci.members import Members
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.oci.references import Reference

__all__ = ["is_engine_reference", "open_base"]


def open_base(reference: str, *, platform: str | None = None) -> BaseImage:
    """Read a base: ``oci:PATH[:NAME]``, ``oci-archive:…``, ``docker-archive:…`` or a bare path.

    ``platform`` (``os/architecture[/variant]``) selects from an index, and an image of another
    platform is an error. Manifest and config are verified; of the layers nothing but the first
    bytes is read, so the cost does not depend on their size. Nothing is unpacked.

    Raises ArchiveError where the image is not what the specification demands or is not there,
    UsageError where the reference or the platform makes no sense.
    """
    wanted = parse_platform(platform) if platform else None
    where = parse_reference(reference)
    members = open_members(where.path)
    image = _read(where, members, _kinds(where, members), wanted)
    _check_platform(image, wanted)
    return image


def _kinds(reference: Reference, members: Members) -> tuple[Kind, ...]:
    kind = reference.kind
    if kind is None:
        return detect_kinds(members, reference.path)
    directory = reference.path.is_dir()
    if directory is not (kind is Kind.OCI):
        what = "a directory" if directory else "a file"
        other = "oci:" if directory else "oci-archive: or docker-archive:"
        raise ArchiveError(
            f"{reference.path}: is {what}, which {kind}: does not read",
            tip=f"write {other} before the path, or the path alone",
        )
    if kind is Kind.OCI_ARCHIVE and not members.find("index.json"):
        raise _not_this(reference, members, "index.json", Kind.DOCKER_ARCHIVE)
    if kind is Kind.DOCKER_ARCHIVE and not members.find("manifest.json"):
        raise _not_this(reference, members, "manifest.json", Kind.OCI_ARCHIVE)
    return (kind,)


def _not_this(reference: Reference, members: Members, lacks: str, other: Kind) -> ArchiveError:
    is_other = other in detect_kinds(members, reference.path)
    return ArchiveError(
        f"{reference.path}: has no {lacks}, so it is no {reference.kind}",
        tip=f"write {other}:{reference.path}" if is_other else "",
    )


def _read(
    reference: Reference, members: Members, kinds: tuple[Kind, ...], platform: Platform | None
) -> BaseImage:
    """Read the members as the first of the kinds whose blobs are all there."""
    try:
        return _read_as(kinds[0], reference, members, platform)
    except MissingBlobError:
        if len(kinds) == 1:
            raise
        return _read_as(kinds[1], reference, members, platform)


def _read_as(
    kind: Kind, reference: Reference, members: Members, platform: Platform | None
) -> BaseImage:
    read = read_docker_archive if kind is Kind.DOCKER_ARCHIVE else read_layout
    return read(members, name=reference.name, platform=platform, reference=reference.text)


def _check_platform(image: BaseImage, wanted: Platform | None) -> None:
    """Hold the config against the wish; a descriptor may have told another story."""
    if wanted is None:
        return
    platform_of_image = image_config(image.config, f"{image.name}: the config").platform
    if (platform_of_image.os, platform_of_image.architecture) != (wanted.os, wanted.architecture):
        raise ArchiveError(f"{image.name}: is for {platform_of_image}, not for {wanted}")
