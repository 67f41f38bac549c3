"""A docker-archive of any generation as a base image: ``manifest.json`` and what it points to.

Sources: moby ``image/tarexport``, containers/image ``docker/internal/tarfile`` and what docker,
podman, skopeo, Bazel's rules_docker and rules_oci write.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.blobs import MissingBlobError
from runcommit_core.oci.candidates import same_name
from runcommit_core.oci.compression import SNIFF_LENGTH, sniff
from runcommit_core.oci.config import config_diff_ids, config_platform, with_platform
from runcommit_core.oci.jsondoc import as_object, parse_json, text_at, texts_at
from runcommit_core.oci.mediatypes import OCI_MANIFEST, layer_media_type
from runcommit_core.oci.members import read_document
from runcommit_core.oci.model import BaseImage, BaseLayer, Compression
from runcommit_core.oci.platforms import Platform, matching
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.oci.remotenames import tag_of
from runcommit_core.oci.stored_digest import stored_digest
from runcommit_core.records import record
from runcommit_core.tar.digests import DiffId, Digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from runcommit_core.oci.jsondoc import JsonObject
    from runcommit_core.oci.members import Members
    from runcommit_core.oci.model import FileRegion

# Names by content: blobs/sha256/<hex>, to which rules_oci adds .tar.gz whatever the blob holds.
_BY_CONTENT = re.compile(r"blobs/sha256/([0-9a-f]{64})(?:\.[a-z.]+)?")
_LISTED = 20


@record
class _Entry:
    """One image of ``manifest.json``."""

    place: int
    config: str
    names: tuple[str, ...]
    layers: tuple[str, ...]

    def __str__(self) -> str:
        return f"@{self.place}  {', '.join(self.names) or 'no name'}  (config {self.config})"


def read_docker_archive(
    members: Members, *, name: str | None, platform: Platform | None, reference: str
) -> BaseImage:
    """Read the one image that name and platform select.

    ``name`` is a repository tag, a tag alone, ``@N`` (the place in ``manifest.json``, from 0) or
    ``@sha256:…`` of the config. Layers are not read, except that a compressed one whose name
    does not tell its digest is hashed once.
    """
    entry = _select(members, _entries(members), name, platform)
    place = f"{members.label}: {entry.config}"
    config = with_platform(_config(members, entry), place, platform)
    diff_ids = config_diff_ids(config, place)
    if len(entry.layers) != len(diff_ids):
        raise ArchiveError(
            f"{members.label}: manifest.json lists {len(entry.layers)} layers,"
            f" but {entry.config} has {len(diff_ids)} diff_ids"
        )
    return BaseImage(
        name=reference,
        config=config,
        config_digest=digest_of_bytes(config),
        layers=tuple(
            _layer(members, one, diff_id)
            for one, diff_id in zip(entry.layers, diff_ids, strict=True)
        ),
        manifest=None,
        manifest_media_type=OCI_MANIFEST,
        manifest_digest=None,
    )


def _entries(members: Members) -> list[_Entry]:
    where = f"{members.label}: manifest.json"
    document = parse_json(read_document(members, "manifest.json"), where)
    if not isinstance(document, list):
        raise ArchiveError(f"{where}: must be an array of images")
    # docker writes null for an image that vanished while it was saved.
    entries = [
        _entry(as_object(item, f"{where}[{place}]"), place, where)
        for place, item in enumerate(document)
        if item is not None
    ]
    if not entries:
        raise ArchiveError(f"{where}: holds no image")
    return entries


def _entry(item: JsonObject, place: int, where: str) -> _Entry:
    where = f"{where}[{place}]"
    config = text_at(item, "Config", where)
    if not config:
        raise ArchiveError(f"{where}: has no Config")
    return _Entry(
        place=place,
        config=config,
        names=tuple(texts_at(item, "RepoTags", where)),
        layers=tuple(texts_at(item, "Layers", where)),
    )


def _select(
    members: Members, entries: list[_Entry], name: str | None, platform: Platform | None
) -> _Entry:
    chosen = entries if name is None else _named(members, entries, name)
    platforms = [_platform(members, entry) for entry in chosen] if platform else []
    if platform:
        fitting = [chosen[place] for place in matching(platform, platforms)]
        if not fitting:
            raise ArchiveError(
                f"{members.label}: has no image for {platform}; it holds"
                + "".join(
                    f"\n  {held}  {entry}"
                    for held, entry in zip(platforms, chosen[:_LISTED], strict=False)
                ),
                tip="choose one of these with --platform",
            )
        chosen = fitting
    if len({(entry.config, entry.layers) for entry in chosen}) > 1:
        lines = "".join(f"\n  {entry}" for entry in chosen[:_LISTED])
        raise ArchiveError(
            f"{members.label}: holds several images{lines}",
            tip="say which by its name or number after the path: PATH:NAME or PATH:@0",
        )
    return chosen[0]


def _named(members: Members, entries: list[_Entry], name: str) -> list[_Entry]:
    tests: list[Callable[[_Entry], bool]] = [
        lambda entry: name in entry.names,
        lambda entry: any(same_name(one, name) for one in entry.names),
        lambda entry: any(tag_of(one) == name for one in entry.names),
    ]
    if name.startswith("@sha256:"):
        tests = [lambda entry: digest_of_bytes(_config(members, entry)) == name[1:]]
    elif name.startswith("@"):
        tests = [lambda entry: str(entry.place) == name[1:]]
    for test in tests:
        if chosen := [entry for entry in entries if test(entry)]:
            return chosen
    lines = "".join(f"\n  {entry}" for entry in entries[:_LISTED])
    raise ArchiveError(f"{members.label}: holds no image {name!r}; it holds{lines}")


def _platform(members: Members, entry: _Entry) -> Platform:
    where = f"{members.label}: {entry.config}"
    return config_platform(_config(members, entry), where)


def _config(members: Members, entry: _Entry) -> bytes:
    data = read_document(members, entry.config)
    named = _digest_in(entry.config)
    if named is not None and named != digest_of_bytes(data):
        raise ArchiveError(
            f"{members.label}: {entry.config}: the bytes have the digest {digest_of_bytes(data)}"
        )
    return data


def _layer(members: Members, name: str, diff_id: DiffId) -> BaseLayer:
    region = members.find(name)
    if region is None:
        raise MissingBlobError(
            f"{members.label}: the layer {name} is not in the archive",
            tip="save the image anew, with all of its layers",
        )
    compression = sniff(members.read(region, SNIFF_LENGTH))
    return BaseLayer(
        diff_id=diff_id,
        digest=_digest(members, name, region, diff_id, compression),
        size=region.size,
        media_type=layer_media_type(compression),
        compression=compression,
        region=region,
    )


def _digest(
    members: Members, name: str, region: FileRegion, diff_id: DiffId, compression: Compression
) -> Digest:
    """Return the digest of the stored layer; what a name tells is verified when it is read."""
    named = _digest_in(name)
    if compression is not Compression.NONE:
        return named or stored_digest(region)
    if named is not None and str(named) != diff_id:
        raise ArchiveError(
            f"{members.label}: the layer {name} is not compressed, so its name should be its"
            f" diff_id, which is {diff_id}"
        )
    return Digest(diff_id)


def _digest_in(name: str) -> Digest | None:
    matched = _BY_CONTENT.fullmatch(posixpath.normpath(name))
    return Digest(f"sha256:{matched[1]}") if matched else None
