"""docs/reference/job.schema.json: what a job file may hold, from the fields of a request."""

from __future__ import annotations

import json
import re
from pathlib import Path

from runcommit_core.request.jobfile import keys
from runcommit_core.request.jsonvalues import schema_of

PAGE = Path(__file__).parents[2] / "docs/reference/job-file.md"


def schema() -> str:
    """The schema as JSON; descriptions are those of the page about job files."""
    told = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (.*?) ?\|$", PAGE.read_text(), re.MULTILINE))
    members = {
        name: ({"description": told[name]} if told.get(name) else {}) | schema_of(kind)
        for name, kind in keys().items()
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
