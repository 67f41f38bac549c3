"""JSON of images, read strictly (I-JSON, RFC 7493) and written in one form only."""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import Any

from runcommit_core.errors import ArchiveError

MAX_JSON = 20 * 1024 * 1024
"""Bytes of a JSON document; containerd draws the line at the same place."""

_SHOWN = 80

JsonObject = dict[str, Any]


def parse_json(data: bytes, where: str) -> Any:
    """Parse one JSON document; ``where`` names it in messages.

    ArchiveError for what is no UTF-8 or JSON, for a name that occurs twice in one object, for
    numbers beyond a double and for halves of a surrogate pair.
    """
    document = _document(data, where)
    if b"\\u" in data:
        try:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        except RecursionError as error:
            raise ArchiveError(f"{where}: the JSON is nested too deeply") from error
        except ValueError as error:
            raise ArchiveError(f"{where}: is not valid JSON: {error}") from error
    return document


def parse_record(data: bytes, where: str) -> JsonObject:
    """As :func:`parse_object`, where halves of surrogate pairs stand for bytes of names (PEP 383).

    No JSON of an image has them; we write them into documents of our own.
    """
    return as_object(_document(data, where), where)


def _document(data: bytes, where: str) -> Any:
    if len(data) > MAX_JSON:
        raise ArchiveError(f"{where}: the JSON has {len(data)} bytes, more than {MAX_JSON}")
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise ArchiveError(f"{where}: the JSON is nested too deeply") from error
    except ValueError as error:
        raise ArchiveError(f"{where}: is not valid JSON: {error}") from error


def parse_object(data: bytes, where: str) -> JsonObject:
    """As :func:`parse_json`, for a document that must be an object."""
    return as_object(parse_json(data, where), where)


def as_object(value: Any, where: str) -> JsonObject:
    """Return ``value`` if it is an object."""
    if not isinstance(value, dict):
        raise ArchiveError(f"{where}: is {_kind(value)}, where an object must be")
    return value


def object_at(document: JsonObject, key: str, where: str) -> JsonObject:
    """Return the object under ``key``; absent and ``null`` mean an empty one."""
    value = document.get(key)
    return {} if value is None else as_object(value, f"{where}: {key}")


def list_at(document: JsonObject, key: str, where: str) -> list[Any]:
    """Return the array under ``key``; absent and ``null`` mean an empty one."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ArchiveError(f"{where}: {key} is {_kind(value)}, where an array must be")
    return value


def objects_at(document: JsonObject, key: str, where: str) -> list[JsonObject]:
    """Return the array under ``key``, which holds nothing but objects."""
    items = list_at(document, key, where)
    return [as_object(item, f"{where}: {key}[{place}]") for place, item in enumerate(items)]


def text_at(document: JsonObject, key: str, where: str) -> str:
    """Return the string under ``key``; absent and ``null`` mean an empty one."""
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ArchiveError(f"{where}: {key} is {_kind(value)}, where a string must be")
    return value


def texts_at(document: JsonObject, key: str, where: str) -> list[str]:
    """Return the array under ``key``, which holds nothing but strings."""
    items = list_at(document, key, where)
    for place, item in enumerate(items):
        if not isinstance(item, str):
            raise ArchiveError(f"{where}: {key}[{place}] is {_kind(item)}, where a string must be")
    return items


def frozen(value: Any) -> Any:
    """The same document, which nobody can change: mappings for objects, tuples for arrays."""
    if isinstance(value, dict):
        return MappingProxyType({name: frozen(item) for name, item in value.items()})
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def canonical_json(document: Any) -> bytes:
    """Keys sorted, no white space, UTF-8 as it is: equal documents give equal bytes."""
    text = json.dumps(
        document,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
        default=_thawed,
    )
    return text.encode("utf-8")


def _thawed(value: object) -> JsonObject:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"{value!r} is no JSON")


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = _first_twice([name for name, _ in pairs])
        raise ValueError(f"the name {twice[:_SHOWN]!r} occurs twice in one object")
    return members


def _first_twice(names: list[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("all names are different")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is out of range")
    return value


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a truth value"}
    if value is None:
        return "null"
    return kinds.get(type(value), "a number")
