"""What ``--json`` prints is what the schemas beside the documentation say.

The report's is checked in test_report.py, the events' in test_progress.py, that of job files in
test_job_file.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runcommit_core.testing import bases

REFERENCE = Path(__file__).parent.parent / "docs/reference"
SCRATCH = "runcommit_core.testing.scratch"
ELSEWHERE = {"metadata", "progress", "job"}
CASES = {
    "backends": ["backends", "--json", "-b", SCRATCH],
    "cache": ["cache", "show", "--json"],
    "cache-prune": ["cache", "prune", "--all", "--dry-run", "--json"],
    "doctor": ["doctor", "--json", "-b", SCRATCH],
    "explain": ["run", "--explain", "--json", "-b", "podman", "base", "-c", "true"],
    "image-id": ["image", "id", "--json", "base"],
    "layer-diff": ["layer", "diff", "--json", "layer.tar", "other.tar"],
    "layer-profiles": ["layer", "profiles", "--json"],
    "layer-show": ["layer", "show", "--json", "layer.tar", "--base", "base"],
    "plugins": ["plugins", "--json"],
    "prune": ["prune", "--json", "--all"],
    "stamp": ["stamp"],
}
EMPTY = {"plugins"}
"""There is nothing to list."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, machine: None) -> Path:
    """A base, two layers of it, and a cache that has seen both jobs."""
    made = tmp_path_factory.mktemp("schemas")
    bases.busybox(made / "base")
    for name in ("layer", "other"):
        job = ("run", "-b", SCRATCH, "--network", "none", "base", "-c", f"echo {name} > /etc/motd")
        assert call(made, *job, "-o", f"{name}.tar").returncode == 0
    return made


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runcommit_core", *words],
        check=False, capture_output=True, text=True, cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder)},
    )  # fmt: skip


def test_every_schema_is_held_to_something():
    names = {path.name.removesuffix(".schema.json") for path in REFERENCE.glob("*.schema.json")}
    assert names == {*CASES} | ELSEWHERE


@pytest.mark.parametrize("name", CASES)
def test_what_is_printed_is_what_its_schema_says(name: str, folder: Path):
    schema = json.loads((REFERENCE / f"{name}.schema.json").read_bytes())
    done = call(folder, *CASES[name])
    told = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(told, schema, jsonschema.Draft202012Validator)
    assert told or name in EMPTY, "nothing that could differ from the schema"
    assert unknown(told, schema, schema) == []


def unknown(value: Any, part: dict[str, Any], schema: dict[str, Any], above: str = "") -> list[str]:
    """Members of a document that its schema does not name."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        found = (unknown(each, part.get("items", {}), schema, f"{above}[]") for each in value)
        return [name for names in found for name in names]
    if not isinstance(value, dict) or "properties" not in part:
        return []
    strange = [f"{above}.{name}" for name in value if name not in part["properties"]]
    for name, member in part["properties"].items():
        strange += unknown(value.get(name), member, schema, f"{above}.{name}")
    return strange
