"""The image config: checked, reduced for the run, extended for the result.

The rules are those of image-spec config.md.
"""

from __future__ import annotations

import functools
import posixpath
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.descriptors import checked_digest
from runcommit_core.oci.jsondoc import (
    JsonObject,
    canonical_json,
    frozen,
    list_at,
    object_at,
    objects_at,
    parse_object,
    text_at,
    texts_at,
)
from runcommit_core.oci.platforms import Platform, completed, platform_of, stated_platform
from runcommit_core.records import record
from runcommit_core.tar.digests import DiffId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEPT_FOR_THE_RUN = ("architecture", "os", "os.features", "os.version", "variant")
_PRIVATE_CREATED = "1970-01-01T00:00:00Z"
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


@record
class RunDefaults:
    """What a ``RUN`` on the image would have: its own user, working directory and environment.

    ``user`` is as written (``name``, ``uid``, ``uid:gid``; empty for root), ``workdir`` is ``/``
    where the image says nothing, ``env`` holds ``NAME=value`` in the image's order.
    """

    user: str
    workdir: str
    env: tuple[str, ...]


@record
class ImageConfig:
    """What an image config says; ``document`` is all of it, which nobody can change.

    ``user``, ``workdir`` and ``shell`` are empty where it says nothing; ``history`` has the oldest
    item first.  Of a variable that is there twice ``env`` has the last.
    """

    platform: Platform
    diff_ids: tuple[DiffId, ...]
    history: tuple[Mapping[str, Any], ...]
    user: str
    workdir: str
    env: tuple[str, ...]
    shell: tuple[str, ...]
    document: Mapping[str, Any]


def image_config(config: bytes, where: str = "the base's config") -> ImageConfig:
    """What a config says; one that was read before is not parsed once more.

    Raises ArchiveError: it contradicts the specification
    """
    try:
        return _known(config)
    except ArchiveError:
        return _read(config, where)  # which says where


@functools.lru_cache(maxsize=16)
def _known(config: bytes) -> ImageConfig:
    return _read(config, "the config")


def _read(config: bytes, where: str) -> ImageConfig:
    document = checked_config(config, where)
    settings = object_at(document, "config", where)
    return ImageConfig(
        platform=platform_of(document, where),
        diff_ids=_diff_ids(document, where),
        history=frozen(objects_at(document, "history", where)),
        user=text_at(settings, "User", where),
        workdir=text_at(settings, "WorkingDir", where),
        env=_last_of_each(texts_at(settings, "Env", where)),
        shell=tuple(texts_at(settings, "Shell", where)),
        document=frozen(document),
    )


def _last_of_each(env: Sequence[str]) -> tuple[str, ...]:
    """One item for each variable: engines disagree which of several counts."""
    return tuple({item.partition("=")[0]: item for item in env}.values())


def checked_config(config: bytes, where: str) -> JsonObject:
    """Parse an image config, to change it; ArchiveError where it contradicts the specification.

    The history is believed in nothing: many tools write one item for all layers.
    """
    document = parse_object(config, where)
    platform_of(document, where)
    _diff_ids(document, where)
    objects_at(document, "history", where)
    settings = object_at(document, "config", where)
    texts_at(settings, "Env", where)
    text_at(settings, "User", where)
    text_at(settings, "WorkingDir", where)
    return document


def config_platform(config: bytes, where: str) -> Platform:
    """Return the platform of a config, be it none, whatever else is wrong with it."""
    try:
        return image_config(config, where).platform
    except ArchiveError:
        return stated_platform(parse_object(config, where), where)


def with_platform(config: bytes, where: str, *others: Platform | None) -> bytes:
    """Fill in os and architecture where a config leaves them empty: the first that knows counts.

    A config that has both stays as it is, to the byte.
    """
    platform = stated = config_platform(config, where)
    for other in others:
        platform = completed(platform, other)
    if platform == stated:
        return config
    parts = {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant}
    filled = {key: value for key, value in parts.items() if value}
    return canonical_json(parse_object(config, where) | filled)


def config_diff_ids(config: bytes, where: str) -> tuple[DiffId, ...]:
    """Return the diff_ids of a config, lowest layer first, after checking it."""
    return image_config(config, where).diff_ids


def config_history(config: bytes) -> tuple[Mapping[str, Any], ...]:
    """Return the history items of a config, oldest first."""
    return image_config(config, "the config").history


def private_config(config: bytes) -> bytes:
    """Derive the config under which a job runs on the base: files, platform, Env and WorkingDir.

    A pure function: one base has one private image, whoever asks and whenever.  The working
    directory stays, from the root, as engines take no relative one.
    """
    base = image_config(config)
    private: JsonObject = {
        key: base.document[key] for key in _KEPT_FOR_THE_RUN if base.document.get(key) is not None
    }
    kept = {"Env": base.env, "WorkingDir": base.workdir and posixpath.join("/", base.workdir)}
    private["config"] = {key: value for key, value in kept.items() if value}
    private["created"] = _PRIVATE_CREATED
    private["rootfs"] = {"type": "layers", "diff_ids": base.diff_ids}
    return canonical_json(private)


def run_defaults(config: bytes) -> RunDefaults:
    """Read user, working directory and environment of the image."""
    base = image_config(config)
    return RunDefaults(user=base.user, workdir=base.workdir or "/", env=base.env)


def result_config(
    config: bytes, *, layers: Sequence[DiffId], created: int, created_by: str, comment: str
) -> bytes:
    """Extend the base's config by the new layers; every other field stays as the base has it.

    ``created`` counts seconds since the epoch. Each layer gets a history item; without layers one
    item with ``empty_layer`` tells of the run. A base that has layers but no history gets none.
    """
    base = image_config(config)
    document = dict(base.document)
    moment = rfc3339(created)
    if base.history or not base.diff_ids:
        item: JsonObject = {"created": moment, "created_by": created_by}
        if comment:
            item["comment"] = comment
        added = [dict(item) for _ in layers] or [item | {"empty_layer": True}]
        document["history"] = [*base.history, *added]
    document["rootfs"] = {**document["rootfs"], "diff_ids": [*base.diff_ids, *layers]}
    document["created"] = moment
    return canonical_json(document)


def with_diff_ids(config: bytes, diff_ids: Sequence[DiffId]) -> bytes:
    """Give a config other layers; every other field stays as it is."""
    document = image_config(config).document
    return canonical_json(dict(document) | {"rootfs": {"type": "layers", "diff_ids": [*diff_ids]}})


def base_created(config: bytes) -> int | None:
    """Return when the image was created in whole seconds since the epoch; None if it is no date.

    Fractions are cut off, offsets honoured; a moment before the epoch counts as none.
    """
    try:
        created = image_config(config).document.get("created")
    except ArchiveError:
        created = parse_object(config, "the base's config").get("created")
    timestamp = _RFC3339.fullmatch(created) if isinstance(created, str) else None
    if timestamp is None:
        return None
    day, time, offset = timestamp.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{offset.upper().replace('Z', '+00:00')}")
    except ValueError:
        return None
    seconds = int(moment.timestamp())
    return seconds if seconds >= 0 else None


def rfc3339(seconds: int) -> str:
    """Write seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _diff_ids(document: JsonObject, where: str) -> tuple[DiffId, ...]:
    rootfs = object_at(document, "rootfs", where)
    if rootfs.get("type") != "layers":
        raise ArchiveError(f"{where}: rootfs.type is {rootfs.get('type')!r} and must be 'layers'")
    return tuple(
        DiffId(checked_digest(item, f"{where}: rootfs.diff_ids[{place}]"))
        for place, item in enumerate(list_at(rootfs, "diff_ids", where))
    )
