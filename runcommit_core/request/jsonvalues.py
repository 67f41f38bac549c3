"""What JSON can say of a Python type: whether a value fits, what to call it, its schema."""

from __future__ import annotations

import json
import os
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

JsonSchema = dict[str, Any]

_PLAIN: dict[Any, tuple[type | tuple[type, ...], str, str]] = {
    str: (str, "a string", "string"),
    int: (int, "a whole number", "integer"),
    float: ((int, float), "a number", "number"),
    bool: (bool, "true or false", "boolean"),
}
"""By type: what JSON's values of it are in Python, what to call them, the schema's word."""


def fits(value: object, kind: Any) -> bool:
    """Whether a value out of a JSON document is one of ``kind``."""
    return any(_fits(value, part) for part in _parts(kind))


def called(kind: Any) -> list[str]:
    """What to call the values of ``kind``; nothing where JSON cannot say any of them."""
    return list(dict.fromkeys(filter(None, map(_called, _parts(kind)))))


def schema_of(kind: Any) -> JsonSchema:
    """The JSON schema of ``kind``; several choices where there are."""
    alternatives = [each for each in map(_schema, _parts(kind)) if each]
    choices = [each for at, each in enumerate(alternatives) if each not in alternatives[:at]]
    return choices[0] if len(choices) == 1 else {"oneOf": choices}


def _parts(kind: Any) -> list[Any]:
    """The members of a union; a path is written like a string."""
    if get_origin(kind) in (Union, types.UnionType):
        return [part for member in get_args(kind) for part in _parts(member)]
    return [str if get_origin(kind) is os.PathLike else kind]


def _fits(value: object, part: Any) -> bool:
    if part is types.NoneType:
        return value is None
    if part in _PLAIN:
        return isinstance(value, _PLAIN[part][0]) and (part is bool or not isinstance(value, bool))
    if _is_list(part):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if _is_table(part):
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    return get_origin(part) is Literal and value in get_args(part)


def _called(part: Any) -> str:
    if part in _PLAIN:
        return _PLAIN[part][1]
    if _is_list(part):
        return "a list of strings"
    if _is_table(part):
        return "an object of strings"
    return " or ".join(map(json.dumps, get_args(part))) if get_origin(part) is Literal else ""


def _schema(part: Any) -> JsonSchema | None:
    if part is types.NoneType:
        return {"type": "null"}
    if part in _PLAIN:
        return {"type": _PLAIN[part][2]}
    if _is_list(part):
        return {"type": "array", "items": {"type": "string"}}
    if _is_table(part):
        return {"type": "object", "additionalProperties": {"type": "string"}}
    return {"enum": list(get_args(part))} if get_origin(part) is Literal else None


def _is_list(part: Any) -> bool:
    items = [each for item in get_args(part) for each in _parts(item)]
    return get_origin(part) in (Sequence, Iterable, list) and str in items


def _is_table(part: Any) -> bool:
    return get_origin(part) in (Mapping, dict) and get_args(part) == (str, str)
