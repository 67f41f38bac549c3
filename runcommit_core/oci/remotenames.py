"""How an image in a registry is called: ``docker://[HOST/]NAME[:TAG][@DIGEST]``.

Source: docker's and containers' references; without a host it is docker's own registry, and there
a name without a slash is one of ``library``.
"""

from __future__ import annotations

import re

from runcommit_core.errors import UsageError
from runcommit_core.records import record
from runcommit_core.tar.digests import Digest

REMOTE = "docker://"

_DEFAULT_HOST = "docker.io"
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?|\[[0-9a-fA-F:]+\](?::[0-9]{1,5})?")
_REST = re.compile(
    r"(?P<path>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LONGEST_PATH = 255


@record
class RemoteName:
    """One image of the registry ``host``; ``tag`` is what counts unless there is a ``digest``."""

    text: str
    host: str
    path: str
    tag: str
    digest: Digest | None

    @property
    def reference(self) -> str:
        """What the registry knows the manifest by."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return self.text


def is_remote(reference: str) -> bool:
    """Tell whether an image is one of a registry: ``docker://…``."""
    return reference.startswith(REMOTE)


def parse_remote_name(text: str) -> RemoteName:
    """Read a whole name; UsageError where it is none."""
    host, _, path = full_name(text.removeprefix(REMOTE)).partition("/")
    parts = _REST.fullmatch(path)
    if not _HOST.fullmatch(host) or not parts or len(parts["path"]) > _LONGEST_PATH:
        raise UsageError(
            f"{text:.300}: is no name of an image in a registry",
            tip=f"write it like {REMOTE}HOST[:PORT]/PATH[:TAG] or {REMOTE}HOST/PATH@sha256:…,"
            " PATH in lower case",
        )
    digest = Digest(parts["digest"]) if parts["digest"] else None
    return RemoteName(text, host, parts["path"], parts["tag"] or "latest", digest)


def tag_of(name: str) -> str:
    """Return the tag of a full name; empty if it has none."""
    return name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else ""


def full_name(name: str) -> str:
    """Return the name as docker completes it: with a registry and a tag."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"{_DEFAULT_HOST}/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"{_DEFAULT_HOST}/{name}"
    return name if tag_of(name) else f"{name}:latest"
