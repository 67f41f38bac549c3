"""docs/reference/schemas.md: what the JSON documents hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown import MADE, code, table

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = Path(__file__).parents[2] / "docs/reference"

HEAD = f"""\
# JSON documents

{MADE}
Each has a JSON Schema (2020-12) beside this page, and the tests hold the documents to it. All but
[job files](job-file.md) are what runcommit writes. Later
versions may add members, which are to be passed over; what a member means does not change within a
`schema_version`. `[]` stands for each item of an array, `*` for any name.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *map(_section, sorted(REFERENCE.glob("*.schema.json")))])


def _section(path: Path) -> str:
    schema = json.loads(path.read_bytes())
    parts = [
        f"## {schema['title']}\n",
        f"[{path.name}]({path.name})",
        schema.get("description", ""),
    ]
    rows = list(_rows(schema, schema, ""))
    parts += ["", table(("member", "type", ""), rows)] if rows else [""]
    for choice in schema.get("oneOf", ()):
        event = choice["properties"]["event"]
        name = ", ".join(event.get("enum", [event.get("const")]))
        parts += [f"### {name}\n", f"{choice['title']}.", ""]
        parts.append(table(("member", "type", ""), _rows(choice, schema, "")))
    return "\n".join(parts)


def _rows(part: dict[str, Any], schema: dict[str, Any], above: str) -> Iterator[tuple[str, ...]]:
    """A row for each member, those of members below them; a definition is told where it is used."""
    if "items" in part:
        yield from _rows(_resolved(part["items"], schema), schema, f"{above}[]")
    members = dict(part.get("properties", {}))
    if isinstance(part.get("additionalProperties"), dict):
        members["*"] = part["additionalProperties"]
    for name, given in members.items():
        member = _resolved(given, schema)
        place = f"{above}.{name}" if above else name
        yield code(place), _type(member, schema), member.get("description", "")
        for each in (member, *member.get("oneOf", ())):
            yield from _rows(_resolved(each, schema), schema, place)


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found = schema["$defs"][part["$ref"].rpartition("/")[2]]
    return {**found, **{key: value for key, value in part.items() if key != "$ref"}}


def _type(part: dict[str, Any], schema: dict[str, Any]) -> str:
    if "const" in part:
        return code(json.dumps(part["const"]))
    if "enum" in part:
        return ", ".join(code(json.dumps(each)) for each in part["enum"])
    if "oneOf" in part:
        return " or ".join(_type(_resolved(each, schema), schema) for each in part["oneOf"])
    found = part.get("type", "any")
    return found if isinstance(found, str) else " or ".join(found)
