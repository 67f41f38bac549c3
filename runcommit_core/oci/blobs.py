"""Blobs of a layout by their descriptors, read only when digest and size match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.descriptors import Descriptor, blob_path
from runcommit_core.oci.jsondoc import MAX_JSON
from runcommit_core.oci.regions import digest_of_bytes

if TYPE_CHECKING:
    from runcommit_core.oci.members import Members
    from runcommit_core.oci.model import FileRegion


class MissingBlobError(ArchiveError):
    """A blob that a descriptor tells of is not in the image."""


def read_blob(members: Members, blob: Descriptor, what: str) -> bytes:
    """Return a manifest's or config's bytes, verified; ``what`` it is goes into messages."""
    where = f"{members.label}: {what} {blob.digest}"
    if blob.size > MAX_JSON:
        raise ArchiveError(f"{where}: has {blob.size} bytes, more than JSON may ({MAX_JSON})")
    data = blob.data
    if data is None:
        region = find_blob(members, blob, what)
        data = members.read(region, region.size)
    if len(data) != blob.size:
        raise ArchiveError(f"{where}: the embedded data has {len(data)} bytes, not {blob.size}")
    actual = digest_of_bytes(data)
    if actual != blob.digest:
        raise ArchiveError(f"{where}: the bytes have the digest {actual}", tip=_TIP)
    return data


def find_blob(members: Members, blob: Descriptor, what: str) -> FileRegion:
    """Return where a blob's bytes are; its size is compared with the descriptor's."""
    path = blob_path(blob.digest)
    region = members.find(path)
    if region is None:
        raise _missing(members, blob, what)
    if region.size != blob.size:
        raise ArchiveError(
            f"{members.label}: {path}: has {region.size} bytes,"
            f" but the descriptor of the {what} says {blob.size}",
            tip=_TIP,
        )
    return region


def _missing(members: Members, blob: Descriptor, what: str) -> MissingBlobError:
    message = f"{members.label}: the {what} {blob.digest} is not among the blobs"
    if urls := blob.raw.get("urls"):
        return MissingBlobError(
            f"{message}; its descriptor ({blob.media_type}) points to {urls}",
            tip="copy the image together with its non-distributable layers",
        )
    if blob.data is not None:
        return MissingBlobError(
            f"{message}; its bytes are embedded in the descriptor, which only manifests and"
            " configs may do here",
            tip="copy the image with a tool that stores every layer as a blob",
        )
    return MissingBlobError(message, tip="copy the image anew, with all of its layers")


_TIP = "the blob is damaged or was cut short: copy the image anew"
