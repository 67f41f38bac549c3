"""An image of a registry as an OCI layout on this machine, its blobs verified.

The layout holds the one image that is meant; its ``blobs`` are those of the cache.  Source: the OCI
distribution specification 1.1, "Pull".
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import tempfile
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError, EngineError
from runcommit_core.interface.progress import ignore
from runcommit_core.oci.base import open_base
from runcommit_core.oci.candidates import MAX_DEPTH, why_no_image
from runcommit_core.oci.descriptors import Descriptor, descriptor
from runcommit_core.oci.jsondoc import (
    JsonObject,
    as_object,
    canonical_json,
    object_at,
    objects_at,
    parse_object,
    text_at,
)
from runcommit_core.oci.mediatypes import INDEXES, MANIFESTS
from runcommit_core.oci.output import LAYOUT
from runcommit_core.oci.platforms import host_platform, matching, parse_platform, stated_platform
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.oci.remotenames import is_remote, parse_remote_name
from runcommit_core.remote.blobs import bring, hold_blobs, keep_document, place_of, shrink_blobs
from runcommit_core.remote.credentials import login_tip
from runcommit_core.remote.repository import Repository
from runcommit_core.tar.digests import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.interface.progress import Progress
    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.oci.platforms import Platform
    from runcommit_core.oci.remotenames import RemoteName

_REFUSED = (401, 403)
_LONGEST_REASON, _SHOWN = 64 << 10, 300


def open_remote(
    reference: str,
    folder: Path,
    cleanup: contextlib.ExitStack,
    *,
    platform: str | None = None,
    progress: Progress = ignore,
) -> BaseImage:
    """As :func:`pulled`, opened; its files are those of the cache.  Raises the same."""
    layout = pulled(reference, folder, cleanup, platform=platform, progress=progress)
    image = open_base(layout, platform=platform)
    return dataclasses.replace(image, name=reference, layers=tuple(map(_in_cache, image.layers)))


@contextlib.contextmanager
def at_hand(reference: str, *, platform: str | None = None) -> Iterator[str]:
    """What names an image as one on this machine, until the block ends; all but ``docker://`` is.

    Raises what :func:`pulled` raises.
    """
    if not is_remote(reference):
        yield reference
        return
    with contextlib.ExitStack() as cleanup:
        folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="runcommit-"))
        place = Path(folder) / "image"
        yield pulled(reference, place, cleanup, platform=platform, progress=ignore)


def _in_cache(layer: BaseLayer) -> BaseLayer:
    if layer.region is None:
        return layer
    region = dataclasses.replace(layer.region, path=layer.region.path.resolve())
    return dataclasses.replace(layer, region=region)


def pulled(
    reference: str,
    folder: Path,
    cleanup: contextlib.ExitStack,
    *,
    platform: str | None,
    progress: Progress,
) -> str:
    """Bring an image here; what names it as a layout, in ``folder``, which is made.

    The blobs stay until ``cleanup`` ends. Of an index the image for ``platform`` (this machine's,
    where it is None) is brought, and no other.

    Raises ArchiveError where there is no such image or its bytes are not what they should be,
    EngineError where the registry cannot be reached or refuses, UsageError for a name that is none.
    """
    name = parse_remote_name(reference)
    wanted = parse_platform(platform) if platform else host_platform()
    folder.mkdir()
    shrink_blobs()
    blobs = hold_blobs(cleanup)
    repository = Repository(name.host, name.path)
    with explained(name):
        data, stated = _document(repository, name.reference, blobs)
        entry, manifest = _image(repository, data, stated, wanted, blobs)
        bring(repository, list(_blobs_of(manifest, name)), blobs, progress)
    index = {"schemaVersion": 2, "manifests": [entry]}
    (folder / "oci-layout").write_bytes(LAYOUT)
    (folder / "index.json").write_bytes(canonical_json(index))
    (folder / "blobs").symlink_to(blobs)
    return f"oci:{folder}"


def _image(
    repository: Repository,
    data: bytes,
    media_type: str,
    wanted: Platform,
    blobs: Path,
    depth: int = 1,
) -> tuple[JsonObject, JsonObject]:
    """The descriptor of the image's manifest, and the manifest."""
    digest = digest_of_bytes(data)
    where = f"{repository}: manifest {digest}"
    document = parse_object(data, where)
    if "manifests" not in document:
        own = str(document.get("mediaType") or media_type)
        return {"mediaType": own, "digest": digest, "size": len(data)}, document
    if depth > MAX_DEPTH:
        raise ArchiveError(f"{where}: indexes are nested more than {MAX_DEPTH} deep")
    chosen = _chosen(document, wanted, where)
    inner, stated = _document(repository, chosen.digest, blobs)
    entry, manifest = _image(repository, inner, stated, wanted, blobs, depth + 1)
    if platform := chosen.raw.get("platform"):
        entry = {**entry, "platform": platform}
    return entry, manifest


def _chosen(index: JsonObject, wanted: Platform, where: str) -> Descriptor:
    entries = [
        descriptor(item, f"{where}: manifests[{place}]")
        for place, item in enumerate(objects_at(index, "manifests", where))
    ]
    images = [entry for entry in entries if not why_no_image(entry)]
    platforms = [
        stated_platform(as_object(entry.raw.get("platform") or {}, where), where)
        for entry in images
    ]
    places = matching(wanted, platforms)
    if not places:
        held = "".join(f"\n  {platform}" for platform in platforms[:20])
        raise ArchiveError(
            f"{where}: has no image for {wanted}; it holds{held}",
            tip="choose one of these with --platform",
        )
    return images[places[0]]


def _blobs_of(manifest: JsonObject, name: RemoteName) -> Iterator[Descriptor]:
    """Config and layers; the layout's reader says what is wrong with them."""
    yield descriptor(object_at(manifest, "config", str(name)), f"{name}: config")
    for place, item in enumerate(objects_at(manifest, "layers", str(name))):
        yield descriptor(item, f"{name}: layers[{place}]")


def _document(repository: Repository, reference: str, blobs: Path) -> tuple[bytes, str]:
    """A manifest or an index, and the media type that the registry states; empty where it does not.

    Verified where ``reference`` is a digest.
    """
    by_digest = reference.startswith("sha256:")
    if by_digest:
        with contextlib.suppress(OSError):
            data = place_of(blobs, Digest(reference)).read_bytes()
            if digest_of_bytes(data) == reference:
                return data, ""
    answer = repository.document(reference, (*sorted(MANIFESTS), *sorted(INDEXES)))
    if answer is None:
        raise ArchiveError(f"{repository} has no image {reference}")
    data, stated = answer
    if by_digest and digest_of_bytes(data) != reference:
        raise ArchiveError(f"{repository}: what it gives for {reference} has another digest")
    keep_document(blobs, data)
    return data, stated if stated in MANIFESTS | INDEXES else ""


def _reason(error: urllib.error.HTTPError) -> str:
    """What the registry says of it, if it does as the specification has it ("Error codes")."""
    with error, contextlib.suppress(OSError, ArchiveError, http.client.HTTPException):
        said = parse_object(error.read(_LONGEST_REASON), "the answer")
        errors = objects_at(said, "errors", "the answer")
        texts = [text_at(each, "message", "errors") for each in errors]
        words = " ".join("; ".join(filter(None, texts)).split())[:_SHOWN]
        return f": {words}" if words else ""
    return ""


@contextlib.contextmanager
def explained(name: RemoteName) -> Iterator[None]:
    """Make an error of ours of whatever the registry of ``name`` does."""
    try:
        yield
    except urllib.error.HTTPError as error:
        refused = error.code in _REFUSED
        what = "refuses" if refused else f"answers {error.code} for"
        raise EngineError(
            f"{name.host} {what} {name}{_reason(error)}",
            tip=login_tip(name.host) if refused else "",
        ) from error
    except PermissionError as error:
        raise EngineError(f"{name}: {error}", tip=login_tip(name.host)) from error
    except OSError as error:
        raise EngineError(f"{name}: {error}") from error
