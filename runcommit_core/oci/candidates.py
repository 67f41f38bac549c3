"""Which manifest of a layout is meant.

Indexes are walked, artifacts left out, names and platforms matched. Names follow image-spec
annotations.md (``org.opencontainers.image.ref.name``); containerd adds
``io.containerd.image.name``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.blobs import MissingBlobError, read_blob
from runcommit_core.oci.config import config_platform
from runcommit_core.oci.descriptors import Descriptor, descriptor
from runcommit_core.oci.jsondoc import JsonObject, as_object, object_at, objects_at, parse_object
from runcommit_core.oci.mediatypes import IMAGE_CONFIGS, INDEXES, MANIFESTS
from runcommit_core.oci.platforms import (
    Platform,
    completed,
    host_platform,
    matching,
    stated_platform,
)
from runcommit_core.oci.remotenames import full_name, tag_of
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.oci.members import Members
    from runcommit_core.tar.digests import Digest

MAX_DEPTH = 8
"""How deep indexes may nest."""

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
_ATTESTATION = "attestation-manifest"
_LISTED = 20


@record
class Candidate:
    """A manifest of a container image, found in a layout."""

    blob: Descriptor
    bytes: bytes
    document: JsonObject
    platform: Platform
    names: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(self.names) or "no name"
        return f"{self.platform}  {self.blob.digest}  ({names})"


@dataclass(slots=True)
class _Search:
    """What a walk has met: images, and why other manifests are none."""

    members: Members
    found: dict[Digest, Candidate] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    missing: MissingBlobError | None = None
    walked: set[tuple[Digest, str | None]] = field(default_factory=set)


def find_candidates(members: Members, index: JsonObject, name: str | None) -> list[Candidate]:
    """List the images of a layout, those under ``name`` alone if one is given; never empty.

    ``name`` is a tag, a full name, ``@sha256:…`` (of a manifest or an index at any depth) or
    ``@N`` (the place in ``index.json``, from 0).
    """
    where = f"{members.label}: index.json"
    entries = objects_at(index, "manifests", where)
    search = _Search(members)
    if name is not None and name.startswith("@sha256:"):
        _walk(search, entries, where, depth=1, names=(), wanted=name[1:])
    else:
        _walk(search, _named(members, entries, name), where, depth=1, names=())
    if search.found:
        return list(search.found.values())
    if search.missing is not None:
        raise search.missing
    if name is not None and name.startswith("@"):
        raise ArchiveError(f"{members.label}: holds no image {name[1:]}")
    reasons = "".join(f"\n  {line}" for line in search.left_out[:_LISTED])
    raise ArchiveError(f"{members.label}: holds no container image{reasons}")


def choose(candidates: Sequence[Candidate], label: str, platform: Platform | None) -> Candidate:
    """Take the one that fits the platform; several that fit are an error that lists them.

    Without a platform the only candidate is taken as it is, and among several this host's.
    """
    if platform is None and len(candidates) == 1:
        return candidates[0]
    wanted = platform or host_platform()
    places = matching(wanted, [candidate.platform for candidate in candidates])
    if len(places) == 1:
        return candidates[places[0]]
    offered = [candidates[place] for place in places] or list(candidates)
    lines = "".join(f"\n  {candidate}" for candidate in offered[:_LISTED])
    if not places:
        raise ArchiveError(
            f"{label}: has no image for {wanted}; it holds{lines}",
            tip="choose one of these with --platform",
        )
    raise ArchiveError(
        f"{label}: holds several images for {wanted}{lines}",
        tip="say which by its name after the path: PATH:NAME or PATH:@sha256:…",
    )


def _named(members: Members, entries: list[JsonObject], name: str | None) -> list[JsonObject]:
    if name is None:
        return entries
    if name.startswith("@"):
        place = name[1:]
        if place.isascii() and place.isdecimal() and int(place) < len(entries):
            return [entries[int(place)]]
        raise ArchiveError(f"{members.label}: index.json has no entry number {place!r}")
    names = [names_of(entry, members.label) for entry in entries]
    for same in (_is_exactly, _is_meant_by):
        chosen = [
            entry
            for entry, own in zip(entries, names, strict=True)
            if any(same(one, name) for one in own)
        ]
        if chosen:
            return chosen
    known = sorted({one for own in names for one in own})
    raise ArchiveError(
        f"{members.label}: holds no image named {name!r};"
        f" it names {', '.join(known[:_LISTED]) or 'none'}"
    )


def names_of(entry: JsonObject, where: str) -> tuple[str, ...]:
    """Read the names that an entry of ``index.json`` bears."""
    annotations = object_at(entry, "annotations", where)
    names = (annotations.get(key) for key in (REF_NAME, CONTAINERD_NAME))
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _is_exactly(own: str, wanted: str) -> bool:
    return own == wanted


def _is_meant_by(own: str, wanted: str) -> bool:
    return same_name(own, wanted) or tag_of(own) == wanted


def same_name(one: str, other: str) -> bool:
    """Tell whether two full names are one once docker's defaults are written out."""
    return full_name(one) == full_name(other)


def _walk(
    search: _Search,
    entries: list[JsonObject],
    where: str,
    *,
    depth: int,
    names: tuple[str, ...],
    wanted: str | None = None,
) -> None:
    if depth > MAX_DEPTH:
        raise ArchiveError(f"{where}: indexes are nested more than {MAX_DEPTH} deep")
    for place, entry in enumerate(entries):
        blob = descriptor(entry, f"{where}: manifests[{place}]")
        reason = why_no_image(blob)
        if reason:
            search.left_out.append(f"{blob.digest}: {reason}")
            continue
        own = names or names_of(entry, where)
        still_wanted = None if wanted == blob.digest else wanted
        _visit(search, blob, depth=depth, names=own, wanted=still_wanted)


def _visit(
    search: _Search,
    blob: Descriptor,
    *,
    depth: int,
    names: tuple[str, ...],
    wanted: str | None,
) -> None:
    try:
        data = read_blob(search.members, blob, "manifest")
    except MissingBlobError as error:
        # A copy of one platform out of many leaves the others' manifests behind.
        search.missing = search.missing or error
        return
    inner = f"{search.members.label}: manifest {blob.digest}"
    document = parse_object(data, inner)
    if _is_index(document, blob, inner):
        # An index that lists one other many times over must not cost the power of its depth.
        if (blob.digest, wanted) in search.walked:
            return
        search.walked.add((blob.digest, wanted))
        entries = objects_at(document, "manifests", inner)
        _walk(search, entries, inner, depth=depth + 1, names=names, wanted=wanted)
    elif wanted is None and blob.digest not in search.found:
        _add(search, blob, data, document, names)


def _add(
    search: _Search, blob: Descriptor, data: bytes, document: JsonObject, names: tuple[str, ...]
) -> None:
    where = f"{search.members.label}: manifest {blob.digest}"
    config = descriptor(object_at(document, "config", where), f"{where}: config")
    kind = document.get("artifactType")
    if kind or config.media_type not in IMAGE_CONFIGS:
        search.left_out.append(f"{blob.digest}: is an artifact of type {kind or config.media_type}")
        return
    place = f"{where}: platform"
    platform = stated_platform(as_object(blob.raw.get("platform") or {}, place), place)
    if not platform.is_whole:
        try:
            text = read_blob(search.members, config, "config")
        except MissingBlobError as error:
            search.missing = search.missing or error
            return
        place = f"{search.members.label}: config {config.digest}"
        platform = completed(platform, config_platform(text, place))
    search.found[blob.digest] = Candidate(blob, data, document, platform, names)


def why_no_image(blob: Descriptor) -> str:
    """What else than an image a descriptor tells of; empty where it may be one."""
    if blob.annotations.get("vnd.docker.reference.type") == _ATTESTATION:
        return "is an attestation"
    if kind := blob.raw.get("artifactType"):
        return f"is an artifact of type {kind}"
    platform: Any = blob.raw.get("platform")
    if isinstance(platform, dict) and platform.get("os") == "unknown":
        return "is for an unknown platform"
    return ""


def _is_index(document: JsonObject, blob: Descriptor, where: str) -> bool:
    """Tell an index from a manifest by its content, which must not contradict the media types."""
    looks_index = "manifests" in document
    looks_manifest = "layers" in document or "config" in document
    if looks_index == looks_manifest:
        what = "both an index and a manifest" if looks_index else "neither an index nor a manifest"
        raise ArchiveError(f"{where}: is {what}{_hint(document)}")
    for stated in (document.get("mediaType"), blob.media_type):
        if stated in (MANIFESTS if looks_index else INDEXES):
            raise ArchiveError(f"{where}: its media type {stated} contradicts its content")
    return looks_index


def _hint(document: JsonObject) -> str:
    if document.get("schemaVersion") == 1:
        return " (docker's schema 1, which no tool writes any more: pull and save the image anew)"
    return ""
