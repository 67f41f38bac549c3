"""Edits of a result's config, with the meaning that the instructions of a Dockerfile have.

What each does is written down in docs/reference/config-edits.md.  Fields of the config that are
not edited stay as they are, unknown ones too.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from dataclasses import field, fields
from typing import TYPE_CHECKING

from runcommit_core.oci.config import checked_config, rfc3339
from runcommit_core.oci.jsondoc import (
    JsonObject,
    canonical_json,
    list_at,
    object_at,
    texts_at,
)
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Words = str | Sequence[str]

DEFAULT_COMMENT = "runcommit"
"""What history items of ours say where the user has nothing to say."""

_SHELL = ("/bin/sh", "-c")
_VARIABLE = re.compile(
    r"\\(?P<escaped>[\\$])|\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::(?P<how>[-+])(?P<word>[^}]*))?\})",
    re.ASCII,
)
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
_PORTS = range(1, 65536)


@record(kw_only=True)
class ConfigEdits:
    """What to change; None and an empty mapping leave a field as the base has it.

    ``entrypoint`` and ``cmd`` are lists of words, empty ones clear.  ``env`` comes in the order in
    which it is set.  ``ports`` are ``80/tcp``.  ``comment`` stands in the new history items.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: str | tuple[str, ...] | None = None
    cmd: str | tuple[str, ...] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    workdir: str | None = None
    ports: tuple[str, ...] = ()
    author: str | None = None
    comment: str | None = None

    def as_json(self) -> JsonObject:
        """What was asked for, as JSON; what was not is left out."""
        nothing = ConfigEdits()
        names = [each.name for each in fields(self)]
        return {
            name: value
            for name in names
            if (value := getattr(self, name)) != getattr(nothing, name)
        }


def edited_config(config: bytes, edits: ConfigEdits, *, created: int, inherited: int) -> bytes:
    """The config with the edits, and with a history item for each, as ``docker build`` has them.

    The first ``inherited`` items are the base's; all others bear the comment.
    """
    where = "the image's config"
    document = checked_config(config, where)
    settings = object_at(document, "config", where)
    instructions = _apply(settings, edits, where)
    if edits.author is not None:
        document["author"] = edits.author
    if instructions:
        document["config"] = settings
    layers = list_at(object_at(document, "rootfs", where), "diff_ids", where)
    history = list_at(document, "history", where)
    if history or not layers:
        item: JsonObject = {"created": rfc3339(created), "empty_layer": True}
        own = [*history[inherited:], *(item | {"created_by": text} for text in instructions)]
        comment = DEFAULT_COMMENT if edits.comment is None else edits.comment
        document["history"] = [*history[:inherited], *(_commented(each, comment) for each in own)]
    return canonical_json(document)


def _commented(item: JsonObject, comment: str) -> JsonObject:
    kept = {key: value for key, value in item.items() if key != "comment"}
    return kept | {"comment": comment} if comment else kept


def _apply(settings: JsonObject, edits: ConfigEdits, where: str) -> list[str]:
    """Edit the settings in place; the instructions that would have done it."""
    instructions: list[str] = []
    for key, value in edits.env.items():
        instructions.append(f"ENV {key}={_set_variable(settings, key, value, where)}")
    if edits.labels:
        settings["Labels"] = object_at(settings, "Labels", where) | dict(edits.labels)
        instructions += [f"LABEL {key}={value}" for key, value in edits.labels.items()]
    if edits.user is not None:
        _set(settings, "User", edits.user)
        instructions.append(f"USER {edits.user}".rstrip())
    if edits.workdir is not None:
        _set(settings, "WorkingDir", _joined(settings.get("WorkingDir"), edits.workdir))
        instructions.append(f"WORKDIR {settings.get('WorkingDir', '/')}")
    if edits.ports:
        ports = object_at(settings, "ExposedPorts", where)
        settings["ExposedPorts"] = ports | {port: ports.get(port, {}) for port in edits.ports}
        instructions.append(f"EXPOSE {' '.join(edits.ports)}")
    if edits.entrypoint is not None:
        instructions.append(
            f"ENTRYPOINT {_set_words(settings, 'Entrypoint', edits.entrypoint, where)}"
        )
        if edits.cmd is None:  # what the base would give to its own entrypoint
            settings.pop("Cmd", None)
    if edits.cmd is not None:
        instructions.append(f"CMD {_set_words(settings, 'Cmd', edits.cmd, where)}")
    return instructions


def _set(settings: JsonObject, key: str, value: object) -> None:
    if value:
        settings[key] = value
    else:
        settings.pop(key, None)


def _set_words(settings: JsonObject, key: str, words: str | tuple[str, ...], where: str) -> str:
    """Set a list of words, a text through the image's shell; the list as JSON."""
    if isinstance(words, str):
        words = (*(texts_at(settings, "Shell", where) or _SHELL), words)
    _set(settings, key, list(words))
    return json.dumps(list(words), ensure_ascii=False)


def _set_variable(settings: JsonObject, key: str, value: str, where: str) -> str:
    """Replace the variable where it stands, else append it; its value as it is now."""
    items = texts_at(settings, "Env", where)
    before = dict(item.partition("=")[::2] for item in items)
    expanded = _expanded(value, before)
    new = f"{key}={expanded}"
    if key in before:
        settings["Env"] = [new if item.partition("=")[0] == key else item for item in items]
    else:
        settings["Env"] = [*items, new]
    return shlex.quote(expanded) if " " in expanded else expanded


def _expanded(text: str, env: Mapping[str, str]) -> str:
    r"""Put the image's variables in, as ``ENV`` does: $NAME, ${NAME}, ${NAME:-word}, \$."""

    def value(reference: re.Match[str]) -> str:
        if reference["escaped"]:
            return reference["escaped"]
        known = env.get(reference["plain"] or reference["name"], "")
        match reference["how"]:
            case "-":
                return known or reference["word"]
            case "+":
                return reference["word"] if known else ""
        return known

    return _VARIABLE.sub(value, text)


def _joined(base: object, workdir: str) -> str:
    """The directory as ``WORKDIR`` means it: relative to the one before, without ``..``."""
    if not workdir:
        return ""
    joined = posixpath.join("/", str(base or ""), workdir)
    return "/" + posixpath.normpath(joined).lstrip("/")
