"""docs/reference/job.schema.json: what a job file may hold, from the signature of run_commit."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from runcommit_core import run_commit
from runcommit_core.request.jobfile import keys

PAGE = Path(__file__).parents[2] / "docs/reference/job-file.md"
STRINGS = {"type": "array", "items": {"type": "string"}}
TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "os.PathLike[str]": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
}


def schema() -> str:
    """The schema as JSON; descriptions are those of the page about job files."""
    told = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (.*?) ?\|$", PAGE.read_text(), re.MULTILINE))
    members = {
        name: ({"description": told[name]} if told.get(name) else {}) | _value(kind)
        for name, kind in keys(run_commit).items()
    }
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "job.schema.json",
        "title": "A file for runcommit job",
        "description": "The page job-file.md tells what goes together.",
        "type": "object",
        "required": ["base"],
        "properties": members,
        "additionalProperties": False,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _value(annotation: str) -> dict[str, Any]:
    """What JSON can say of a type; several choices where there are."""
    parts = _alternatives(ast.parse(annotation, mode="eval").body)
    found = [part for part in map(_part, parts) if part]
    choices = [each for at, each in enumerate(found) if each not in found[:at]]
    return choices[0] if len(choices) == 1 else {"oneOf": choices}


def _alternatives(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [*_alternatives(node.left), *_alternatives(node.right)]
    return [node]


def _part(node: ast.expr) -> dict[str, Any] | None:
    """The schema of one of a type's alternatives; None where JSON cannot say it."""
    text = ast.unparse(node)
    if text in TYPES or not isinstance(node, ast.Subscript):
        return TYPES.get(text)
    outer, inner = ast.unparse(node.value), ast.unparse(node.slice)
    if outer == "Literal":
        values = ast.literal_eval(node.slice)
        return {"enum": list(values) if isinstance(values, tuple) else [values]}
    if outer in ("Mapping", "dict") and inner == "(str, str)":
        return {"type": "object", "additionalProperties": {"type": "string"}}
    return STRINGS if outer in ("Sequence", "Iterable", "Collection", "list") else None
