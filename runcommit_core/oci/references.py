"""How a base is called: ``KIND:PATH[:NAME]``, ``engine:REF`` or a path whose kind is detected."""

from __future__ import annotations

import enum
import re
from pathlib import Path

from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci.remotenames import REMOTE, full_name
from runcommit_core.records import record

ENGINE = "engine:"

_FOREIGN = (
    "docker",
    "docker-daemon",
    "containers-storage",
    "dir",
    "ostree",
    "sif",
    "tarball",
    "registry",
    "http",
    "https",
)
_DIGEST_SUFFIX = re.compile(r"(?P<path>.+?):?@(?P<digest>sha256:[^/]*)")
_ENGINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,511}", re.ASCII)
_SHOWN = 80
_IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)


class Kind(enum.StrEnum):
    """The forms in which an image is a file or a directory; the values are the prefixes."""

    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"


@record
class Reference:
    """A base named by its files; ``kind`` is None where it must be detected."""

    text: str
    kind: Kind | None
    path: Path
    name: str | None


def is_engine_reference(reference: str) -> bool:
    """Tell whether the base is an image that the engine has or pulls: ``engine:REF``."""
    return reference.startswith(ENGINE)


def checked_base(reference: str) -> str:
    """The same, where an image of the engine has a name that no engine takes for an option.

    Raises UsageError.
    """
    name = reference.removeprefix(ENGINE)
    if is_engine_reference(reference) and not _ENGINE_NAME.fullmatch(name):
        raise UsageError(
            f"{reference[:_SHOWN]!r}: {name[:_SHOWN]!r} is no name of an image",
            tip="write engine:[HOST[:PORT]/]PATH[:TAG], or engine:ID",
        )
    return reference


def parse_reference(text: str) -> Reference:
    """Split a reference to files; what is there decides where the path ends and the name begins.

    UsageError for a form that is not ours, ArchiveError for a path that does not exist.
    """
    if is_engine_reference(text):
        raise UsageError(f"{text}: is an image of the engine, not a file")
    prefix, colon, rest = text.partition(":")
    if colon and prefix in set(Kind):
        path, name = _split(rest, text)
        return Reference(text, Kind(prefix), path, name)
    if colon and prefix in _FOREIGN and not Path(text).exists():
        raise UsageError(
            f"{text}: the form {prefix}: is not supported",
            tip="use docker://HOST/NAME for an image of a registry, oci:PATH, oci-archive:PATH,"
            " docker-archive:PATH, or engine:REF for one that the engine has",
        )
    path, name = _split(text, text)
    return Reference(text, None, path, name)


def _split(rest: str, text: str) -> tuple[Path, str | None]:
    if not rest:
        raise UsageError(f"{text!r}: names no path")
    if _exists(rest):
        return Path(rest), None
    if (pinned := _DIGEST_SUFFIX.fullmatch(rest)) and _exists(pinned["path"]):
        return Path(pinned["path"]), f"@{pinned['digest']}"
    places = [place for place, character in enumerate(rest) if character == ":"]
    for place in places:
        if place and _exists(rest[:place]):
            return Path(rest[:place]), rest[place + 1 :] or None
    path = rest[: places[0]] if places else rest
    tip = (
        f"is it an image of a registry? Then write {REMOTE}{full_name(rest)};"
        f" one that the engine has: {ENGINE}{rest}"
    )
    raise ArchiveError(
        f"{path}: there is no such file or directory",
        tip=tip if rest == text and _IMAGE_NAME.fullmatch(rest) else "",
    )


def _exists(path: str) -> bool:
    try:
        Path(path).lstat()
    except (OSError, ValueError):
        return False
    return True
