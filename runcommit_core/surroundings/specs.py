"""Mounts, secrets and inputs as the user asks for them, read from docker's syntax.

Nothing here looks at the file system: what is read must only make sense as words.
"""

from __future__ import annotations

import csv
import posixpath
import re
from typing import TYPE_CHECKING, Literal

from runcommit_core.errors import UsageError
from runcommit_core.records import record
from runcommit_core.surroundings.amounts import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SECRETS = "/run/secrets"
"""Where secrets are found unless they have a target of their own, as with docker."""

_NAMES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "size": "tmpfs-size",
    "mode": "tmpfs-mode",
}
_FLAGS = {"": True, "true": True, "1": True, "false": False, "0": False}
_SHARING = ("shared", "locked", "private")
_COMMON = {"type", "target"}
_OWNER = {"mode", "uid", "gid"}
_KEYS = {
    "bind": _COMMON | {"source", "readonly"},
    "tmpfs": _COMMON | {"tmpfs-size", "tmpfs-mode"},
    "cache": _COMMON | {"id", "sharing", "readonly", *_OWNER},
    "secret": _COMMON | {"id", "source", "env", "required", *_OWNER},
}
_UNREPRESENTABLE = re.compile(r'[,:"\n\0]')


@record(kw_only=True)
class Wanted:
    """One mount that the user asks for.

    A secret's value comes from the file ``source`` or the variable ``variable``, and from whichever
    has its ``name`` when neither is given.  ``mode``, ``uid`` and ``gid`` None are the defaults.
    """

    kind: Literal["bind", "cache", "input", "secret", "tmpfs"]
    target: str
    source: str = ""
    variable: str = ""
    read_only: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    name: str = ""
    sharing: Literal["shared", "locked", "private"] = "shared"


def parse_mount(text: str) -> Wanted:
    """Read ``type=bind|tmpfs|cache|secret,…``; raises UsageError with the words in question."""
    fields = _fields("--mount", text)
    kind = fields.get("type", "bind")
    if kind not in _KEYS:
        raise UsageError(
            f"--mount {text!r}: there is no type {kind!r}", tip=f"there are {', '.join(_KEYS)}"
        )
    if kind != "tmpfs":
        fields = {"mode" if key == "tmpfs-mode" else key: fields[key] for key in fields}
    _check_keys("--mount", text, fields, _KEYS[kind])
    if kind == "secret":
        return _secret("--mount", text, fields)
    target = _target("--mount", text, fields.get("target", ""))
    read_only = _flag("--mount", text, fields, "readonly")
    if kind == "bind":
        if not fields.get("source"):
            raise UsageError(f"--mount {text!r}: a bind mount needs source=PATH")
        return Wanted(kind="bind", target=target, source=fields["source"], read_only=read_only)
    if kind == "tmpfs":
        size = fields.get("tmpfs-size")
        return Wanted(
            kind="tmpfs",
            target=target,
            size=size_in_bytes(size, "--mount tmpfs-size") if size else 0,
            mode=_octal("--mount", text, fields.get("tmpfs-mode")),
        )
    return Wanted(
        kind="cache",
        target=target,
        name=fields.get("id") or target,
        sharing=_sharing(text, fields.get("sharing", "shared")),
        read_only=read_only,
        mode=_octal("--mount", text, fields.get("mode")),
        uid=_number("--mount", text, fields.get("uid")),
        gid=_number("--mount", text, fields.get("gid")),
    )


def parse_secret(text: str) -> Wanted:
    """Read ``id=NAME[,src=FILE|,env=VAR]``; raises UsageError with the words in question."""
    fields = _fields("--secret", text)
    kind = fields.get("type", "")
    if kind not in ("", "file", "env"):
        raise UsageError(f"--secret: there is no type {kind!r}", tip="there are file and env")
    if kind == "env" and "env" not in fields and "source" in fields:
        fields["env"] = fields.pop("source")
    if "tmpfs-mode" in fields:
        fields["mode"] = fields.pop("tmpfs-mode")
    _check_keys("--secret", text, fields, _KEYS["secret"])
    return _secret("--secret", text, fields)


def parse_input(text: str) -> Wanted:
    """Read ``SRC:DST[:ro]``; what stands before the last colon that a slash follows is SRC."""
    source, separator, target = text.removesuffix(":ro").rpartition(":/")
    if not separator or not source or re.search(r":[a-zA-Z,]+$", target):
        raise UsageError(
            f"--input {text!r} is not SRC:DST with an absolute path DST",
            tip="inputs are read-only; use --mount type=bind for anything else",
        )
    target = _target("--input", text, f"/{target}")
    return Wanted(kind="input", target=target, source=source, read_only=True)


def _fields(option: str, text: str) -> dict[str, str]:
    try:
        (row,) = csv.reader([text], strict=True)
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{option} {text!r} is no list of KEY=VALUE with commas") from error
    fields: dict[str, str] = {}
    for item in row:
        key, _, value = item.strip().partition("=")
        key = _NAMES.get(key.lower(), key.lower())
        if key in fields:
            raise UsageError(f"{option} {text!r}: {key} is there twice")
        fields[key] = value
    return fields


def _check_keys(option: str, text: str, fields: Mapping[str, str], known: Collection[str]) -> None:
    unknown = [key for key in fields if key not in known]
    if unknown:
        raise UsageError(
            f"{option} {text!r}: there is no {unknown[0]!r} here",
            tip=f"there are {', '.join(sorted(known))}",
        )


def _secret(option: str, text: str, fields: Mapping[str, str]) -> Wanted:
    name, given = fields.get("id", ""), fields.get("target", "")
    if not name:
        raise UsageError(f"{option} {text!r}: a secret needs id=NAME")
    if fields.get("source") and fields.get("env"):
        raise UsageError(f"{option} {text!r}: a secret comes from a file or a variable, not both")
    if "required" in fields and not _flag(option, text, fields, "required"):
        raise UsageError(
            f"{option} {text!r}: every secret is required here",
            tip="leave the secret out where there is none",
        )
    if given and not given.startswith("/"):
        given = posixpath.join(SECRETS, given)
    return Wanted(
        kind="secret",
        target=_target(option, text, given or posixpath.join(SECRETS, name)),
        source=fields.get("source", ""),
        variable=fields.get("env", ""),
        name=name,
        read_only=True,
        mode=_octal(option, text, fields.get("mode")),
        uid=_number(option, text, fields.get("uid")),
        gid=_number(option, text, fields.get("gid")),
    )


def _target(option: str, text: str, target: str) -> str:
    if not target:
        raise UsageError(f"{option} {text!r} needs target=PATH")
    if not target.startswith("/"):
        raise UsageError(f"{option} {text!r}: the target {target!r} is no absolute path")
    normal = "/" + posixpath.normpath(target).lstrip("/")
    if normal == "/":
        raise UsageError(f"{option} {text!r}: nothing can be mounted over the whole root")
    if _UNREPRESENTABLE.search(normal):
        raise UsageError(
            f"{option} {text!r}: the target holds a comma, a colon, a quote or a line break,"
            " which engines do not take"
        )
    return normal


def _flag(option: str, text: str, fields: Mapping[str, str], key: str) -> bool:
    if key not in fields:
        return False
    if fields[key].lower() not in _FLAGS:
        raise UsageError(f"{option} {text!r}: {key} is true or false, not {fields[key]!r}")
    return _FLAGS[fields[key].lower()]


def _sharing(text: str, value: str) -> Literal["shared", "locked", "private"]:
    for known in _SHARING:
        if value == known:
            return known  # type: ignore[return-value]
    raise UsageError(
        f"--mount {text!r}: there is no sharing {value!r}", tip=f"there are {', '.join(_SHARING)}"
    )


def _octal(option: str, text: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"(0o)?[0-7]{1,5}", value):
        raise UsageError(f"{option} {text!r}: the mode {value!r} is no octal number like 0400")
    return int(value.removeprefix("0o"), 8)


def _number(option: str, text: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise UsageError(f"{option} {text!r}: {value!r} is no numeric id")
    return int(value)
